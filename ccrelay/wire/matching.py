"""Maps a requested model to the model a provider is sent, if it serves it at all.

Order: exact mappings (with the `[1m]` suffix, then without), mapping globs in configured order, the
provider's own models. `[1m]` is the client's mark for a one-million-token window and is never sent
upstream (providers reference, section 1.2). In a glob `*` matches any text and `?` any character;
all other characters, brackets included, are literal.
"""

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence

from ccrelay.config.model import Model

WINDOW_SUFFIX = "[1m]"
# Bounds of the memo, because model names come from clients: 1024 names of 256 characters, 256 KB.
MEMO_MAX = 1024
MEMO_NAME_MAX = 256

_GLOB = re.compile(r"[*?]")


def strip_window(model: str) -> str:
    """The name without a trailing `[1m]`, in either case."""
    return model[: -len(WINDOW_SUFFIX)] if _is_windowed(model) else model


def is_glob(name: str) -> bool:
    """True when a configured name is a pattern."""
    return _GLOB.search(name) is not None


class ModelMatcher:
    """One provider's model mapping and models, compiled once. Globs are case-sensitive.

    Args:
        mapping: requested model -> the one to send.
        models: served under their own names.
        rename: what the provider calls one of those; None: the same.
    """

    def __init__(
        self,
        mapping: Mapping[str, str],
        models: Sequence[str | Model],
        rename: Callable[[str], str] | None = None,
    ) -> None:
        self._rename = rename
        own = [model if isinstance(model, str) else model.id for model in models]
        self._exact = {_fold(k): strip_window(v) for k, v in mapping.items() if not is_glob(k)}
        self._globs = [
            (_is_windowed(key), _compile(key), strip_window(target))
            for key, target in mapping.items()
            if is_glob(key)
        ]
        self._own = frozenset(strip_window(name) for name in own if not is_glob(name))
        self._own_globs = [_compile(name) for name in own if is_glob(name)]
        self._memo: dict[str, str | None] = {}

    def resolve(self, model: str) -> str | None:
        """The model to send for `model`; None: this provider does not serve it."""
        try:
            return self._memo[model]
        except KeyError:
            target = self._search(model)
        if len(model) <= MEMO_NAME_MAX:
            if len(self._memo) >= MEMO_MAX:
                self._memo.clear()
            self._memo[model] = target
        return target

    def _search(self, model: str) -> str | None:
        name = strip_window(model)
        if not name:
            return None
        for exact in (_fold(model), name):
            if exact in self._exact:
                return self._exact[exact]
        windowed = _is_windowed(model)
        for wants_window, pattern, target in self._globs:
            if windowed >= wants_window and pattern.match(name):
                return target
        if name in self._own or any(pattern.match(name) for pattern in self._own_globs):
            return name if self._rename is None else self._rename(name)
        return None

    def __repr__(self) -> str:
        rules = len(self._exact) + len(self._globs)
        own = len(self._own) + len(self._own_globs)
        return f"<ModelMatcher mappings={rules} own={own}>"


def _is_windowed(model: str) -> bool:
    return model[-len(WINDOW_SUFFIX) :].lower() == WINDOW_SUFFIX


def _fold(name: str) -> str:
    # Normalise the suffix, so that `x[1M]` finds the mapping `x[1m]`.
    return strip_window(name) + WINDOW_SUFFIX if _is_windowed(name) else name


def _compile(pattern: str) -> re.Pattern[str]:
    # fnmatch translates to atomic groups: no pattern backtracks for long.
    return re.compile(fnmatch.translate(strip_window(pattern).replace("[", "[[]")))
