"""Scripts for shells, and what they ask for."""

import shutil
import subprocess

import pytest

from ccrelay.cli.completion import SHELLS, VARIABLE
from ccrelay.control.client import NoRelay
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli import served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_that_its_shell_can_read(shell: str) -> None:
    ended = run("completion", shell)
    assert ended.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in ended.stdout
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=ended.stdout, text=True, check=True, timeout=20)


def test_another_shell_is_wrong_usage() -> None:
    assert run("completion", "csh").exit_code == 2


def complete(*words: str) -> list[str]:
    """What a bash is told for the last of the words."""
    env = {
        VARIABLE: "bash_complete",
        "COMP_WORDS": " ".join(["ccrelay", *words]),
        "COMP_CWORD": str(len(words)),
    }
    return [line.partition(",")[2] for line in run(env=env).stdout.splitlines() if line]


def test_commands_options_and_live_names_are_completed(relay: FakeRelay) -> None:
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    assert complete("exch") == ["exchanges", "exchange"]
    assert complete("providers", "dis") == ["disable"]
    assert complete("status", "--js") == ["--json"]
    assert complete("providers", "disable", "z") == ["zai"]
    assert complete("keys", "disable", "anthropic/l") == ["anthropic/login"]
    assert complete("usage", "--by", "model,d") == ["model,day"]
    assert complete("log-level", "d") == ["debug"]


def test_without_a_relay_there_are_no_names_and_no_noise(relay: FakeRelay) -> None:
    relay.answers["Providers/List"] = NoRelay("none")
    assert complete("providers", "disable", "z") == []
