"""What can be said of Dockerfile and compose.example.yaml without a container."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ccrelay.config.load import load
from tests.child import child_environment

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
KEYWORDS = {
    *("FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "VOLUME", "USER", "EXPOSE"),
    *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}

pytestmark = pytest.mark.skipif(not DOCKERFILE.exists(), reason="tests of a wheel have no sources")


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> Iterator[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return iter(found)


def last(word: str) -> str:
    *_, final = stages()
    return [rest for name, rest in final if name == word][-1]


def variables() -> dict[str, str]:
    return dict(part.split("=", 1) for part in shlex.split(last("ENV")))


def compose() -> dict[str, object]:
    loaded = yaml.safe_load((ROOT / "compose.example.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_every_instruction_is_known() -> None:
    assert {word for word, _ in instructions()} <= KEYWORDS


def test_it_runs_as_nobody_special() -> None:
    user, _, group = last("USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    *_, final = stages()
    words = [word for word, _ in final]
    assert "RUN" not in words[words.index("USER") :], "nothing is installed by the user"


def test_the_base_is_a_release_and_the_same_in_both_stages() -> None:
    [base] = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("PYTHON=")]
    assert re.fullmatch(r"PYTHON=3\.\d+-slim-\w+", base)
    assert [stage[0][1] for stage in stages()] == ["python:${PYTHON} AS wheels", "python:${PYTHON}"]


def test_the_last_stage_installs_wheels_only() -> None:
    *_, final = stages()
    run = next(rest for word, rest in final if word == "RUN")
    assert "--no-index" in run
    assert "--find-links=/wheels" in run
    assert "apt-get" not in run
    assert "COPY" not in [word for word, _ in final]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in instructions():
        if word == "COPY":
            *names, _ = rest.split()
            for name in names:
                assert (ROOT / name).exists(), name
                assert f"!{name}" in ignore


def test_the_volumes_are_where_the_relay_keeps_its_files() -> None:
    assert json.loads(last("VOLUME")) == ["/config", "/state"]
    env = variables()
    assert env["CCRELAY_CONFIG"].startswith("/config/")
    assert env["STATE_DIRECTORY"] == "/state"
    service = compose()["services"]["ccrelay"]  # type: ignore[index,call-overload]
    assert service["volumes"] == ["config:/config", "state:/state"]
    assert list(compose()) == ["volumes", "services"], "volumes stand at the top"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.process
def test_the_commands_work_as_they_are_written(tmp_path: Path) -> None:
    """The line of compose.example.yaml makes a configuration that the entry point serves, and the
    health check finds it healthy; in folders of this machine, at another port."""
    text = (ROOT / "compose.example.yaml").read_text().replace("\n#", "").replace("\\", "")
    [line] = re.findall(r"run --rm ccrelay (init .*?0\.0\.0\.0:8787)", text)
    env = child_environment() | {
        name: value.replace("/config", f"{tmp_path}/config").replace("/state", f"{tmp_path}/state")
        for name, value in variables().items()
    }
    env |= {"RELAY_TOKEN": "test-token-of-the-relay", "ANTHROPIC_API_KEY": "test-key-1"}
    program = [sys.executable, "-P", "-m", "ccrelay"]
    made = subprocess.run(
        [*program, *shlex.split(line), "--no-check"],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    file = Path(env["CCRELAY_CONFIG"])
    config = load(file, env=env).config
    assert (config.server.listen, len(config.server.auth.tokens)) == ("0.0.0.0:8787", 1)
    command = [*program, *json.loads(last("CMD")), "--listen", "127.0.0.1:0"]
    with (tmp_path / "out").open("wb") as out:
        relay = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=out, stderr=out)
    try:
        assert json.loads(last("ENTRYPOINT")) == ["ccrelay"]
        port = _port(tmp_path / "out", relay)
        assert _health(port, env) == 0
    finally:
        relay.terminate()
        relay.wait(30)
    assert _health(port, env) != 0
    assert list((tmp_path / "state").iterdir()), "nothing was kept"


def _port(out: Path, relay: "subprocess.Popen[bytes]") -> str:
    from tests.process.commands import until

    found = until(
        lambda: re.search(r"http://127\.0\.0\.1:(\d+)", out.read_text()) or relay.poll(), "no port"
    )
    assert isinstance(found, re.Match), out.read_text()
    return str(found[1])


def _health(port: str, env: dict[str, str]) -> int:
    """The exit code of the health check."""
    written = last("HEALTHCHECK").partition("CMD ")[2]
    program, *arguments = json.loads(written.replace(":8787", f":{port}"))
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *arguments], env=env, capture_output=True, timeout=30, check=False
    )
    return done.returncode
