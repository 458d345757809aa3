"""`ccrelay connect` and `disconnect` as processes: files, modes, links, a kill at every step."""

import contextlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.cli import settings_store
from ccrelay.v1 import config_pb2, relay_pb2
from tests.child import PROGRAM, child_environment
from tests.loopback.control.harness import Served
from tests.process.commands import answering, environment, relay, run
from tests.unit.cli.served import status

EFFECTIVE = """\
server: {auth: {tokens: []}}
providers:
- {name: team, type: anthropic, base_url: https://api.anthropic.com, keys: [{}], models: [claude-*]}
"""
TEXT = '{\n  "model": "opus",\n  "permissions": {"allow": ["Bash(ls:*)"]}\n}\n'


class Home:
    """A home folder, and the commands in it."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder = folder
        self.file = folder / ".claude" / "settings.json"
        self.env = {
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "CCRELAY_SOCKET": str(served.path),
        }

    def run(self, *arguments: str, code: int = 0) -> str:
        done = run(self.folder, *arguments, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, text: str) -> None:
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)

    def variables(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.file.read_text()).get("env", {})
        return found

    def records(self) -> list[Path]:
        return list((self.folder / "state" / "ccrelay" / "connect").glob("*"))


def answers(effective: str) -> dict[str, object]:
    said = config_pb2.ConfigGetResponse(revision=14, effective=effective)
    return {"Config/Get": answering(said)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with serving(tmp_path, EFFECTIVE) as home:
        yield home


@contextlib.contextmanager
def serving(folder: Path, effective: str) -> Iterator[Home]:
    (folder / "home").mkdir()
    with relay(folder, answers(effective)) as served:  # type: ignore[arg-type]
        yield Home(folder / "home", served)


def test_there_and_back(home: Home) -> None:
    home.write(TEXT)
    home.file.chmod(0o640)
    said = home.run("connect")
    assert "http://127.0.0.1:8787" in said
    assert "ccrelay disconnect" in said
    assert home.variables() == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787",
        "ANTHROPIC_AUTH_TOKEN": "ccrelay",
        "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL": "1",
        "ENABLE_TOOL_SEARCH": "true",
    }
    assert json.loads(home.file.read_text())["permissions"] == {"allow": ["Bash(ls:*)"]}
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o640
    assert [stat.S_IMODE(record.stat().st_mode) for record in home.records()] == [0o600]
    home.run("disconnect")
    assert home.file.read_text() == TEXT
    assert home.records() == []
    assert "Nothing to take back" in home.run("disconnect")


def test_without_a_file_one_is_made_and_removed(home: Home) -> None:
    home.run("connect")
    assert stat.S_IMODE(home.file.stat().st_mode) == 0o600
    home.run("disconnect")
    assert not home.file.exists()


def test_a_link_stays_one(home: Home) -> None:
    real = home.folder / "dotfiles.json"
    real.write_text(TEXT)
    home.file.parent.mkdir()
    home.file.symlink_to(real)
    home.run("connect")
    assert home.file.is_symlink()
    assert "8787" in real.read_text()
    home.run("disconnect")
    assert real.read_text() == TEXT


def test_what_was_changed_meanwhile_stays_and_is_told(home: Home) -> None:
    home.write(TEXT)
    home.run("connect")
    home.file.write_text(home.file.read_text().replace('"true"', '"auto"'))
    assert "env.ENABLE_TOOL_SEARCH was changed since, and stays" in home.run("disconnect")
    assert home.variables() == {"ENABLE_TOOL_SEARCH": "auto"}


def test_what_is_read_only_is_not_replaced(home: Home) -> None:
    home.write(TEXT)
    home.file.chmod(0o400)
    assert f"chmod u+w {home.file}" in " ".join(home.run("connect", code=1).split())
    assert home.file.read_text() == TEXT
    assert home.records() == []
    home.file.chmod(0o600)
    home.run("connect")
    written = home.file.read_text()
    home.file.chmod(0o400)
    assert "chmod u+w" in home.run("disconnect", code=1)
    assert home.file.read_text() == written
    home.file.chmod(0o600)
    home.run("disconnect")
    assert home.file.read_text() == TEXT


def test_another_command_that_is_suspended_is_not_waited_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_store, "LOCK_S", 0.2)
    first, second = (settings_store.Store(home.file, home.env) for _ in range(2))
    with first.locked(), pytest.raises(settings_store.StoreError, match="Try again"):
        second.locked().__enter__()


def test_a_dry_run_writes_nothing(home: Home) -> None:
    home.write(TEXT)
    said = home.run("connect", "--dry-run")
    assert '+    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8787"' in said
    assert "model" not in said  # what does not change is not shown
    assert home.file.read_text() == TEXT
    assert home.records() == []


def test_the_status_line_is_offered_and_never_replaced(home: Home) -> None:
    home.write(TEXT)
    home.run("connect")
    assert "statusLine" not in home.file.read_text()
    home.run("connect", "--statusline")
    line = json.loads(home.file.read_text())["statusLine"]
    assert line["type"] == "command"
    assert line["command"].endswith("ccrelay statusline")
    home.run("connect")  # it stays
    assert "statusLine" in home.file.read_text()
    home.run("connect", "--no-statusline")
    assert "statusLine" not in home.file.read_text()
    home.run("disconnect")
    own = '{"statusLine": {"type": "command", "command": "mine"}}'
    home.write(own)
    assert "statusLine is yours, and stays" in home.run("connect", "--statusline")
    assert json.loads(home.file.read_text())["statusLine"]["command"] == "mine"
    home.run("disconnect")
    assert home.file.read_text() == own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": }', "line 1, column 7: a value is expected"),
        ("", "line 1, column 1"),
        ('{"env": 1}', "env is no object"),
    ],
)
def test_a_broken_file_is_told_and_left_alone(home: Home, text: str, words: str) -> None:
    home.write(text)
    said = home.run("connect", code=1)
    assert words in said
    assert str(home.file) in said
    assert home.file.read_text() == text
    assert home.records() == []


def test_a_text_that_is_no_utf_8_is_told(home: Home) -> None:
    home.write("")
    home.file.write_bytes(b'{"a": "\xff"}')
    assert "is no UTF-8 text" in home.run("connect", code=1)
    assert home.file.read_bytes() == b'{"a": "\xff"}'


def test_comments_stay_and_it_is_said_that_the_client_ignores_the_file(home: Home) -> None:
    text = '{\n  // mine\n  "model": "opus" // this one\n}\n'
    home.write(text)
    assert "ignores such a file" in " ".join(home.run("connect").split())
    assert '"model": "opus", // this one\n' in home.file.read_text()
    home.run("disconnect")
    assert home.file.read_text() == text


def test_a_token_is_written_only_when_asked(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "server: {auth: {tokens: [test-token-1]}}\n"
        "providers: [{name: team, type: anthropic, keys: [{key: test-key-1}]}]\n"
    )
    config.chmod(0o600)
    effective = EFFECTIVE.replace("tokens: []", "tokens: ['hmac:1']")
    said = status()
    said.config_file = str(config)
    others = {**answers(effective),
              "Relay/GetStatus": answering(relay_pb2.GetStatusResponse(status=said))}  # fmt: skip
    (tmp_path / "home").mkdir()
    with relay(tmp_path, others) as served:  # type: ignore[arg-type]
        home = Home(tmp_path / "home", served)
        assert "connect with --token" in home.run("connect")
        assert "ANTHROPIC_AUTH_TOKEN" not in home.variables()
        home.file.chmod(0o644)
        (home.folder / ".git").mkdir()  # of configuration files
        said = " ".join(home.run("connect", "--token").split())
        assert f"chmod go= {home.file}" in said
        assert f"in the git repository {home.folder} now" in said
        assert home.variables()["ANTHROPIC_AUTH_TOKEN"] == "test-token-1"


def test_without_a_relay_nothing_is_written(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "CCRELAY_SOCKET": str(tmp_path / "none.sock")}
    done = run(tmp_path, "connect", env=env)
    assert done.returncode == 3
    assert not (tmp_path / ".claude").exists()


# ---- killed at every step

KILLED = """
import os, sys
step, command = int(sys.argv.pop(1)), sys.argv[1]
count = 0

def counted(call):
    def counting(*arguments, **named):
        global count
        if count == step:
            os._exit(77)  # as SIGKILL: nothing is cleaned up
        count += 1
        return call(*arguments, **named)
    return counting

from ccrelay.cli import settings_store
for name in ("open", "replace", "fsync", "unlink", "fchmod"):
    setattr(os, name, counted(getattr(os, name)))
settings_store.Path.unlink = counted(settings_store.Path.unlink)
from ccrelay.cli.main import main
main()
"""
STEPS_MAX = 60


def killed_at(home: Home, step: int, command: str) -> bool:
    """Run a command that is killed before its system call number `step`; whether it was."""
    done = subprocess.run(
        [*PROGRAM, KILLED, str(step), command],
        env={**child_environment(), **environment(home.folder, **home.env),
             "PYTHONPATH": child_environment()["PYTHONPATH"]},
        cwd=home.folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode in (0, 77), done.stderr
    return done.returncode == 77


@pytest.mark.parametrize("then", ["disconnect", "connect"])
def test_a_connect_that_is_killed_anywhere_is_repaired(home: Home, then: str) -> None:
    for step in range(0, STEPS_MAX, 1 if then == "disconnect" else 3):
        home.write(TEXT)
        if not killed_at(home, step, "connect"):
            break
        is_valid(home)
        home.run(then)
        if then == "connect":
            assert home.variables()["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:8787"
            home.run("disconnect")
        assert home.file.read_text() == TEXT, f"killed at step {step}"
        assert leftovers(home) == []
    else:
        raise AssertionError("it never came to its end")
    assert step > 5


def test_a_disconnect_that_is_killed_anywhere_is_repaired(home: Home) -> None:
    for step in range(STEPS_MAX):
        home.write(TEXT)
        home.run("connect")
        if not killed_at(home, step, "disconnect"):
            break
        is_valid(home)
        home.run("disconnect")
        assert home.file.read_text() == TEXT, f"killed at step {step}"
        assert leftovers(home) == []
    else:
        raise AssertionError("it never came to its end")
    assert step > 3


def is_valid(home: Home) -> None:
    """Claude Code can read the file at any moment."""
    json.loads(home.file.read_text())


def leftovers(home: Home) -> list[str]:
    """Files that a later command has not cleaned up."""
    folders = (home.file.parent, home.folder / "state" / "ccrelay" / "connect")
    return [name for folder in folders for name in os.listdir(folder) if ".ccrelay-" in name]
