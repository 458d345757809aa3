"""Collects the findings of the checks, except those about paths that are already invalid."""

import re

from ccrelay.config.problems import Path, Problem, Severity
from ccrelay.config.suggest import closest
from ccrelay.config.wording import shown

_VISIBLE = re.compile(r"[\x21-\x7e]*\Z")


class Findings:
    """Collects problems; a problem of a path that already has one is dropped.

    `expanded`: paths whose text came from `${...}`; it is not quoted.
    """

    def __init__(
        self,
        invalid: frozenset[Path],
        unknown: frozenset[Path],
        expanded: frozenset[Path] = frozenset(),
    ) -> None:
        self.problems: list[Problem] = []
        self._bad = invalid
        self._unknown = unknown
        self._expanded = expanded

    def error(self, path: Path, message: str) -> None:
        """Add an error about the value at `path`."""
        self._add(path, message, "error")

    def wrong(self, path: Path, message: str, text: str) -> None:
        """Add an error about the text at `path`, quoted unless it may be a secret.

        It stands where the message has ` {}`, else at its end.
        """
        got = shown(path, text, is_expanded=path in self._expanded)
        if " {}" in message:
            self.error(path, message.replace(" {}", f" {got}" if got[0] == '"' else "", 1))
        else:
            self.error(path, f"{message}, got {got}")

    def missing(
        self,
        path: Path,
        message: str,
        *,
        needs: tuple[str, ...],
        unless: tuple[Path, ...] = (),
        severity: Severity = "error",
    ) -> None:
        """Add a problem: a sibling key of `path`, one of `needs`, is missing.

        Not added when an unknown sibling key looks like a misspelling of it, or when one of the
        `unless` paths, on which the need depends, or a path below it is invalid.
        """
        misspelt = any(
            key[:-1] == path[:-1] and closest(str(key[-1]), needs) for key in self._unknown
        )
        if not misspelt and not any(
            wrong[: len(reason)] == reason for reason in unless for wrong in self._bad
        ):
            self._add(path, message, severity)

    def warning(self, path: Path, message: str) -> None:
        """Add a warning: valid, but probably not intended."""
        self._add(path, message, "warning")

    def secret(self, path: Path, text: str, what: str, length_min: int = 1) -> None:
        """Check that a secret is a valid header value. The message never contains it."""
        if not text:
            self.error(path, f"{what} is empty")
        elif any(c.isspace() for c in text):
            self.error(path, f"{what} contains whitespace, perhaps a line break")
        elif not _VISIBLE.match(text):
            self.error(path, f"{what} contains characters that are invalid in a header")
        elif len(text) < length_min:
            self.error(path, f"{what} is shorter than {length_min} characters")

    def is_invalid(self, path: Path) -> bool:
        """Whether the value at `path`, or one that contains it, is invalid."""
        return any(path[:end] in self._bad for end in range(1, len(path) + 1))

    def is_valid(self, path: Path) -> bool:
        """Whether no value at, around or below `path` is invalid."""
        below = any(wrong[: len(path)] == path for wrong in self._bad)
        return not below and not self.is_invalid(path)

    def _add(self, path: Path, message: str, severity: Severity) -> None:
        if not self.is_invalid(path):
            self.problems.append(Problem(message=message, path=path, severity=severity))
