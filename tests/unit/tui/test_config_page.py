from pathlib import Path

import pytest

from ccrelay.tui.config_page import ConfigPage, read_file
from ccrelay.v1 import config_pb2 as cf
from tests.unit.tui.design import Shown, config, failing


def opened(width: int = 100, height: int = 30, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "c")
    return shown


def test_a_file_with_a_mistake_is_said_with_its_place() -> None:
    shown = opened()
    assert shown.lines()[1].startswith(" The file has a mistake; number 14 stays in force.")
    lines = shown.press("left")
    assert any("1 mistake, 0 warnings, 0 changes" in line for line in lines)
    assert any("mistake: line 3, column 5, providers[0]" in line for line in lines)
    assert any("Did you mean 'priority'?" in line for line in lines)
    assert shown.asked("Config/Validate")[0].text == "providers: []\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (cf.ValidateResponse(ok=True), " The file is in force as number 14."),
        (cf.ValidateResponse(ok=True, changes=["a: 1 -> 2"]), " The file is valid, and differs"),
    ],
)
def test_a_valid_file(answer: cf.ValidateResponse, sentence: str) -> None:
    shown = opened(Config__Validate=answer)
    assert shown.lines()[1].startswith(sentence)
    lines = shown.press("left")
    assert any("Would change" in line for line in lines) == bool(answer.changes)


def test_views_change_by_arrows_and_have_their_commands() -> None:
    shown = opened()
    assert any("- hmac:04f4a1b2" in line for line in shown.lines())
    for _ in range(4):
        shown.press("y", "right")
    assert shown.copied == [
        "ccrelay config show", "ccrelay config revisions --show 14", "ccrelay config revisions",
        "ccrelay config check",
    ]  # fmt: skip


def test_the_text_of_the_file_has_numbers_and_scrolls() -> None:
    many = config()
    many.text = "\n".join(f"# line {number}" for number in range(1, 100))
    shown = opened(Config__Get=many)
    assert any(line.startswith("  1  # line 1") for line in shown.press("right"))
    assert any(line.startswith(" 99  # line 99") for line in shown.press("end"))


def test_roll_back_asks_before() -> None:
    shown = opened()
    lines = shown.press("right", "right")
    assert any("14*" in line for line in lines)
    shown.press("enter")
    assert "Number 14 is in force." in shown.lines()[-1]
    lines = shown.press("j", "enter")
    assert any("The same: ccrelay config rollback 13" in line for line in lines)
    shown.press("enter")
    assert shown.asked("Config/Rollback") == []
    shown.press("enter", "j", "enter")
    assert [one.revision for one in shown.asked("Config/Rollback")] == [13]
    assert "Number 15 is in force, with the text of 13." in shown.lines()[-1]


def test_a_rollback_that_fails_is_said() -> None:
    shown = opened(Config__Rollback=failing("Its text is not valid any more."))
    shown.press("right", "right", "j", "enter", "j", "enter")
    assert "Its text is not valid any more." in shown.text()


def test_no_file() -> None:
    shown = opened(Config__Get=cf.ConfigGetResponse(effective="server: {}\n"))
    assert "No configuration file: ccrelay init writes one." in shown.lines()[1]
    assert shown.asked("Config/Validate") == []


def test_a_file_that_cannot_be_read_is_said() -> None:
    shown = Shown(100, 30)
    page = shown.dashboard.pages[6]
    assert isinstance(page, ConfigPage)

    def fail(path: str) -> str:
        raise PermissionError(13, "Permission denied")

    page._read = fail
    shown.press("g", "c")
    assert any("cannot be read: Permission denied." in line for line in shown.press("left"))


def test_failures_are_said() -> None:
    assert "Not allowed." in opened(Config__Get=failing("Not allowed.")).text()


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("a: é\n")
    assert read_file(str(file)) == "a: é\n"
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="decode"):
        read_file(str(file))
    file.write_bytes(b"#" * (5 << 20))
    with pytest.raises(ValueError, match="larger than 4 MiB"):
        read_file(str(file))
