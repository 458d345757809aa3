"""From nothing to the first answer, and what each relay shows of it.

    python -m bench.faces --claude CLAUDE --ccr CCR [--wheel FILE] [--rounds 7]

Every relay gets a clean home and the same provider, which answers with 12,456 tokens written to the
cache. `claude -p` then goes through each in turn, interleaved. Installs use the machine's caches of
pip and npm, where it has any.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.faces.upstream import CACHE_WRITE, TEXT, upstream

LIMIT_S = 300
KEY = "test-key-1"
MODEL = "claude-sonnet-5-5"
NPM_NEEDS = ("NODE_EXTRA_CA_CERTS", "npm_config_registry", "npm_config_cafile")
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "IS_SANDBOX": "1",
}


class Way:
    """One way from Claude Code to the provider, in a home of its own.

    Args:
        name: for the table.
        folder: its home.
        path: folders of its programs.
    """

    def __init__(self, name: str, folder: Path, path: list[Path]) -> None:
        self.name = name
        self.home = folder / name
        self.home.mkdir()
        runtime = self.home / "run"
        runtime.mkdir(mode=0o700)
        self.env = {
            **QUIET,
            "PATH": os.pathsep.join([*map(str, path), "/usr/local/bin", "/usr/bin", "/bin"]),
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(runtime),
            "CLAUDE_CONFIG_DIR": str(self.home / ".claude"),
            "MOCK_KEY": KEY,
            "TERM": "dumb",
        }
        self.steps: list[tuple[str, float]] = []

    def step(self, *command: str, **env: str) -> str:
        """Run a command to its end and note what it took; its output."""
        began = time.monotonic()
        done = subprocess.run(
            command,
            env={**self.env, **env},
            cwd=self.home,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=LIMIT_S,
        )
        self.steps.append((" ".join(Path(part).name or part for part in command), _since(began)))
        if done.returncode:
            raise SystemExit(f"{self.name}: {command} failed\n{done.stdout}{done.stderr}")
        return done.stdout

    def write(self, name: str, text: str) -> None:
        """What a user writes by hand; it costs no time here, and is counted as a step."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.steps.append((f"write {name} by hand, {len(text.splitlines())} lines", 0.0))


def _since(began: float) -> float:
    return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ccrelay(folder: Path, base_url: str, claude: Path, wheel: str) -> Way:
    """Set ccrelay up as README says: install, init, claude."""
    venv = folder / "venv"
    way = Way("ccrelay", folder, [venv / "bin", claude.parent])
    way.step(sys.executable, "-m", "venv", str(venv))
    way.step(str(venv / "bin" / "pip"), "install", "-q", wheel)
    program = str(venv / "bin" / "ccrelay")
    way.step(
        *(program, "init", "--provider", "anthropic", "--base-url", base_url),
        *("--key-from-env", "MOCK_KEY", "--store", "env", "--no-check", "--yes"),
    )
    said = way.step(program, "claude", "-p", "say hi")
    assert TEXT in said, said
    return way


def router(folder: Path, base_url: str, claude: Path, package: str) -> Way:
    """Set claude-code-router up as its README says: install, a file by hand, code."""
    prefix = folder / "npm"
    way = Way("claude-code-router", folder, [prefix / "node_modules" / ".bin", claude.parent])
    npm = shutil.which("npm") or "npm"
    # What this machine needs to reach a registry; the home is a clean one.
    own = {name: value for name, value in os.environ.items() if name in NPM_NEEDS}
    own.setdefault("npm_config_userconfig", str(Path.home() / ".npmrc"))
    way.step(npm, "install", "--no-audit", "--no-fund", "--prefix", str(prefix), package, **own)
    provider = {
        "name": "mock",
        "api_base_url": f"{base_url}/v1/messages",
        "api_key": KEY,
        "models": [MODEL],
        "transformer": {"use": ["Anthropic"]},
    }
    config = {
        "LOG": True,
        "HOST": "127.0.0.1",
        "PORT": _free_port(),
        "Providers": [provider],
        "Router": {"default": f"mock,{MODEL}"},
    }
    way.write(".claude-code-router/config.json", json.dumps(config, indent=2))
    program = str(prefix / "node_modules" / ".bin" / "ccr")
    said = way.step(program, "code", "-p", "say hi")
    assert TEXT in said, said
    return way


@contextmanager
def running(way: Way, *command: str) -> Iterator[None]:
    """A relay that stays."""
    process = subprocess.Popen(
        command,
        env=way.env,
        cwd=way.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    ends_at = time.monotonic() + 30
    while process.poll() is None and _status(way, command[0]) and time.monotonic() < ends_at:
        time.sleep(0.1)
    assert process.poll() is None, "the relay does not run"
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _status(way: Way, program: str) -> int:
    command = [program, "status"]
    return subprocess.run(command, env=way.env, cwd=way.home, capture_output=True).returncode


def prompts(ways: dict[str, Callable[[], str]], rounds: int) -> dict[str, list[float]]:
    """Seconds of `claude -p`, each way once a round, in turning order."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.monotonic()
            said = ways[name]()
            assert TEXT in said, (name, said)
            times[name].append(_since(began))
    return times


def shown(way: Way, *command: str) -> str:
    """The lines of a command's output that know of the tokens written to the cache."""
    done = subprocess.run(
        command, env=way.env, cwd=way.home, capture_output=True, text=True, timeout=60
    )
    wanted = (f"{CACHE_WRITE:,}", str(CACHE_WRITE), "12.46k", "12.5k")
    lines = [line.strip() for line in done.stdout.splitlines() if any(w in line for w in wanted)]
    return "; ".join(lines)[:300] or "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claude", type=Path, required=True, help="the program")
    parser.add_argument("--wheel", required=True, help="of ccrelay, or what pip installs")
    parser.add_argument("--ccr", default="", help="what npm installs of claude-code-router")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faces-"))
    try:
        with upstream() as base_url:
            report(folder, base_url, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def report(folder: Path, base_url: str, options: Any) -> None:
    """Measure, and print what came."""
    ours = ccrelay(folder, base_url, options.claude, options.wheel)
    ways = [ours]
    if options.ccr:
        ways.append(router(folder, base_url, options.claude, options.ccr))
    for way in ways:
        print(f"\n{way.name}: from nothing to the first answer")
        for command, took in way.steps:
            print(f"  {took:7.2f} s  {command}")
        print(f"  {sum(took for _, took in way.steps):7.2f} s  in {len(way.steps)} steps")
    direct = Way("direct", folder, [options.claude.parent])
    direct.env |= {"ANTHROPIC_BASE_URL": base_url, "ANTHROPIC_API_KEY": KEY}
    calls = {"direct": lambda: direct.step(str(options.claude), "-p", "say hi")}
    program = _which(ours, "ccrelay")
    calls["ccrelay"] = lambda: ours.step(program, "claude", "-p", "say hi")
    code = _which(ways[1], "ccr") if options.ccr else ""
    if options.ccr:
        calls["claude-code-router"] = lambda: ways[1].step(code, "code", "-p", "say hi")
    with running(ours, program, "serve", "--listen", f"127.0.0.1:{_free_port()}"):
        times = prompts(calls, options.rounds)
        print(f"\nclaude -p, {options.rounds} rounds, interleaved, relays running")
        base = statistics.median(times["direct"])
        for name, seconds in times.items():
            median = statistics.median(seconds)
            best = min(seconds)
            print(f"  {name:20} {median:.2f} s, best {best:.2f} s, {median / base:.2f}x direct")
        print(f"\nWhat is shown of {CACHE_WRITE:,} tokens written to the cache")
        print("  ccrelay exchange last:", shown(ours, program, "exchange", "last"))
        if options.ccr:
            print("  ccr status:", shown(ways[1], code, "status"))
            ways[1].step(code, "stop")


def _which(way: Way, name: str) -> str:
    found = shutil.which(name, path=way.env["PATH"])
    assert found is not None, name
    return found


if __name__ == "__main__":
    main()
