"""What a service would run: program, configuration, and the variables that it needs."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ccrelay.cli.output import echo

# Of the shell, and of use to the relay: a service manager knows nothing of them.
USEFUL = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
    *("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"),
)
FOLDERS = ("XDG_CONFIG_HOME", "XDG_STATE_HOME")


class Refused(Exception):
    """There is nothing to install; `str()` says why and what to do. `code`: the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Plan(NamedTuple):
    """What a service runs.

    Args:
        program: words of the command, the first one an absolute path.
        config: the configuration file; None: variables only.
        variables: names that the configuration refers to, and that it cannot do without.
        useful: names that are set in this shell and that the relay would use.
        folders: variables with folders that are set here, and must be the same in the service.
        drain_s: the time that running exchanges have at the end.
        environment_file: where the variables' values are to be.
        path: the PATH of this shell, for programs of `${cmd:...}`; empty: there are none.
    """

    program: Sequence[str]
    config: Path | None
    variables: Sequence[str]
    useful: Sequence[str]
    folders: Mapping[str, str]
    drain_s: float
    environment_file: Path
    path: str

    def command(self) -> list[str]:
        """The whole command line."""
        named = ["--config", str(self.config)] if self.config is not None else []
        return [*self.program, "serve", *named]


def make_plan(file: Path | None, environment_file: Path | None, env: Mapping[str, str]) -> Plan:
    """Return what would be run; the configuration is checked, and no program of it is run.

    Raises:
        Refused: the configuration is invalid, or its file was only found in the working directory.
    """
    from ccrelay.config.load import ConfigError, load, locate

    try:
        found = locate() if file is None else None
        if found is not None and found.is_unnamed:
            raise Refused(
                f"{found.path} was found in the working directory: name it, if it is meant: "
                f"--config ./{found.path.name}",
                2,
            )
        path = file or (found.path if found is not None else None)
        loaded = load(path, require_secrets=False, run_commands=False)
    except ConfigError as error:
        raise Refused(str(error), 2) from None
    variables = sorted(loaded.variables)
    if loaded.path is None and env.get("ANTHROPIC_API_KEY"):
        variables = ["ANTHROPIC_API_KEY"]
    has_commands = bool(loaded.effects is not None and loaded.effects.commands)
    return Plan(
        program=find_program(),
        config=loaded.path.absolute() if loaded.path is not None else None,
        variables=variables,
        useful=[name for name in USEFUL if env.get(name) and name not in variables],
        folders={name: env[name] for name in FOLDERS if os.path.isabs(env.get(name, ""))},
        drain_s=loaded.config.server.timeouts.drain_s,
        environment_file=(environment_file or default_environment_file(env)).absolute(),
        path=env.get("PATH", "") if has_commands else "",
    )


def default_environment_file(env: Mapping[str, str]) -> Path:
    """Return where the values of variables are expected: beside the user's configuration."""
    from ccrelay.config.load import config_folders

    folders = config_folders(env)
    if not folders:
        raise Refused("neither HOME nor XDG_CONFIG_HOME is set: there is no user to install it for")
    return folders[0] / "environment"


def find_program() -> list[str]:
    """Return how this very program is started, by absolute paths."""
    started = Path(sys.argv[0])
    if started.name == "ccrelay" and started.is_absolute() and os.access(started, os.X_OK):
        return [str(started)]
    beside = Path(sys.executable).with_name("ccrelay")
    if os.access(beside, os.X_OK):
        return [str(beside)]
    found = shutil.which("ccrelay")
    if started.name == "ccrelay" and found is not None:
        return [os.path.abspath(found)]
    return [sys.executable, "-m", "ccrelay"]


def missing_variables(plan: Plan) -> list[str]:
    """Return the variables that the environment file does not set."""
    try:
        lines = plan.environment_file.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    words = [line.strip().removeprefix("export ").partition("=") for line in lines]
    given = {name.strip() for name, sign, value in words if sign and value.strip()}
    return [name for name in plan.variables if name not in given]


def is_exposed(path: Path) -> bool:
    """Whether others may read the environment file."""
    try:
        return bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


def print_variables(plan: Plan) -> None:
    """Say which variables the service needs and how it gets them. Values are not copied."""
    file = plan.environment_file
    missing = missing_variables(plan)
    if missing:
        echo(f"\nThe configuration needs {', '.join(missing)}. A service does not see this shell's")
        echo(f"variables, and none is copied. Write them yourself into {file}:\n")
        word = shlex.quote(str(file))
        folder = shlex.quote(str(file.parent))
        echo(f"  mkdir -p {folder} && touch {word} && chmod 600 {word}")
        echo(f"  $EDITOR {word}        (a line for each: NAME=value)")
    if is_exposed(file):
        echo(f"\nOthers can read {file}: chmod 600 {file}")
    if plan.useful:
        echo(f"\nSet in this shell, and unknown to the service unless written into {file}:")
        echo(f"  {', '.join(plan.useful)}")
