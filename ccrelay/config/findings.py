"""The list that checks write to; it knows which places are spoilt already."""

import re

from ccrelay.config.problems import Path, Problem, Severity
from ccrelay.config.suggest import closest

_VISIBLE = re.compile(r"[\x21-\x7e]*\Z")


class Findings:
    """Collects problems; one about a place that already has one is dropped."""

    def __init__(self, bad: frozenset[Path], unknown: frozenset[Path]) -> None:
        self.problems: list[Problem] = []
        self._bad = bad
        self._unknown = unknown

    def error(self, path: Path, message: str) -> None:
        """Note that the value at `path` cannot be used."""
        self._note(path, message, "error")

    def missing(
        self,
        path: Path,
        message: str,
        *,
        needs: tuple[str, ...],
        unless: tuple[Path, ...] = (),
        severity: Severity = "error",
    ) -> None:
        """Note that one of the `needs` is missing beside `path`.

        Held back when an unknown key there may be the very thing, misspelt, or when something is
        wrong at or below one of the `unless` paths, on which the need depends.
        """
        misspelt = any(
            key[:-1] == path[:-1] and closest(str(key[-1]), needs) for key in self._unknown
        )
        if not misspelt and not any(
            wrong[: len(reason)] == reason for reason in unless for wrong in self._bad
        ):
            self._note(path, message, severity)

    def warning(self, path: Path, message: str) -> None:
        """Note what works, and should be known."""
        self._note(path, message, "warning")

    def secret(self, path: Path, text: str, what: str, length_min: int = 1) -> None:
        """Check that a secret can be sent in a header. The message never shows any of it."""
        if not text:
            self.error(path, f"{what} is empty")
        elif any(c.isspace() for c in text):
            self.error(path, f"{what} contains white space, a line break perhaps")
        elif not _VISIBLE.match(text):
            self.error(path, f"{what} contains characters that cannot stand in a header")
        elif len(text) < length_min:
            self.error(path, f"{what} is shorter than {length_min} characters")

    def is_spoilt(self, path: Path) -> bool:
        """Tell whether the value at `path` stands for one that is wrong."""
        return any(path[:end] in self._bad for end in range(1, len(path) + 1))

    def is_sound(self, path: Path) -> bool:
        """Tell whether nothing is known to be wrong at, around or below `path`."""
        below = any(wrong[: len(path)] == path for wrong in self._bad)
        return not below and not self.is_spoilt(path)

    def _note(self, path: Path, message: str, severity: Severity) -> None:
        if not self.is_spoilt(path):
            self.problems.append(Problem(message=message, path=path, severity=severity))
