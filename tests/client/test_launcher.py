"""Claude Code directly, behind a base URL, and by the launcher, side by side.

The table stands in docs/claude-code.md; `CCRELAY_WRITE_DOCS=1` writes it there.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ccrelay
from ccrelay.cli.doctor_client import read_client
from tests.child import child_environment
from tests.client import parity, shelf
from tests.client.claude import Claude
from tests.client.direct import Direct
from tests.client.parity import MAPPED, WINDOW, Way
from tests.client.rig import Rig
from tests.pages import DOCS

pytestmark = pytest.mark.client
PAGE = DOCS / "claude-code.md"
BLOCK = re.compile(r"(<!-- parity: .*?-->\n)(.*?)(<!-- end -->)", re.DOTALL)
KEY = {"ANTHROPIC_API_KEY": "test-client-key"}
MODELS = ["claude-*", {"id": MAPPED, "max_input_tokens": WINDOW}]


def gateway(upstream: str) -> dict[str, Any]:
    """A service that is not api.anthropic.com."""
    return {
        "providers": [
            {"name": "gateway", "type": "anthropic", "base_url": upstream, "models": MODELS}
        ]
    }


def anthropic(upstream: str) -> dict[str, Any]:
    """api.anthropic.com alone; the client's own key goes through."""
    return {"providers": [{"name": "anthropic", "type": "anthropic", "models": MODELS}]}


def with_tools(claude: Claude, environment: dict[str, str]) -> parity.Ask:
    """Runs it with an MCP server."""
    server = {"command": sys.executable, "args": [str(Path(shelf.__file__))]}
    servers = json.dumps({"mcpServers": {"shelf": server}})

    def ask(prompt: str, model: str) -> Any:
        arguments = ("--mcp-config", servers)
        return claude.run(prompt, *arguments, model=model, environment={**KEY, **environment})

    return ask


def launcher(folder: Path, binary: Path, state: Path) -> Path:
    """`ccrelay claude` as a program, for the relay whose socket is in a folder."""
    sockets = list((state / "ccrelay" / "run").glob("*.sock"))
    assert len(sockets) == 1
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "claude").symlink_to(binary)
    script = folder / "launcher"
    words = [sys.executable, "-P", "-m", "ccrelay", "claude"]
    variables = {
        "PYTHONPATH": str(Path(ccrelay.__file__).parents[1]),
        "CCRELAY_SOCKET": str(sockets[0]),
    }
    set_ = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    script.write_text(f'#!/bin/sh\nPATH={programs}:$PATH {set_} exec {shlex.join(words)} "$@"\n')
    script.chmod(0o755)
    return script


def mapped(upstream: str) -> dict[str, Any]:
    """Another model under Claude's names."""
    provider = {
        "name": "zai",
        "type": "zai",
        "base_url": upstream,
        "keys": [{"key": "${UPSTREAM_KEY}"}],
        "model_mapping": {"claude-*": MAPPED},
        "models": [{"id": MAPPED, "max_input_tokens": WINDOW}],
    }
    return {"providers": [provider]}


def folder_of(parent: Path, name: str) -> Path:
    made = parent / name
    made.mkdir()
    return made


def launched(tmp_path: Path, binary: Path, name: str, state: Path) -> Claude:
    folder = folder_of(tmp_path, name)
    return Claude(launcher(folder, binary, state), folder)


@pytest.fixture
def ways(tmp_path: Path, claude_binary: Path) -> Iterator[list[Way]]:
    """All of them, each with a home folder of its own."""
    with contextlib.ExitStack() as stack:
        state = folder_of(tmp_path, "g")
        other = Rig(
            folder_of(tmp_path, "gateway"),
            gateway,
            environment=lambda address: {"XDG_STATE_HOME": str(state)},
        )
        stack.enter_context(other)
        claude = Claude(claude_binary, folder_of(tmp_path, "plain"))
        plain = Way(
            "base URL alone", with_tools(claude, {"ANTHROPIC_BASE_URL": other.url}), other.back
        )
        claude = launched(tmp_path, claude_binary, "launched", state)
        by_gateway = Way("`ccrelay claude`, another service", with_tools(claude, {}), other.back)

        first_state = folder_of(tmp_path, "a")
        rigs: list[Rig] = []

        def to_anthropic(address: str) -> dict[str, str]:
            folder = folder_of(tmp_path, "certificate")
            direct = stack.enter_context(Direct(folder, rigs[0].back.port))
            variables = direct.environment
            certificate = variables["NODE_EXTRA_CA_CERTS"]
            return {
                "XDG_STATE_HOME": str(first_state), "SSL_CERT_FILE": certificate, **variables
            }  # fmt: skip

        rigs.append(Rig(folder_of(tmp_path, "anthropic"), anthropic, environment=to_anthropic))
        first = stack.enter_context(rigs[0])
        claude = launched(tmp_path, claude_binary, "first", first_state)
        by_anthropic = Way("`ccrelay claude`, Anthropic", with_tools(claude, {}), first.back)

        folder = folder_of(tmp_path, "direct")
        direct = stack.enter_context(Direct(folder, other.back.port))
        claude = Claude(claude_binary, folder)
        straight = Way("direct", with_tools(claude, direct.environment), other.back)
        mapped_state = folder_of(tmp_path, "m")
        third = Rig(
            folder_of(tmp_path, "mapped"),
            mapped,
            environment=lambda address: {"XDG_STATE_HOME": str(mapped_state)},
        )
        stack.enter_context(third)
        claude = launched(tmp_path, claude_binary, "third", mapped_state)
        by_model = Way(f"`ccrelay claude`, {MAPPED}", with_tools(claude, {}), third.back)
        yield [straight, plain, by_anthropic, by_gateway, by_model]


def test_the_table_on_the_page_is_what_the_client_does(ways: list[Way]) -> None:
    seen = [parity.look(way) for way in ways]
    straight, plain, first, other, third = seen
    # What the launcher is for, whatever else the table says.
    assert plain.betas < first.betas <= straight.betas
    assert straight.members == first.members > plain.members
    assert straight.headers == first.headers
    assert "eager_input_streaming" in json.dumps(other.body["tools"])
    assert plain.mapped_window != other.mapped_window == third.window
    assert not third.body["system"][0]["text"].startswith("x-anthropic-billing-header")
    table = parity.table(seen)
    text = PAGE.read_text()
    found = BLOCK.search(text)
    assert found is not None, "no place for the table"
    new = text[: found.start(2)] + table + "\n" + text[found.start(3) :]
    if os.environ.get("CCRELAY_WRITE_DOCS"):
        PAGE.write_text(new)
    assert new == text, f"{PAGE.name} differs; run this with CCRELAY_WRITE_DOCS=1:\n{table}"


def test_a_session_is_told_by_project(tmp_path: Path, claude_binary: Path) -> None:
    """The folder's name is in the relay's log, and stays there."""
    state = folder_of(tmp_path, "g")
    with Rig(
        folder_of(tmp_path, "rig"),
        gateway,
        environment=lambda address: {"XDG_STATE_HOME": str(state)},
    ) as rig:
        claude = launched(tmp_path, claude_binary, "launched", state)
        assert claude.run("hi", environment=KEY).exit_code == 0
        assert [line["project"] for line in rig.exchanges(1)] == ["work"]
        [asked] = rig.back.seen()
        assert asked.field(b"x-ccrelay-project") is None


def test_the_client_reads_what_connect_writes(tmp_path: Path, claude_binary: Path) -> None:
    """Without a variable of its own; afterwards it knows no relay any more."""
    state = folder_of(tmp_path, "g")
    with Rig(
        folder_of(tmp_path, "rig"),
        mapped,
        environment=lambda address: {"XDG_STATE_HOME": str(state)},
    ) as rig:
        claude = Claude(claude_binary, folder_of(tmp_path, "home"))
        [socket] = (state / "ccrelay" / "run").glob("*.sock")
        env = {**child_environment(), "CLAUDE_CONFIG_DIR": str(claude.config_dir)}
        env["XDG_STATE_HOME"] = str(state)
        command = [sys.executable, "-P", "-m", "ccrelay"]
        subprocess.run([*command, "connect", "--socket", str(socket)], env=env, check=True)
        top = tmp_path / "home"  # of a repository; its settings are found from the folder below
        (top / ".git").mkdir()
        (top / ".claude").mkdir()
        headers = {"ANTHROPIC_CUSTOM_HEADERS": "x-ccrelay-project: shop"}
        (top / ".claude" / "settings.local.json").write_text(json.dumps({"env": headers}))
        assert read_client({}, top / "work", tmp_path).variables.keys() == headers.keys()
        assert claude.run("hi", environment={}).exit_code == 0
        assert [line["project"] for line in rig.exchanges(1)] == ["shop"]
        subprocess.run([*command, "disconnect"], env=env, check=True)
        assert not (claude.config_dir / "settings.json").exists()
        assert claude.run("hi", environment={}).exit_code == 1  # not logged in
        assert len(rig.back.seen()) == 1
