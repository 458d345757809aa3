"""A relay that the launcher starts for itself, and that ends with it.

It is found, loaded and run as `ccrelay serve` does; where the address of the configuration is taken
by another program, it listens on a free port.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ccrelay.cli import detach, exit_codes
from ccrelay.cli.client_facts import Facts, facts_of
from ccrelay.cli.connection import Failed

if TYPE_CHECKING:
    from ccrelay.config.model import Config

_URL = re.compile(r"relay +(http://[^\s,]+)")


class Started(NamedTuple):
    """A relay that was started.

    Args:
        facts: what decides how Claude Code is set up.
        log: path of the file with what it says.
    """

    facts: Facts
    log: str


def start(env: Mapping[str, str]) -> Started:
    """Start it, and return when it accepts connections. It ends when this process does.

    Raises:
        Failed: there is no usable configuration, or it did not start; says what to do.
    """
    from ccrelay.cli.doctor_config import find_config
    from ccrelay.config.show import redacted

    found = find_config(None, None)
    if found.config is None:
        raise Failed(_no_configuration(found.findings), exit_codes.USAGE)
    path = detach.log_path(env)
    if path is None:
        raise Failed("Set HOME or XDG_STATE_HOME: there is no place for the relay's log.")
    try:
        log = detach.open_log(path)
    except OSError as error:
        raise Failed(
            "Set XDG_STATE_HOME to a folder of yours, or start a relay yourself: ccrelay serve "
            f"(no log can be written for one: {path}: {error.strerror or error})"
        ) from None
    with log:
        begins_at = log.seek(0, os.SEEK_END)
        text = _spawn([*_serve(), *_listen(found.config)], env, path.parent, log.fileno())
    url = _URL.search(text or "")
    if url is None:
        said = detach.said_since(path, begins_at)
        raise Failed(f"{said}\nThe relay did not start; its log is {path}.".lstrip())
    tokens = found.config.server.auth.tokens
    token = next((one for one in tokens if one not in found.missing), None)
    facts = facts_of(redacted(found.config), _local(url[1]), token)
    return Started(facts, str(path))


def _no_configuration(findings: Sequence[object]) -> str:
    lines = [str(getattr(finding, "text", finding)) for finding in findings]
    return "\n".join(["No relay runs, and none can be started. See: ccrelay doctor", *lines])


def _serve() -> list[str]:
    # -P: the working directory, which may be a checkout of anything, is not imported from.
    return [sys.executable, "-P", "-m", "ccrelay", "serve"]


def _listen(config: "Config") -> list[str]:
    """An option for a free port where the configured one is taken."""
    from ccrelay.cli.doctor_config import bind_problem

    if bind_problem(config.server.listen) is None:
        return []
    host = config.server.listen.rpartition(":")[0]
    return ["--listen", f"{host}:0"]


def _local(url: str) -> str:
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _spawn(command: Sequence[str], env: Mapping[str, str], state: Path, log: int) -> str | None:
    """Start it under its guard; return what it said when it was ready."""
    ready, told = os.pipe()
    try:
        guard = [sys.executable, "-P", "-m", "ccrelay.cli.relay_guard"]
        child = subprocess.Popen(
            [*guard, str(os.getpid()), str(state), *command],
            env={**env, detach.VARIABLE: str(told)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(told,),
            start_new_session=True,
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(told)
    with open(ready, "rb", buffering=0) as pipe:
        child.wait()  # the guard runs on as another process
        return detach.read_ready(pipe)
