"""Settings of an administrator, the status line's question, and the difference that is shown."""

import json
from pathlib import Path

import pytest

from ccrelay.cli import connect, doctor_client
from ccrelay.cli.connection import Failed
from ccrelay.cli.settings_merge import Entry, Record

WANTED = {
    ("env", "ANTHROPIC_BASE_URL"): "http://127.0.0.1:8787",
    ("statusLine",): {"type": "command", "command": "ccrelay statusline"},
}


@pytest.fixture
def managed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doctor_client, "system_folder", lambda: tmp_path)
    return tmp_path / "managed-settings.json"


def test_an_administrator_who_sets_something_else_wins(managed: Path) -> None:
    managed.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "https://gateway.test"}}))
    with pytest.raises(Failed, match="sets ANTHROPIC_BASE_URL, and wins") as caught:
        connect._check_managed({name: one for name, one in WANTED.items() if len(name) > 1})
    assert str(managed) in caught.value.message
    assert "gateway.test" not in caught.value.message


def test_a_folder_of_managed_settings_counts_too(managed: Path) -> None:
    folder = managed.parent / "managed-settings.d"
    folder.mkdir()
    (folder / "10.json").write_text(json.dumps({"statusLine": {}}))
    with pytest.raises(Failed, match="sets statusLine"):
        connect._check_managed(WANTED)


def test_an_administrator_who_agrees_or_says_nothing_of_it_is_no_hindrance(managed: Path) -> None:
    connect._check_managed(WANTED)
    for content in (
        {"permissions": {}},
        [],
        {"env": []},
        {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8787", "OTHER": "1"}},
    ):
        managed.write_text(json.dumps(content))
        connect._check_managed(WANTED)


def test_managed_settings_that_cannot_be_read_are_told(managed: Path) -> None:
    managed.write_text("{")
    with pytest.raises(Failed, match="cannot be read"):
        connect._check_managed(WANTED)


@pytest.mark.parametrize(
    ("choice", "text", "has_record", "expected"),
    [
        (True, None, False, True),
        (False, None, True, False),
        (None, None, False, False),  # no terminal
        (None, '{"statusLine": {}}', False, False),
        (None, None, True, True),
    ],
)
def test_when_the_status_line_is_written(
    choice: bool | None, text: str | None, has_record: bool, expected: bool
) -> None:
    entries = {connect.STATUS_LINE: Entry(None, ("{}",))}
    record = Record(entries, None, "", existed=True, exact=True) if has_record else None
    assert connect._has_status_line(choice, text, record) is expected


def test_the_difference_has_no_other_lines() -> None:
    lines = connect.difference('{\n"secret": 1,\n"a": 1\n}', '{\n"secret": 1,\n"a": 2\n}', "f")
    assert lines[-2:] == ['-"a": 1', '+"a": 2']
    assert not any("secret" in line for line in lines)
    assert connect.difference("{}", "{}", "f") == ["f: nothing would change."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": 1}', True), ("\ufeff{}", True), ("{} // c", False), ('{"a": 1,}', False)],
)
def test_what_claude_code_reads_is_json_without_comments(text: str, expected: bool) -> None:
    assert connect.is_strict(text) is expected


@pytest.mark.parametrize("answer", [True, False])
def test_a_terminal_is_asked_once(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    asked: list[str] = []

    def confirm(text: str) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr(connect.sys, "stdin", Terminal())
    monkeypatch.setattr(connect.click, "confirm", confirm)
    assert connect._has_status_line(None, "{}", None) is answer
    record = Record({}, None, "", existed=True, exact=True)
    assert connect._has_status_line(None, "{}", record) is False  # it was declined before
    assert connect._has_status_line(None, '{"statusLine": {}}', None) is False
    assert len(asked) == 1


def test_the_difference_has_no_secrets() -> None:
    """A text may be a single line: then all of it is shown."""
    own = '{"env": {"ANTHROPIC_API_KEY": "own-\\"1", "N_TOKENS": "8"}, "a": {"my_SECRET" :"own-2"}}'
    new = own.replace('"8"', '"9", "ANTHROPIC_AUTH_TOKEN": "test-token-1"')
    for old, changed in ((own, new), (new, own)):
        shown = "\n".join(connect.difference(old, changed, "f"))
        assert "own-" not in shown
        assert "test-token-1" not in shown
        assert '"N_TOKENS": "8"' in shown
    assert '"ccrelay"' in connect.difference("{}", '{"ANTHROPIC_AUTH_TOKEN": "ccrelay"}', "f")[-1]


@pytest.mark.parametrize(
    ("found", "prefix", "expected"),
    [
        ("/usr/bin/ccrelay", "/opt/my venv", "ccrelay statusline"),
        ("/opt/my venv/bin/ccrelay", "/opt/my venv", "'/opt/my venv/bin/ccrelay' "
         "statusline"),
        (None, "/opt/my venv", "/usr/bin/python3 -m ccrelay statusline"),
    ],
)  # fmt: skip
def test_a_program_that_is_not_always_in_the_path_is_written_with_its_own(
    found: str | None, prefix: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: found)
    monkeypatch.setattr(connect.sys, "prefix", prefix)
    monkeypatch.setattr(connect.sys, "executable", "/usr/bin/python3")
    assert connect._status_command() == expected
