"""Runs the real Claude Code CLI, isolated from local settings and the network."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RUN_S = 100.0  # a whole run of the CLI, retries included
MODEL = "claude-opus-5-5"

# All requests must go to the base URL (client reference, section 1).
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
}
# Then the report of a sub-agent is a tool result, not a turn.
FOREGROUND = {"CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1"}


class Run:
    """The output of a run of the CLI."""

    def __init__(self, exit_code: int, output: str, errors: str) -> None:
        self.exit_code = exit_code
        self.errors = errors
        self.events: list[dict[str, Any]] = [
            json.loads(line) for line in output.splitlines() if line.startswith("{")
        ]

    def of_type(self, kind: str, subtype: str | None = None) -> list[dict[str, Any]]:
        """The events of a type, and of a subtype if one is given."""
        return [
            event
            for event in self.events
            if event.get("type") == kind and subtype in (None, event.get("subtype"))
        ]

    @property
    def result(self) -> dict[str, Any]:
        """The last result event. AssertionError when there is none."""
        results = self.of_type("result")
        assert results, f"no result, exit {self.exit_code}: {self.errors[-2000:]}"
        return results[-1]

    @property
    def text(self) -> str:
        """The final text."""
        text = self.result.get("result", "")
        assert isinstance(text, str)
        return text

    @property
    def retries(self) -> list[Any]:
        """The statuses of retried requests; None for a lost connection."""
        return [event["error_status"] for event in self.of_type("system", "api_retry")]

    @property
    def session(self) -> str:
        """The session id, for --resume."""
        return str(self.result["session_id"])

    def blocks(self, kind: str) -> list[dict[str, Any]]:
        """The content blocks of a type in all messages, the model's and the user's."""
        contents = [
            event["message"]["content"]
            for event in self.events
            if event.get("type") in ("assistant", "user")
        ]
        return [
            block
            for content in contents
            if isinstance(content, list)
            for block in content
            if block.get("type") == kind
        ]


class Claude:
    """The CLI with its own home directory."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self.config_dir = folder / "home" / ".claude"
        self._home = folder / "home"
        self._work = folder / "work"
        self._temporary = folder / "tmp"
        for made in (self.config_dir, self._work, self._temporary):
            made.mkdir(parents=True, exist_ok=True)

    def ask(
        self,
        url: str,
        prompt: str,
        *arguments: str,
        model: str = MODEL,
        **environment: str,
    ) -> Run:
        """Run `claude -p`; the prompt is standard input, so it may be large.

        `environment` is added to the little that is set; without a credential in it, an API key
        is. AssertionError when the run takes too long; it is ended then.
        """
        if not {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"} & environment.keys():
            environment["ANTHROPIC_API_KEY"] = "test-client-key"
        return self._run(prompt, arguments, model, {"ANTHROPIC_BASE_URL": url, **environment})

    def run(
        self, prompt: str, *arguments: str, model: str = MODEL, environment: dict[str, str]
    ) -> Run:
        """Run `claude -p` with these variables: no base URL and no credential are added."""
        return self._run(prompt, arguments, model, environment)

    def converse(
        self, environment: dict[str, str], prompts: Sequence[str], *arguments: str, model: str
    ) -> Run:
        """One process that gets several prompts, each when the one before is answered."""
        arguments = ("--input-format", "stream-json", *arguments)
        process = self._start(arguments, model, environment)
        timer = threading.Timer(RUN_S, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        assert process.stdin is not None
        assert process.stdout is not None
        lines: list[str] = []
        try:
            for prompt in prompts:
                turn = {"type": "user", "message": {"role": "user", "content": prompt}}
                process.stdin.write(json.dumps(turn) + "\n")
                process.stdin.flush()
                for line in process.stdout:
                    lines.append(line)
                    if json.loads(line)["type"] == "result":
                        break
            rest, errors = process.communicate()
        finally:
            timer.cancel()
        return Run(process.returncode, "".join(lines) + rest, errors)

    def _run(
        self, standard_input: str, arguments: Sequence[str], model: str, environment: dict[str, str]
    ) -> Run:
        process = self._start(arguments, model, environment)
        try:
            output, errors = process.communicate(standard_input, timeout=RUN_S)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            raise AssertionError(f"still running after {RUN_S} s: {output[-3000:]}") from error
        return Run(process.returncode, output, errors)

    def _start(
        self, arguments: Sequence[str], model: str, environment: dict[str, str]
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                str(self._binary),
                "-p",
                "--output-format",
                "stream-json",
                "--verbose",
                "--model",
                model,
                "--dangerously-skip-permissions",
                *arguments,
            ],
            cwd=self._work,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._home),
                "CLAUDE_CONFIG_DIR": str(self.config_dir),
                "CLAUDE_CODE_TMPDIR": str(self._temporary),
                "TMPDIR": str(self._temporary),
                "LANG": "C.UTF-8",
                "IS_SANDBOX": "1",  # else root may not skip permissions
                **QUIET,
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # so that its children can be killed with it
        )
