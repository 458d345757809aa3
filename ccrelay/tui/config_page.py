"""Config: is what I wrote in force? The texts, the revisions, and a check of the file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ccrelay.cli.cells import join
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_time import moment
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.tui.page import Cursor, Host, Page, View, listed, scroll_step, scrolled, set_in
from ccrelay.tui.sheets import Text, question
from ccrelay.v1 import config_pb2 as pb

VIEWS = ("effective", "file", "revisions", "check")
TEXT_MAX = 4 << 20  # bytes, as of `ccrelay config apply`
ROLLBACK_TIMEOUT_S = 60.0
PAGE_SIZE = 50
NO_FILE = "No configuration file: ccrelay init writes one."


def read_file(path: str) -> str:
    """Return the text of the configuration file. Raises OSError or ValueError."""
    with Path(path).open("rb") as file:
        data = file.read(TEXT_MAX + 1)
    if len(data) > TEXT_MAX:
        raise ValueError(f"larger than {TEXT_MAX >> 20} MiB")
    return data.decode()


class ConfigPage(Page):
    """What is in force, the file, its revisions, and what the checker says of the file.

    Args:
        host: the dashboard.
        read: reads the file.
    """

    title, letter = "Config", "c"
    refresh_s = 10.0
    hints = "left right view  j k move  Enter roll back  y copy command  ? keys  q quit"

    def __init__(self, host: Host, read: Callable[[str], str] = read_file) -> None:
        super().__init__(host)
        self._read = read
        self._view = 0
        self.cursor = Cursor()
        self._top = 0
        self._config: Any = None
        self._revisions: Sequence[Any] | None = None
        self._checked: Any = None
        self._check_note = ""
        self._problem = ""

    @property
    def view_name(self) -> str:
        """Which of VIEWS is open."""
        return VIEWS[self._view]

    # ---- what is asked

    def ask(self) -> None:
        """Ask for the texts and the revisions; check the file."""
        self.host.call(
            "Config/Get", pb.ConfigGetRequest(), pb.ConfigGetResponse,
            self._on_config, self._on_failure,
        )  # fmt: skip
        self.host.call(
            "Config/ListRevisions",
            pb.ListRevisionsRequest(page_size=PAGE_SIZE),
            pb.ListRevisionsResponse,
            self._on_revisions,
            self._on_failure,
        )

    def _on_config(self, answer: Any) -> None:
        self._config, self._problem = answer, ""
        if not answer.file:
            self._check_note = NO_FILE
            return
        try:
            text = self._read(answer.file)
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            self._check_note = f"{answer.file} cannot be read: {told}."
            return
        self._check_note = ""
        self.host.call(
            "Config/Validate",
            pb.ValidateRequest(text=text, format=answer.format),
            pb.ValidateResponse,
            self._on_checked,
            self._on_failure,
        )

    def _on_checked(self, answer: Any) -> None:
        self._checked = answer

    def _on_revisions(self, answer: Any) -> None:
        self._revisions = list(answer.revisions)

    def _on_failure(self, message: str, code: str) -> None:
        self._problem = message

    # ---- words

    def sentence(self, view: View) -> str:
        """Return whether what was written is in force."""
        paint, text = view.screen.paint, view.screen.text
        if self._problem:
            return paint(text(self._problem), "red")
        if self._config is None:
            return ""
        if not self._config.file:
            return paint(NO_FILE, "bold")
        number = self._config.revision
        if self._checked is not None and not self._checked.ok:
            return paint(f"The file has a mistake; number {number} stays in force.", "red")
        if self._checked is not None and self._checked.changes:
            return paint(f"The file is valid, and differs from number {number} in force.", "amber")
        return paint(f"The file is in force as number {number}.", "bold")

    def aside(self, view: View) -> str:
        """Return the path of the file."""
        return view.screen.text(self._config.file) if self._config is not None else ""

    def command(self) -> str:
        """Return the command that shows the same."""
        return {
            "effective": "ccrelay config show",
            "file": f"ccrelay config revisions --show {self._number()}",
            "revisions": "ccrelay config revisions",
            "check": "ccrelay config check",
        }[self.view_name]

    def _number(self) -> int:
        return int(self._config.revision) if self._config is not None else 0

    # ---- drawing

    def lines(self, view: View) -> list[str]:
        """Return the open view."""
        names = {
            "effective": "in force", "file": "text of the file", "revisions": "revisions",
            "check": "check of the file",
        }  # fmt: skip
        paint = view.screen.paint
        chooser = "".join(
            paint(f"[{names[name]}]", "accent") if name == self.view_name else f" {names[name]} "
            for name in VIEWS
        )
        draw_view = {
            "effective": self._effective,
            "file": self._file,
            "revisions": self._revision_rows,
            "check": self._check,
        }[self.view_name]
        below = view._replace(height=view.height - 2)
        if self._config is None:
            text = view.screen.text(self._problem or "Asking the relay ...")
            return [f" {chooser}", "", *set_in(view.inset.screen.wrap(text))]
        return [f" {chooser}", "", *draw_view(below)]

    def _effective(self, view: View) -> list[str]:
        return set_in(self._text(self._config.effective, view.inset, numbers=False))

    def _file(self, view: View) -> list[str]:
        return set_in(self._text(self._config.text, view.inset, numbers=True))

    def _text(self, text: str, view: View, *, numbers: bool) -> list[str]:
        lines = text.splitlines()
        shown, self._top = scrolled(lines, self._top, view.height)
        width = len(str(len(lines)))
        drawn = []
        for at, line in enumerate(shown, self._top + 1):
            number = view.screen.paint(f"{at:>{width}}  ", "dim") if numbers else ""
            room = view.within(view.width - (width + 2 if numbers else 0))
            drawn.append(number + room.cut(view.screen.text(line.replace("\t", "    "))))
        return drawn or ["There is no text."]

    def _revision_rows(self, view: View) -> list[str]:
        if self._revisions is None:
            return set_in(view.inset.screen.wrap("Asking the relay ..."))
        if not self._revisions:
            return set_in(view.inset.screen.wrap("No revision yet."))
        columns = (
            Column("NUMBER", right=True),
            Column("SINCE", least=8),
            Column("BY", least=8),
            Column("LINES", right=True, least=5),
            Column("COMMENT", least=10, shrink_to=10),
        )
        rows = [
            [
                Cell(f"{one.revision}", mark="*" if one.revision == self._number() else ""),
                Cell(moment(one.applied_at_ms, view.now_ms)),
                Cell(view.screen.text(one.origin)),
                Cell(f"+{one.lines_added} -{one.lines_removed}"),
                Cell(view.screen.text(one.comment)),
            ]
            for one in self._revisions
        ]
        table = draw(columns, rows, view.within(view.width - 1))
        return [f" {table[0]}", *listed(table[1:], self.cursor, view.height - 1, view)]

    def _check(self, view: View) -> list[str]:
        return set_in(self._findings(view.inset))

    def _findings(self, view: View) -> list[str]:
        screen = view.screen
        if self._check_note:
            return screen.wrap(screen.text(self._check_note))
        if self._checked is None:
            return screen.wrap("Asking the relay ...")
        problems = self._checked.problems
        mistakes = sum(one.error for one in problems)
        warnings = len(problems) - mistakes
        lines = screen.wrap(
            f"{count(mistakes, 'mistake')}, {count(warnings, 'warning')}, "
            f"{count(len(self._checked.changes), 'change')} against what is in force."
        )
        for one in problems:
            lines += ["", *self._mistake(one, view)]
        if self._checked.changes:
            lines += ["", screen.paint("Would change", "bold")]
            lines += [screen.cut(f"  {screen.text(change)}") for change in self._checked.changes]
        shown, self._top = scrolled(lines, self._top, view.height)
        return shown

    def _mistake(self, one: Any, view: View) -> list[str]:
        """Return a message with its place."""
        screen = view.screen
        place = join([f"line {one.line}" if one.line else "", f"column {one.column}"
                      if one.column else "", one.path])  # fmt: skip
        style = "red" if one.error else "amber"
        word = "mistake" if one.error else "warning"
        head = screen.cut(screen.text(f"{word}: {place}"))
        lines = [screen.paint(head, style)]
        return lines + screen.wrap(screen.text(f"  {one.message}"), 2)

    # ---- keys

    def key(self, key: str, char: str | None) -> bool:
        """Choose a view; scroll or move; roll back."""
        if key in ("left", "h", "right", "l", "tab", "shift+tab"):
            step = -1 if key in ("left", "h", "shift+tab") else 1
            self._view, self._top = (self._view + step) % len(VIEWS), 0
            return True
        if self.view_name == "revisions":
            if self.cursor.move(key, len(self._revisions or ()), 10):
                return True
            if key == "enter" and self._revisions:
                self._ask_rollback(self._revisions[self.cursor.at])
                return True
            return False
        step_ = scroll_step(key, 10)
        self._top += step_ or 0
        return step_ is not None

    def _ask_rollback(self, revision: Any) -> None:
        number = int(revision.revision)
        if number == self._number():
            self.host.say(f"Number {number} is in force.")
            return
        text = (
            f"Write the text of number {number} to the file and load it? It becomes a new number; "
            f"number {self._number()} can be rolled back to.\n"
            f"The same: ccrelay config rollback {number}"
        )
        self.host.open(
            question(f"Roll back to {number}", text, "Roll back", lambda: self._roll_back(number))
        )

    def _roll_back(self, number: int) -> None:
        def done(answer: Any) -> None:
            warnings = f", {count(len(answer.problems), 'warning')}" if answer.problems else ""
            self.host.say(
                f"Number {answer.revision} is in force, with the text of {number}{warnings}."
            )
            self.ask()

        def failed(message: str, code: str) -> None:
            self.host.say("")
            self.host.open(Text(f"Roll back to {number}: not done", message))

        self.host.say(f"Rolling back to {number} ...")
        self.host.call(
            "Config/Rollback",
            pb.RollbackRequest(revision=number),
            pb.RollbackResponse,
            done,
            failed,
            ROLLBACK_TIMEOUT_S,
        )
