"""Checks of names: models and globs, headers, references to providers."""

import re
from collections.abc import Iterable, Sequence

from ccrelay.config.findings import Findings
from ccrelay.config.model import Config
from ccrelay.config.problems import Path, quoted
from ccrelay.config.secret_shapes import is_dubious, is_key
from ccrelay.config.suggest import hint

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110, 5.6.2
_GLOB = re.compile(r"[*?]")
# Suffix of Claude Code for the 1M token context window: the only valid use of brackets.
_WINDOW = re.compile(r"\[1m\]\Z", re.IGNORECASE)


def is_glob(name: str) -> bool:
    """Whether a model name is a glob."""
    return _GLOB.search(name) is not None


def check_pattern(path: Path, pattern: str, findings: Findings) -> None:
    """Check a model name that may be a glob."""
    if not pattern:
        findings.error(path, "empty model name")
    elif not pattern.isprintable() or " " in pattern:
        findings.wrong(path, "model name contains whitespace or control characters", pattern)
    elif "[" in _WINDOW.sub("", pattern):
        findings.warning(path, "only * and ? are wildcards; [ and ] match literally")


def check_patterns(path: Path, patterns: Iterable[str], findings: Findings) -> None:
    """Check the keys of a mapping: exact names win, then the first glob that matches."""
    earlier: list[str] = []
    for pattern in patterns:
        place = (*path, pattern)
        check_pattern(place, pattern, findings)
        if not is_glob(pattern):
            continue
        first = next((glob for glob in earlier if covers(glob, pattern)), None)
        if first is not None:
            findings.warning(
                place, f"never used: {quoted(first)} comes first and matches all of it"
            )
        earlier.append(pattern)


def covers(glob: str, later: str) -> bool:
    """Whether `glob` matches every name that `later` matches; may return False negatives."""
    expression = "".join(".*" if c == "*" else "[^*]" if c == "?" else re.escape(c) for c in glob)
    return re.fullmatch(expression, later) is not None


def covers_model(name: str, later: str) -> bool:
    """`covers` for requested models: a name with `[1m]` matches requests with `[1m]` only."""
    plain = _WINDOW.sub("", name)
    is_narrower = plain != name and _WINDOW.search(later) is None
    return not is_narrower and covers(plain, _WINDOW.sub("", later))


def check_label(path: Path, name: str, findings: Findings) -> None:
    """Check a name that appears in logs: it must not be a key in the wrong place."""
    if is_key(name):
        findings.error(path, "looks like an API key, and logs show names: use another name")
    elif is_dubious(name):
        findings.warning(path, "looks like a key or token, and logs show names: use another name")


def check_model(path: Path, model: str, what: str, findings: Findings) -> None:
    """Check the name of a single model; `what` starts the message."""
    if not model or model != model.strip() or not model.isprintable():
        findings.wrong(path, f"{what} is empty, or has leading or trailing whitespace", model)
    elif is_glob(model):
        findings.wrong(path, f"{what} must not contain the wildcards * or ?", model)


class ProviderNames:
    """The names of the configured providers, to check references to them."""

    def __init__(self, config: Config, findings: Findings) -> None:
        self._enabled = {provider.name: provider.enabled for provider in config.providers}
        # With an invalid name, any reference may be valid.
        self._is_complete = not findings.is_invalid(("providers",)) and not any(
            findings.is_invalid(("providers", index, "name"))
            for index in range(len(config.providers))
        )
        self._findings = findings

    def check(self, path: Path, names: Sequence[str]) -> None:
        """Check a list of provider names. A disabled provider is a warning, not an error."""
        is_dead = bool(names) and not any(self._enabled.get(name, True) for name in names)
        if is_dead:
            message = "all providers listed here are disabled"
            self._findings.warning(path, message)
        for index, name in enumerate(names):
            place = (*path, index)
            if name in names[:index]:
                self._findings.warning(place, "duplicate entry")
            elif name not in self._enabled:
                self._unknown(place, name)
            elif not self._enabled[name] and not is_dead:
                self._findings.warning(place, "this provider is disabled and skipped")

    def _unknown(self, path: Path, name: str) -> None:
        if self._is_complete:
            self._findings.wrong(path, f"unknown provider {{}}{hint(name, self._enabled)}", name)
