import platform
import re
import sys

import pytest
from click.testing import CliRunner

from ccrelay import __version__
from ccrelay._fast import libssl
from ccrelay.cli import serve as serve_module
from ccrelay.cli.main import COMMANDS, cli
from ccrelay.config.problems import ConfigError, Problem
from ccrelay.runtime.launch import Options
from ccrelay.runtime.listeners import ListenError
from ccrelay.runtime.supervisor import WorkersFailed


def invoke(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_help_lists_every_command():
    ended = invoke("--help")
    assert ended.exit_code == 0
    for name, entry in COMMANDS.items():
        assert name in ended.output
        assert entry.help in ended.output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_matches_its_table_entry(name):
    command = cli.get_command(None, name)
    assert command.name == name
    assert command.help.startswith(COMMANDS[name].help.rstrip("."))


def test_an_unknown_command_exits_2():
    ended = invoke("sevre")
    assert ended.exit_code == 2
    assert "No such command 'sevre'" in ended.output


def test_version_prints_versions_and_platform():
    ended = invoke("version")
    assert ended.exit_code == 0
    for part in (__version__, platform.python_version(), platform.machine(), "simd"):
        assert part in ended.output
    assert invoke("--version").output == f"ccrelay {__version__}\n"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("", "tls      libssl of Python, called directly"),
        ("switched off", "tls      Python's ssl (switched off)"),
    ],
)
def test_version_says_how_tls_to_providers_runs(monkeypatch, reason, shown):
    monkeypatch.setattr(libssl, "reason", lambda: reason)
    assert shown in invoke("version").output.splitlines()


def test_version_works_without_the_extension(monkeypatch):
    monkeypatch.setitem(sys.modules, "ccrelay._fast", None)
    ended = invoke("version")
    assert ended.exit_code == 0
    for name in ("simd", "tls"):
        assert re.search(rf"^{name} +unknown, cannot import", ended.output, re.MULTILINE)


def test_serve_passes_its_options_to_launch(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        serve_module, "launch", lambda options, say, warn, **more: seen.append(options)
    )
    path = tmp_path / "c.yaml"
    flags = ["--config", str(path), "--listen", "[::1]:1", "--workers", "2", "--demo"]
    invoke("serve", *flags, "--log-format", "json", "--log-level", "debug")
    assert seen == [Options(path, "[::1]:1", 2, True, "json", "debug")]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ConfigError([Problem(message="no such file", source="c.yaml")]), 2),
        (ListenError("the address is already in use"), 1),
        (WorkersFailed("this relay cannot be built"), 1),
        (PermissionError(13, "Permission denied", "/var/log/x"), 1),
    ],
)
def test_expected_failures_print_one_line_and_set_the_exit_code(monkeypatch, error, exit_code):
    def fail(options, say, warn, **more):
        raise error

    monkeypatch.setattr(serve_module, "launch", fail)
    ended = invoke("serve")
    assert ended.exit_code == exit_code
    assert ended.output == f"{error}\n"


def test_unexpected_errors_propagate(monkeypatch):
    def fail(options, say, warn, **more):
        raise KeyError("bug")

    monkeypatch.setattr(serve_module, "launch", fail)
    assert isinstance(invoke("serve").exception, KeyError)


def test_serve_exits_with_the_code_of_launch(monkeypatch):
    monkeypatch.setattr(serve_module, "launch", lambda options, say, warn, **more: 1)
    assert invoke("serve").exit_code == 1
