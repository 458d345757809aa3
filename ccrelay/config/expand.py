"""Expands `${...}` in string values: secrets from environment, files, keychain and commands.

| expression | value |
|---|---|
| `${VAR}` | the environment variable; an error when unset |
| `${VAR:-default}` | the same; the default when it is unset or empty |
| `${file:/path}` | the file's content, stripped; nobody else may read or change it |
| `${keyring:NAME}` | the entry of the keychain that `ccrelay keys set NAME` makes |
| `${cmd:program argument}` | output of the program; no shell, 10 s timeout |
| `$${` | a literal `${` |

Expansion follows parsing, so a secret cannot change the structure of the file. Values are not
expanded again; only a default may contain `${...}`. Braces are balanced, so
`${cmd:awk '{print $1}' secrets}` works. Mapping keys are never expanded.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ccrelay.config.problems import Path, Problem, Severity, quoted
from ccrelay.config.suggest import variable_hint

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BRACE = re.compile(r"[{}]")
# A variable as shells and other programs write it.
_OTHER_FORM = re.compile(
    r"(?:\$(?:env:)?|env:|os\.environ/|process\.env\.|%|\{\{ *(?:env\.)?|\{|\$\()"
    r"([A-Za-z_][A-Za-z0-9_]*)"
    r"(?:%| *\}\}|\}|\))?\Z"
)
_CAPITALS = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*\Z")  # as variables of keys are written
_SHELL_FORM = re.compile(r"(?<![$\w])\$([A-Za-z_][A-Za-z0-9_]*)")
_OTHER_REFERENCE = re.compile(  # inside ${...}, as other programs write it
    r" *(?:env[:.]|\$)? *([A-Za-z_][A-Za-z0-9_]*) *(:?[-=?+]|:|\|)?", re.IGNORECASE
)
_NESTING_MAX = 8  # defaults inside defaults


class SecretError(Exception):
    """A value cannot be expanded; the message names the source, never the value."""


class SecretUnavailable(SecretError):
    """Valid, but unavailable here: variable unset, file unreadable, command failed."""


def no_keychain(name: str) -> str:
    """A keychain that is not asked. Raises SecretError."""
    raise SecretError(f"the keychain is not asked for {quoted(name)} here")


class Sources(msgspec.Struct, frozen=True):
    """The sources of values. The functions raise `SecretError`."""

    env: Mapping[str, str]
    read_file: Callable[[str], str]
    run_command: Callable[[str], str]
    read_keychain: Callable[[str], str] = no_keychain


class Expanded(msgspec.Struct, frozen=True):
    """Expanded data, the paths of expanded values, and problems.

    `unavailable`: the paths of problems that depend on the environment. `from_commands`: the paths
    of values that a `${cmd:...}` is a part of, `from_keychain`: a `${keyring:...}`.
    """

    data: Any
    paths: frozenset[Path]
    problems: list[Problem]
    unavailable: frozenset[Path] = frozenset()
    from_commands: frozenset[Path] = frozenset()
    from_keychain: frozenset[Path] = frozenset()


def expand(data: Any, sources: Sources) -> Expanded:
    """Expand every string value of plain data. A value that fails becomes ""."""
    expander = _Expander(sources)
    data = expander.walk(data, ())
    return Expanded(
        data,
        frozenset(expander.paths),
        expander.problems,
        frozenset(expander.unavailable),
        frozenset(expander.from_commands),
        frozenset(expander.from_keychain),
    )


def variables(data: Any) -> frozenset[str]:
    """Return the names of the environment variables that the values of plain data refer to."""
    found: set[str] = set()
    stack = [data]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack += node.values()
        elif isinstance(node, list):
            stack += node
        elif isinstance(node, str):
            _collect(node, found, 0)
    return frozenset(found)


def _collect(text: str, found: set[str], nesting: int) -> None:
    at = 0
    while nesting <= _NESTING_MAX and (start := text.find("${", at)) >= 0:
        at = start + 2
        if start > 0 and text[start - 1] == "$":
            continue
        try:
            at = _closing_brace(text, start + 2)
        except SecretError:  # reported where it is expanded
            return
        name, _, default = text[start + 2 : at].partition(":-")
        if _NAME.match(name):
            found.add(name)
            _collect(default, found, nesting + 1)


class _Expander:
    def __init__(self, sources: Sources) -> None:
        self.paths: set[Path] = set()
        self.problems: list[Problem] = []
        self.unavailable: set[Path] = set()
        self.from_commands: set[Path] = set()
        self.from_keychain: set[Path] = set()
        self._sources = sources
        self._kinds: set[str] = set()  # of the value that is being expanded
        # A command that occurs twice, or is reached by two YAML aliases, runs once.
        self._known: dict[str, str | SecretError] = {}

    def walk(self, node: Any, path: Path) -> Any:
        if isinstance(node, dict):
            return {key: self.walk(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [self.walk(value, (*path, index)) for index, value in enumerate(node)]
        if isinstance(node, str):
            return self._string(node, path) if "${" in node else self._literal(node, path)
        return node

    def _literal(self, text: str, path: Path) -> str:
        """Return a value without `${`; "" when it is a reference in another form."""
        form = _OTHER_FORM.match(text)
        if form is not None and (_CAPITALS.match(form[1]) or form[1] in self._sources.env):
            self._misreferenced(path, form[1], form[0], "error")
            self.paths.add(path)
            return ""
        if form is not None and text.startswith("$"):  # or a password, which is not quoted
            message = "begins with $ and is taken as it is; a variable is written ${NAME}"
            self.problems.append(Problem(message=message, path=path, severity="warning"))
        for name in _SHELL_FORM.findall(text):
            if name in self._sources.env:  # else it may be a part of anything, of a password say
                self._misreferenced(path, name, f"${name}", "warning")
        return text

    def _misreferenced(self, path: Path, name: str, written: str, severity: Severity) -> None:
        message = f"{quoted(written)} is not expanded; probably meant: ${{{name}}}"
        self.problems.append(Problem(message=message, path=path, severity=severity))

    def _string(self, text: str, path: Path) -> str:
        self._kinds.clear()
        try:
            value, changed = self._text(text, 0)
        except SecretError as error:
            self.problems.append(Problem(message=str(error), path=path))
            self.paths.add(path)
            if isinstance(error, SecretUnavailable):
                self.unavailable.add(path)
            return ""
        if changed:
            self.paths.add(path)
        if "cmd" in self._kinds:
            self.from_commands.add(path)
        if "keyring" in self._kinds:
            self.from_keychain.add(path)
        return value

    def _text(self, text: str, nesting: int) -> tuple[str, bool]:
        """Return the expanded text, and whether it contained more than `$${`."""
        out: list[str] = []
        at, changed = 0, False
        while (start := text.find("${", at)) >= 0:
            if start > at and text[start - 1] == "$":
                out.append(text[at : start - 1] + "${")
                at = start + 2
                continue
            out.append(text[at:start])
            end = _closing_brace(text, start + 2)
            out.append(self._value(text[start + 2 : end], nesting))
            at, changed = end + 1, True
        return "".join([*out, text[at:]]), changed

    def _value(self, inside: str, nesting: int) -> str:
        if inside.startswith(("file:", "keyring:", "cmd:")):
            return self._outside(inside)
        name, colon, default = inside.partition(":-")
        if not _NAME.match(name):
            advice = self._meant(inside) or (
                "use NAME, NAME:-default, file:/path, keyring:NAME or cmd:program; "
                "write $${ for a literal ${"
            )
            raise SecretError(f"invalid ${{...}}: {advice}")
        value = self._sources.env.get(name)
        if colon:
            if nesting >= _NESTING_MAX:
                raise SecretError(f"defaults nested deeper than {_NESTING_MAX} levels")
            return value or self._text(default, nesting + 1)[0]
        if value is None:
            alike = variable_hint(name, self._sources.env.keys())
            raise SecretUnavailable(f"environment variable {quoted(name)} is not set{alike}")
        return value

    def _meant(self, inside: str) -> str:
        """Return which variable is probably meant; "" when it is none."""
        form = _OTHER_REFERENCE.match(inside)
        if form is None or not (_CAPITALS.match(form[1]) or form[1] in self._sources.env):
            return ""
        if form[2] is None:
            return f"probably meant: ${{{form[1]}}}" if form.end() == len(inside) else ""
        return f"probably meant: ${{{form[1]}:-default}}"

    def _outside(self, inside: str) -> str:
        kind, _, argument = inside.partition(":")
        self._kinds.add(kind)
        known = self._known.get(inside)
        if known is None:
            sources = self._sources
            readers = {
                "file": sources.read_file,
                "keyring": sources.read_keychain,
                "cmd": sources.run_command,
            }
            try:
                known = readers[kind](argument.strip())
            except SecretError as error:
                known = error
            self._known[inside] = known
        if isinstance(known, SecretError):
            raise SecretUnavailable(str(known))
        return known


def _closing_brace(text: str, at: int) -> int:
    depth = 1
    for brace in _BRACE.finditer(text, at):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    raise SecretError("missing } after ${; write $${ for a literal ${")
