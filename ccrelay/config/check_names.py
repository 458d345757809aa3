"""The checks of names: models and their globs, headers, and providers that others refer to."""

import re
from collections.abc import Iterable, Sequence

from ccrelay.config.findings import Findings
from ccrelay.config.model import Config
from ccrelay.config.problems import Path, quoted
from ccrelay.config.suggest import hint

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110, 5.6.2
_GLOB = re.compile(r"[*?]")
# Claude Code's mark for a window of one million tokens: the only brackets that are no mistake.
_WINDOW = re.compile(r"\[1m\]\Z", re.IGNORECASE)


def is_glob(name: str) -> bool:
    """Tell whether a model name is a pattern."""
    return _GLOB.search(name) is not None


def check_pattern(path: Path, pattern: str, findings: Findings) -> None:
    """Check a model name that may be a glob."""
    if not pattern:
        findings.error(path, "the model name is empty")
    elif not pattern.isprintable() or " " in pattern:
        findings.error(path, "a model name has no white space or control characters")
    elif "[" in _WINDOW.sub("", pattern):
        findings.warning(path, "only * and ? are special: [ and ] stand for themselves")


def check_patterns(path: Path, patterns: Iterable[str], findings: Findings) -> None:
    """Check the names of a mapping in which exact ones win, and of globs the first that matches."""
    earlier: list[str] = []
    for pattern in patterns:
        place = (*path, pattern)
        check_pattern(place, pattern, findings)
        if not is_glob(pattern):
            continue
        first = next((glob for glob in earlier if covers(glob, pattern)), None)
        if first is not None:
            findings.warning(place, f"never used: {quoted(first)} stands before it and matches")
        earlier.append(pattern)


def covers(glob: str, later: str) -> bool:
    """Tell whether every name that `later` matches is matched by `glob` (never wrong, may miss)."""
    expression = "".join(".*" if c == "*" else "[^*]" if c == "?" else re.escape(c) for c in glob)
    return re.fullmatch(expression, later) is not None


def covers_model(name: str, later: str) -> bool:
    """The same for models asked for: one with `[1m]` is for requests with `[1m]` only."""
    plain = _WINDOW.sub("", name)
    is_narrower = plain != name and _WINDOW.search(later) is None
    return not is_narrower and covers(plain, _WINDOW.sub("", later))


def check_model(path: Path, model: str, what: str, findings: Findings) -> None:
    """Check a model that is to be named to somebody; `what` begins the message."""
    if not model or model != model.strip() or not model.isprintable():
        findings.error(path, f"{what} is empty, or has white space around it")
    elif is_glob(model):
        findings.error(path, f"{what} must be one name, without * or ?")


class ProviderNames:
    """The names of the configured providers, for those places that refer to them."""

    def __init__(self, config: Config, findings: Findings) -> None:
        self._enabled = {provider.name: provider.enabled for provider in config.providers}
        # A name that could not be read may be the one referred to.
        self._is_complete = not findings.is_spoilt(("providers",)) and not any(
            findings.is_spoilt(("providers", index, "name"))
            for index in range(len(config.providers))
        )
        self._findings = findings

    def check(self, path: Path, names: Sequence[str]) -> None:
        """Check a list of providers. One that is disabled, perhaps briefly, makes no error."""
        is_dead = bool(names) and not any(self._enabled.get(name, True) for name in names)
        if is_dead:
            message = "every provider named here is disabled: enable one, or name another"
            self._findings.warning(path, message)
        for index, name in enumerate(names):
            place = (*path, index)
            if name in names[:index]:
                self._findings.warning(place, "this provider is named already")
            elif name not in self._enabled:
                self._unknown(place, name)
            elif not self._enabled[name] and not is_dead:
                self._findings.warning(place, "this provider is disabled, and passed over")

    def _unknown(self, path: Path, name: str) -> None:
        if self._is_complete:
            self._findings.error(path, f"no provider has this name{hint(name, self._enabled)}")
