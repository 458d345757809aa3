"""What `claude`, `env` and `connect` have in common: the relay's facts, the user's settings."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ccrelay.cli import exit_codes
from ccrelay.cli.client_environment import BASE_URL, SECRETS, Variable, decide
from ccrelay.cli.client_facts import Facts, ask
from ccrelay.cli.client_project import current_project, working_folder
from ccrelay.cli.connection import Failed, Relay

if TYPE_CHECKING:
    from ccrelay.cli.doctor_client import Client

ENDS = "This relay ends with the Claude Code that started it. One that stays: ccrelay serve"
NOT_NOW = "Try again in a moment: the relay is starting or ending, and takes no requests now."
INSTALL = "npm install -g @anthropic-ai/claude-code"
_INSTALLED = ((".local", "bin", "claude"), (".claude", "local", "claude"))
LAUNCHER = "CCRELAY_LAUNCHER"  # the process that became Claude Code
COLUMNS = 47  # of names in a list with reasons
PATIENCE_S = 6.0  # for a relay that ends: the guard of one that was launched waits 5 s
POLL_S = 0.2
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_PASSING = frozenset({"UNAVAILABLE"})  # the connection broke: it is just ending


def facts_of_running(socket: str | None = None, state: Path | None = None) -> tuple[Facts, int]:
    """Return the facts of the running relay, and its process id.

    One that ends, or that is just being started, is waited for.

    Args:
        socket: path of its socket; None: it is looked for.
        state: where launched relays are listed: one of them then lives as long as this process.

    Raises:
        Failed: no relay runs, or it does not answer.
    """
    from ccrelay.cli.relay_users import join, users_file

    relay = Relay(socket)
    ends_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            pid = _pid_of_serving(relay)
            if pid is not None and (state is None or join(users_file(state, pid), os.getpid())):
                return ask(relay), pid
        except Failed as error:
            if error.code not in _PASSING or time.monotonic() > ends_at:
                raise
        if time.monotonic() > ends_at:
            raise Failed(NOT_NOW, exit_codes.NO_RELAY)
        relay.forget()
        time.sleep(POLL_S)


def _pid_of_serving(relay: Relay) -> int | None:
    """The process id of a relay that takes requests; None: it starts, or ends."""
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse, Status

    status = relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse).status
    return int(status.pid) if status.state == Status.STATE_SERVING and status.listen else None


def find_claude(env: Mapping[str, str]) -> str:
    """Return the path of the program: in PATH, else where its installers put it. Raises Failed."""
    import shutil

    found = shutil.which("claude", path=env.get("PATH"))
    home = env.get("HOME", "")
    others = [os.path.join(home, *parts) for parts in _INSTALLED] if os.path.isabs(home) else []
    found = found or next((path for path in others if os.access(path, os.X_OK)), None)
    if found is None:
        raise Failed(f"Claude Code is missing: `claude` is not in PATH. Install it: {INSTALL}")
    return found


def check_clouds(env: Mapping[str, str]) -> None:
    """Fail where Claude Code would ask a cloud itself. Raises Failed."""
    from ccrelay.cli.doctor_client import CLOUDS

    client = _client(env)
    for name in CLOUDS:
        setting = client.settings.get(name)
        if setting is not None and setting.value.lower() in ("1", "true", "yes", "on"):
            where = f" in {setting.source}" if setting.source else ""
            do = f"Remove it from {setting.source}" if setting.source else f"unset {name}"
            raise Failed(f"{name} is set{where}: Claude Code asks the cloud, not the relay. {do}")


def check_settings(facts: Facts, env: Mapping[str, str]) -> None:
    """Fail where Claude Code's own settings would lead it past the relay. Raises Failed."""
    url = _client(env).settings.get(BASE_URL)
    if url is not None and url.source and not is_same_url(url.value, facts.url):
        raise Failed(
            f"{url.source} sets {BASE_URL} to another address, which wins over the environment: "
            f"Claude Code would not ask this relay at {facts.url}. Remove it there, or: "
            "ccrelay disconnect"
        )


def hindrances(facts: Facts, pid: int, env: Mapping[str, str]) -> list[str]:
    """Return what keeps a Claude Code that is started by hand from this relay, or will.

    Args:
        facts: of the relay.
        pid: its process id.
        env: variables of the shell.
    """
    from ccrelay.config.places import state_folder

    found = []
    for check in (partial(check_clouds, env), partial(check_settings, facts, env)):
        try:
            check()
        except Failed as error:
            found.append(error.message)
    state = state_folder(env)
    if state is not None and is_launched(state, pid):
        found.append(ENDS)
    return found


def _client(env: Mapping[str, str]) -> "Client":
    """What Claude Code would use in this folder."""
    from ccrelay.cli.doctor_client import read_client, system_folder

    return read_client(env, working_folder(), system_folder())


def is_same_url(one: str, other: str) -> bool:
    """Return whether two base URLs lead to the same relay."""
    plain = [
        url.rstrip("/").removesuffix("/v1").replace("//localhost:", "//127.0.0.1:")
        for url in (one, other)
    ]
    return plain[0] == plain[1]


def decided(facts: Facts, env: Mapping[str, str]) -> list[Variable]:
    """Return the variables for Claude Code in this folder."""
    variables = _client(env).variables
    given = {**env, **{name: one.value for name, one in variables.items()}}
    sources = {name: one.source for name, one in variables.items()}
    return decide(facts, given, current_project(env), sources)


def explained(variables: Sequence[Variable], facts: Facts) -> list[str]:
    """Return one line per variable with its value and reason; secrets are not shown."""
    lines = []
    for variable in variables:
        value = "-" if variable.value is None else shown(variable, facts.token)
        lines.append(f"{variable.name:<{COLUMNS}} {value}\n    {variable.reason}")
    return lines


def shown(variable: Variable, token: str | None) -> str:
    """Return the value without secrets, on one line."""
    value = variable.value or ""
    if variable.name in SECRETS:
        if variable.is_given:
            return "(yours)"
        if token:
            value = value.replace(token, "(token)")
    return " | ".join(value.splitlines())


def conflicts(variables: Sequence[Variable], env: Mapping[str, str]) -> list[str]:
    """Return what to say of variables of the user that differ."""
    said = []
    url = next(one for one in variables if one.name == BASE_URL)
    own = env.get(BASE_URL)
    if own and not is_same_url(own, url.value or ""):
        said.append(f"{BASE_URL} of this shell is not used: Claude Code asks {url.value}.")
    said += [
        f"{one.name} of {one.source or 'this shell'} stays: {one.reason}."
        for one in variables
        if one.is_given and one.reason.startswith("yours;")
    ]
    return said


def is_no_relay(error: Failed) -> bool:
    """Return whether no relay runs, so that one can be started."""
    return error.exit_code == exit_codes.NO_RELAY


def replace_process(program: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """Become another program: same process, terminal and signals. Raises Failed."""
    own = str(os.getpid())
    if env.get(LAUNCHER) == own:
        raise Failed(f"Name Claude Code itself in {program}: it runs ccrelay claude, without end.")
    # A signal that is ignored would stay so in all that it starts.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _IGNORED_BY_PYTHON}
    try:
        os.execve(program, ["claude", *arguments], {**env, LAUNCHER: own})
    except OSError as error:
        for number, handler in before.items():
            signal.signal(number, handler)
        raise Failed(f"{program} cannot be run: {error.strerror or error}.") from None


def is_launched(state: Path, pid: int) -> bool:
    """Return whether a relay was started by a launcher, and so ends with Claude Code."""
    from ccrelay.cli.relay_users import users_file

    return users_file(state, pid).exists()
