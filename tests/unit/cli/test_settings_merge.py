"""Three ways: what was there before, what connect wrote, what stands there now."""

import json
from typing import Any

import pytest

from ccrelay.cli.settings_merge import (
    Change,
    Record,
    connect_change,
    disconnect_change,
    from_json,
    to_json,
)
from ccrelay.cli.settings_text import SettingsError

URL = ("env", "ANTHROPIC_BASE_URL")
SEARCH = ("env", "ENABLE_TOOL_SEARCH")
WANTED = {URL: "http://127.0.0.1:8787", SEARCH: "true"}
TEXT = '{\n  // mine\n  "model": "opus",\n  "env": {\n    "MINE": "1"\n  }\n}\n'


def connect(text: str | None, record: Record | None = None, **more: Any) -> tuple[str, Record]:
    change = connect_change(text, record, **{"wanted": WANTED, "forced": [URL], **more})
    assert change.text is not None
    assert change.after is not None
    return change.text, change.after


def disconnect(text: str | None, record: Record) -> Change:
    return disconnect_change(text, record)


@pytest.mark.parametrize("text", [TEXT, None, "{}", "{ }", '{"env": {}}', "\ufeff{\r\n}\r\n"])
def test_what_nothing_has_changed_comes_back_byte_for_byte(text: str | None) -> None:
    written, record = connect(text)
    assert disconnect(written, record).text == text
    again, record = connect(written, record)
    assert again == written
    assert disconnect(again, record).text == text


def test_what_the_user_changed_meanwhile_stays() -> None:
    written, record = connect(TEXT)
    changed = written.replace('"opus"', '"sonnet"').replace('"true"', '"auto"')
    back = disconnect(changed, record)
    assert back.kept == [SEARCH]
    assert back.text == TEXT.replace('"opus"', '"sonnet"').replace(
        '"MINE": "1"', '"MINE": "1",\n    "ENABLE_TOOL_SEARCH": "auto"'
    )


def test_what_the_user_removed_meanwhile_stays_removed() -> None:
    written, record = connect(TEXT)
    changed = written.replace(',\n    "ENABLE_TOOL_SEARCH": "true"', "")
    assert disconnect(changed, record).text == TEXT


def test_what_the_user_had_before_comes_back() -> None:
    text = '{"env": {"ANTHROPIC_BASE_URL": "https://gateway.test" /* old */}, "x": 1}'
    written, record = connect(text)
    assert json.loads(written.replace("/* old */", ""))["env"]["ANTHROPIC_BASE_URL"] == WANTED[URL]
    assert disconnect(written + "\n", record).text == text + "\n"  # not by the copy of the file


def test_a_value_of_the_user_wins_over_all_but_the_address() -> None:
    text = '{"env": {"ENABLE_TOOL_SEARCH": "false"}}'
    change = connect_change(text, None, WANTED, [URL])
    assert change.kept == [SEARCH]
    assert change.text is not None
    assert json.loads(change.text)["env"]["ENABLE_TOOL_SEARCH"] == "false"


def test_a_value_that_is_right_already_is_not_ours_to_remove() -> None:
    text = '{"env": {"ENABLE_TOOL_SEARCH": "true"}}'
    written, record = connect(text)
    back = disconnect(written + " ", record).text
    assert back is not None
    assert json.loads(back) == json.loads(text)


def test_another_relay_takes_the_place_of_the_first_one() -> None:
    written, record = connect(TEXT)
    other = {URL: "http://127.0.0.1:9999"}  # bears no tool search
    moved, record = connect(written, record, wanted=other)
    assert "9999" in moved
    assert "ENABLE_TOOL_SEARCH" not in moved
    assert disconnect(moved, record).text == TEXT


def test_what_the_user_changed_is_kept_by_a_second_connect() -> None:
    written, record = connect(TEXT)
    changed = written.replace('"true"', '"auto"')
    change = connect_change(changed, record, WANTED, [URL])
    assert change.kept == [SEARCH]
    assert change.text == changed
    assert change.after is not None
    assert SEARCH not in change.after.entries


def test_a_file_of_ours_alone_is_removed_and_one_with_more_is_not() -> None:
    written, record = connect(None)
    assert disconnect(written, record).text is None
    theirs = written.replace("{\n", '{\n  "model": "opus",\n', 1)
    back = disconnect(theirs, record).text
    assert back is not None
    assert json.loads(back) == {"model": "opus"}
    again, record = connect(theirs, record)  # and it is not removed afterwards either
    back = disconnect(again, record).text
    assert back is not None
    assert json.loads(back) == {"model": "opus"}


@pytest.mark.parametrize("text", [None, TEXT])
def test_a_change_of_the_user_outlives_any_number_of_connects(text: str | None) -> None:
    """A file that was not ours alone once is never put back or removed as a whole."""
    written, record = connect(text)
    theirs = written.replace("{\n", '{\n  "theirs": 1,\n', 1)
    for _ in range(3):
        theirs, record = connect(theirs, record)
    back = disconnect(theirs, record).text
    assert back is not None
    assert '"theirs": 1' in back
    assert "8787" not in back


def test_a_file_that_is_gone_stays_gone() -> None:
    _, record = connect(TEXT)
    assert disconnect(None, record).text is None


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("is_second", [False, True])
def test_a_connect_that_was_killed_is_gone_on_with(is_written: bool, is_second: bool) -> None:
    """The record was written, the file was or was not: both ways lead back, and on."""
    text, record = (TEXT, None)
    if is_second:
        text, record = connect(TEXT)
    killed = connect_change(text, record, {**WANTED, URL: "http://127.0.0.1:9999"}, [URL])
    assert killed.during is not None
    assert killed.text is not None
    stands = killed.text if is_written else text
    assert disconnect(stands, killed.during).text == TEXT
    on, record = connect(stands, killed.during)
    assert '"http://127.0.0.1:8787"' in on
    assert disconnect(on, record).text == TEXT


def test_a_disconnect_that_was_killed_is_gone_on_with() -> None:
    _, record = connect(TEXT)
    assert disconnect(TEXT, record).text == TEXT  # the file was written, the record not removed
    assert disconnect(TEXT, record).kept == []


def test_a_record_survives_its_text() -> None:
    _, record = connect(TEXT)
    assert from_json(to_json(record, "/f")) == record
    for text in ("", "[]", "{}", '{"entries": [1]}'):
        with pytest.raises(ValueError):  # noqa: PT011
            from_json(text)


def test_a_broken_text_is_refused() -> None:
    with pytest.raises(SettingsError):
        connect_change('{"a": }', None, WANTED)
    with pytest.raises(SettingsError):
        connect_change('{"env": "text"}', None, WANTED)
