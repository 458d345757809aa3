"""`ccrelay config`: check, show, init, path, schema; trust is in `ccrelay.cli.trust`.

Imports are inside the commands: `--help` must not import YAML and the checks.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ccrelay.cli.output import echo
from ccrelay.cli.trust import trust

if TYPE_CHECKING:
    from ccrelay.config.defaults import Ollama
    from ccrelay.config.problems import ConfigError

PROBE_TIMEOUT_S = 0.5
PROBE_BYTES_MAX = 1 << 20  # the list of tags is a few kilobytes
INVALID_CONFIG = 2  # exit code of every command with an invalid configuration

_file_option = click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first file found.",
)


@click.group()
def config() -> None:
    """Create, check and show the configuration."""


config.add_command(trust)


@config.command()
@_file_option
@click.option("--run-commands", is_flag=True, help="Run the programs of ${cmd:...}, as serve does.")
def check(file: Path | None, run_commands: bool) -> None:
    """Check the configuration and print all problems. Exit code 0: valid, 2: invalid.

    Programs of ${cmd:...} are not run: their values are not checked, with a warning.
    """
    from ccrelay.config.problems import ConfigError
    from ccrelay.config.secret_shapes import is_dubious
    from ccrelay.runtime.source import Options, Source

    try:
        # As `serve` does.
        loaded = Source.find(Options(config=file)).load(run_commands=run_commands)
    except ConfigError as error:
        echo(str(error))
        count = sum(problem.severity == "error" for problem in error.problems)
        echo(f"{count} {'error' if count == 1 else 'errors'}")
        sys.exit(INVALID_CONFIG)
    for warning in loaded.warnings:
        echo(str(warning))
    names = [p.name for p in loaded.config.providers if p.enabled]
    providers = ", ".join("..." if is_dubious(name) else name for name in names)
    echo(f"{loaded.path or 'no file, environment only'}: ok (providers: {providers})")


@config.command()
@_file_option
def show(file: Path | None) -> None:
    """Print the effective configuration as YAML, with defaults, secrets as fingerprints.

    Programs of ${cmd:...} are not run.
    """
    from ccrelay.config.load import ConfigError, load

    try:
        loaded = load(file, run_commands=False)
    except ConfigError as error:
        _exit_invalid(error)
    import yaml

    from ccrelay.config.fingerprint import set_key
    from ccrelay.config.fingerprint_key import load_key
    from ccrelay.config.show import redacted

    found = load_key(os.environ)
    set_key(found.key)
    if found.problem:
        echo(f"# fingerprints of this run only: {found.problem}")
    echo(f"# from {loaded.path or 'the environment (no file)'}")
    shown = redacted(loaded.config, not_run=loaded.not_run)
    echo(yaml.safe_dump(shown, sort_keys=False, width=100), nl=False)


@config.command()
@_file_option
@click.option("--all", "all_locations", is_flag=True, help="Print all locations that are searched.")
def path(file: Path | None, all_locations: bool) -> None:
    """Print the path of the configuration file in use. Exit code 1: no file."""
    from ccrelay.config.load import ConfigError, find, search_paths

    try:
        found = find(file)
    except ConfigError as error:
        _exit_invalid(error)
    if not all_locations:
        if found is None:
            echo("no configuration file (see --all); using environment variables only", err=True)
            sys.exit(1)
        echo(str(found))
        return
    locations = search_paths(os.environ)
    if found is not None and found not in locations:
        locations.insert(0, found)  # from --config or $CCRELAY_CONFIG
    for location in locations:
        echo(f"{'*' if location == found else ' '} {location}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    import json

    from ccrelay.config.schema import schema as json_schema

    echo(json.dumps(json_schema(), indent=2))


@config.command()
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: ccrelay/config.yaml in the user's configuration directory.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(file: Path | None, force: bool) -> None:
    """Write a commented starter configuration from environment variables and a local Ollama.

    Keys are written as ${VAR} references, never as values.
    """
    from ccrelay.config.defaults import detect, ollama_url, starter_config

    target = file or _default_target(os.environ)
    if target.suffix.lower() == ".toml":
        raise click.UsageError("init writes YAML; use a *.yaml file name")
    found = detect(os.environ, probe_ollama(ollama_url(os.environ)))
    try:
        _write(target, starter_config(found), force=force)
    except FileExistsError:
        echo(f"{target} already exists; use --force to overwrite it", err=True)
        sys.exit(1)
    except OSError as error:
        echo(f"cannot write {target}: {error.strerror}", err=True)
        sys.exit(1)
    echo(f"wrote {target}")
    variables = ["ANTHROPIC_API_KEY"] if found.anthropic else []
    variables += [known.variable for known in found.keys]
    for variable in variables:
        echo(f"  found ${variable}")
    if found.ollama is not None:
        echo(f"  found Ollama at {found.ollama.base_url}, models: {len(found.ollama.models)}")
    echo(f"next: ccrelay serve{_config_option(target)}")


def probe_ollama(base_url: str) -> "Ollama | None":
    """Return the Ollama at `base_url`; None when it does not answer within PROBE_TIMEOUT_S."""
    import threading

    found: list[Ollama] = []

    def probe() -> None:
        models = _fetch_tags(base_url)
        if models is not None:
            from ccrelay.config.defaults import Ollama

            found.append(Ollama(base_url, models))

    # In a thread, because name resolution has no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_TIMEOUT_S)
    return found[0] if found else None


def _fetch_tags(base_url: str) -> tuple[str, ...] | None:
    import http.client
    from urllib.parse import urlsplit

    try:
        url = urlsplit(base_url)
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        connection = kinds[url.scheme](url.hostname or "", url.port, timeout=PROBE_TIMEOUT_S)
    except (KeyError, ValueError, http.client.InvalidURL):
        return None
    try:
        connection.request("GET", url.path.rstrip("/") + "/api/tags")
        response = connection.getresponse()
        return tags(response.read(PROBE_BYTES_MAX)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def tags(body: bytes) -> tuple[str, ...]:
    """Return the model names of a response to `GET /api/tags`.

    Raises:
        ValueError: invalid response.
    """
    import json

    answer: Any = json.loads(body)
    models = answer.get("models") if isinstance(answer, dict) else None
    if not isinstance(models, list):
        raise ValueError("no list of models")
    names = [model.get("name") for model in models if isinstance(model, dict)]
    return tuple(name for name in names if isinstance(name, str))


def _default_target(env: Mapping[str, str]) -> Path:
    from ccrelay.config.load import config_folders

    folders = config_folders(env)
    if not folders:
        raise click.UsageError("neither HOME nor XDG_CONFIG_HOME is set: use --config FILE")
    return folders[0] / "config.yaml"


def _write(target: Path, text: str, *, force: bool) -> None:
    """Write a file atomically, with mode 0600. Raises FileExistsError unless `force`."""
    import tempfile

    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True)
    if not force:  # reserve the name; fails when it exists
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        if not force:
            os.unlink(target)
        raise


def _config_option(target: Path) -> str:
    """Return the option for `serve` to use `target`, or "" when `serve` finds it without."""
    import shlex

    from ccrelay.config.load import ConfigError, locate

    try:
        found = locate()
    except ConfigError:
        found = None
    # One in the working directory would have to be confirmed, unless it is named.
    if found and not found.is_unnamed and found.path.resolve() == target.resolve():
        return ""
    return f" --config {shlex.quote(str(target))}"


def _exit_invalid(error: "ConfigError") -> NoReturn:
    echo(str(error), err=True)
    sys.exit(INVALID_CONFIG)
