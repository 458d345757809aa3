import hashlib
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ccrelay.cli import serve as serve_module, trust as command
from ccrelay.cli.main import cli

FILE = """
server: {listen: "127.0.0.1:8787"}
providers:
  - {name: zai, type: zai, keys: [{key: "${cmd:touch ran}"}, {key: "${file:~/k}"}, {key: "${K}"}]}
  - {name: local, type: ollama}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `ccrelay config trust` in a directory with FILE as ccrelay.yaml."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CCRELAY_CONFIG", "K"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("ccrelay.yaml").write_text(FILE)

    def invoke(*arguments: str, answer: str | None = None):
        runner = CliRunner()
        if answer is not None:  # as at a terminal
            monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda self: True)
        return runner.invoke(cli, ["config", "trust", *arguments], input=answer)

    return invoke


@pytest.fixture
def record(tmp_path):
    return tmp_path / "home/.local/state/ccrelay/trusted.json"


def test_it_shows_what_the_file_does_and_records_its_digest(run, record, tmp_path):
    result = run("--yes")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{tmp_path}/here/ccrelay.yaml",
        "  listens on 127.0.0.1:8787",
        "  sends to   https://api.z.ai (provider zai)",
        "  sends to   http://localhost:11434 (provider local)",
        "  runs       touch ran",
        "  reads      ~/k",
        "  uses       $K",
        f"confirmed, in {record}",
    ]
    digest = hashlib.sha256(FILE.encode()).hexdigest()
    assert json.loads(record.read_text())["files"] == {f"{tmp_path}/here/ccrelay.yaml": digest}
    assert not Path("ran").exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("", 1)])
def test_it_asks_at_a_terminal(run, record, answer, code):
    result = run(answer=answer)
    assert result.exit_code == code
    assert "Use this file? [y/N]" in result.output
    assert record.exists() == (code == 0)


def test_without_a_terminal_the_answer_is_an_option(run, record):
    result = run()
    assert result.exit_code == 2
    assert "add --yes" in result.output
    assert not record.exists()


def test_a_file_can_be_named(run, record, tmp_path):
    Path("../ccrelay.yml").write_text(FILE)
    assert run("../ccrelay.yml", "--yes").exit_code == 0
    assert list(json.loads(record.read_text())["files"]) == [f"{tmp_path}/ccrelay.yml"]


def test_a_file_that_no_command_searches_for_needs_no_confirmation(run, record):
    Path("other.yaml").write_text(FILE)
    result = run("other.yaml", "--yes")
    assert result.exit_code == 2
    assert "use --config other.yaml" in result.output
    assert not record.exists()


def test_a_directory_without_a_file_has_nothing_to_confirm(run, monkeypatch, tmp_path):
    home = tmp_path / "home/.config/ccrelay"
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(FILE)
    monkeypatch.setenv("CCRELAY_CONFIG", str(home / "config.yaml"))
    Path("ccrelay.yaml").unlink()
    result = run("--yes")
    assert result.exit_code == 1
    assert "no ccrelay.yaml, ccrelay.yml or ccrelay.toml in this directory" in result.output


def test_an_invalid_file_is_not_confirmed(run, record):
    Path("ccrelay.yaml").write_text("providers: 5")
    result = run("--yes")
    assert result.exit_code == 2
    assert "ccrelay.yaml:1:12: providers: expected a list" in result.output
    assert not record.exists()


def test_a_record_that_cannot_be_kept_is_said(run, monkeypatch):
    monkeypatch.delenv("HOME")
    result = run("--yes")
    assert result.exit_code == 1
    assert "neither HOME nor XDG_STATE_HOME is set: use --config FILE" in result.output


@pytest.mark.parametrize(("stdin", "stderr"), [(True, False), (False, True), (False, False)])
def test_serve_asks_only_at_a_terminal(monkeypatch, stdin, stderr):
    monkeypatch.setattr(command, "ask", lambda file: pytest.fail("asked"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: stdin, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: stderr, raising=False)
    assert not serve_module._confirm(Path("ccrelay.yaml"))


def test_serve_without_standard_input_does_not_ask(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert not serve_module._confirm(Path("ccrelay.yaml"))
