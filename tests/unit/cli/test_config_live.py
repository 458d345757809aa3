import json
from pathlib import Path

import pytest

from ccrelay.control.client import CallFailed
from ccrelay.v1 import config_pb2 as cf
from tests.unit.cli import examples
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]
TEXT = "providers: []  # é\n"


@pytest.fixture(autouse=True)
def answers(relay: FakeRelay) -> None:
    relay.answers |= {
        "Config/Validate": cf.ValidateResponse(ok=True, changes=["routing.strategy: failover"]),
        "Config/Apply": cf.ApplyResponse(
            revision=15, problems=[cf.Problem(line=3, message="needs a restart")]
        ),
        "Config/Rollback": cf.RollbackResponse(revision=16),
        "Config/ListRevisions": examples.revisions(),
        "Config/Get": cf.ConfigGetResponse(revision=14, text=TEXT),
    }


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "new.toml"
    path.write_text(TEXT)
    return str(path)


def test_a_file_is_checked_and_applied(relay: FakeRelay, file: str) -> None:
    ended = run("config", "apply", file, "-m", "why", "--base", "abc")
    assert ended.exit_code == 0
    assert ended.stdout == "  routing.strategy: failover\nNumber 15 is in force.\n"
    assert ended.stderr == f"{file}:3: warning: needs a restart\n"
    assert relay.of("Config/Validate") == [cf.ValidateRequest(text=TEXT, format="toml")]
    assert relay.of("Config/Apply") == [cf.ApplyRequest(text=TEXT, base="abc", comment="why")]


def test_standard_input_is_applied(relay: FakeRelay) -> None:
    assert run("config", "apply", "-", input=TEXT).exit_code == 0
    [request] = relay.of("Config/Validate")
    assert (request.text, request.format) == (TEXT, "")


def test_with_a_mistake_nothing_is_applied(relay: FakeRelay, file: str) -> None:
    problem = cf.Problem(error=True, line=24, column=5, path="providers[1]", message="unknown key")
    relay.answers["Config/Validate"] = cf.ValidateResponse(problems=[problem])
    ended = run("config", "apply", file)
    assert ended.exit_code == 2
    assert ended.stderr == (
        f"{file}:24:5: providers[1]: unknown key\n"
        "Nothing was changed: the running configuration stays in force.\n"
    )
    ended = run("config", "apply", "-", "--json", input=TEXT)
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["problems"][0]["line"] == 24
    assert relay.of("Config/Apply") == []


def test_a_dry_run_changes_nothing(relay: FakeRelay, file: str) -> None:
    ended = run("config", "apply", "--dry-run", file)
    assert ended.stdout == "It is valid. Would change:\n  routing.strategy: failover\n"
    relay.answers["Config/Validate"] = cf.ValidateResponse(ok=True)
    ended = run("config", "apply", "--dry-run", file)
    assert ended.stdout == "It is valid, and nothing would change.\n"
    assert relay.of("Config/Apply") == []


def test_a_file_that_somebody_else_has_changed(relay: FakeRelay, file: str) -> None:
    relay.answers["Config/Apply"] = CallFailed("ABORTED", "The file has changed.")
    ended = run("config", "apply", file, "--base", "x")
    assert (ended.exit_code, ended.stderr) == (1, "The file has changed.\n")


def test_what_is_no_text_is_not_sent(relay: FakeRelay, tmp_path: Path) -> None:
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe")
    assert run("config", "apply", str(binary)).exit_code == 2
    huge = tmp_path / "h.yaml"
    huge.write_bytes(b"#" * (4 << 20) + b"##")
    assert "this is no configuration" in run("config", "apply", str(huge)).stderr
    ended = run("config", "apply", str(tmp_path / "none.yaml"))
    assert ended.exit_code == 1
    assert "No such file" in ended.stderr
    assert run("config", "apply", str(binary), "-m", "x" * 201).exit_code == 2
    assert relay.asked == []


def test_revisions_are_listed(relay: FakeRelay) -> None:
    assert run("config", "revisions", "-n", "2").stdout == (
        "NO.   SINCE                BY     LINES  COMMENT\n"
        " 14*  2026-12-03 13:02:11  apply  +2 -1  more room for team-b\n"
        " 13   2026-12-01 09:00:00  file   +0 -0\n"
    )
    assert relay.of("Config/ListRevisions")[0].page_size == 2
    assert len(json.loads(run("config", "revisions", "--json").stdout)["revisions"]) == 2
    relay.answers["Config/ListRevisions"] = cf.ListRevisionsResponse()
    assert "ccrelay init" in run("config", "revisions").stdout


def test_the_text_of_one_is_shown(relay: FakeRelay) -> None:
    assert run("config", "revisions", "--show", "13").stdout == TEXT
    assert relay.of("Config/Get")[0].revision == 13
    assert json.loads(run("config", "revisions", "--show", "13", "--json").stdout)["text"] == TEXT


def test_a_problem_is_told_once(relay: FakeRelay) -> None:
    text = "c.yaml:4:85: warning: keys[0].key: secret in plain text"
    relay.answers["Config/Rollback"] = cf.RollbackResponse(
        revision=16,
        problems=[
            cf.Problem(line=4, column=85, path="keys[0].key", message="secret in plain text"),
            cf.Problem(message=text),
        ],
    )
    assert run("config", "rollback", "1").stderr == (
        "number 1:4:85: warning: keys[0].key: secret in plain text\n"
    )


def test_an_earlier_one_is_applied_again(relay: FakeRelay) -> None:
    ended = run("config", "rollback", "13")
    assert ended.stdout == "Number 16 is in force, with the text of number 13.\n"
    assert json.loads(run("config", "rollback", "13", "--json").stdout)["revision"] == 16
    assert run("config", "rollback", "0").exit_code == 2
