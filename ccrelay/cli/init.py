"""`ccrelay init`: asks what there is to ask, writes the first configuration, and says how to go on.

Each question has an option. `ccrelay.cli.init_questions` asks them.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccrelay.cli.connection import Failed
from ccrelay.cli.output import echo

if TYPE_CHECKING:
    from ccrelay.cli.init_questions import Answers
    from ccrelay.first_run.choice import Choice
    from ccrelay.first_run.detect import Detected
    from ccrelay.first_run.write import Written

RELOAD_TIMEOUT_S = 60.0
STORES = ("keychain", "file", "env")


@click.command()
@click.option(
    "--provider",
    "providers",
    multiple=True,
    metavar="NAME",
    help="Type, preset or found name; several in the order of use.",
)
@click.option("--login", is_flag=True, help="Pass Claude Code's own login through; no key.")
@click.option("--key-from-env", "variable", metavar="VAR", help="The key is in this variable.")
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input.")
@click.option("--store", type=click.Choice(STORES), help="Where the key is kept.")
@click.option("--base-url", metavar="URL", help="Of a service that is elsewhere.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="As region=eu-west-1.")
@click.option("--model", metavar="NAME", help="Model for Claude's names, and for the check.")
@click.option("--check/--no-check", default=None, help="Ask for one token, or ask nothing at all.")
@click.option("--listen", metavar="HOST:PORT", help="Address of the relay; default 127.0.0.1:8787.")
@click.option(
    "--file",
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: ccrelay/config.yaml in the user's configuration directory.",
)
@click.option(
    "--yes", "-y", is_flag=True, help="Ask nothing. Without --provider: all that is found."
)
def init(
    providers: tuple[str, ...],
    login: bool,
    variable: str | None,
    key_stdin: bool,
    store: str | None,
    base_url: str | None,
    settings: tuple[str, ...],
    model: str | None,
    check: bool | None,
    listen: str | None,
    file: Path | None,
    yes: bool,
) -> None:
    """Make the first configuration.

    Looks for keys in the environment, a login, clouds and local models, asks, tries what was
    chosen, keeps the key in the keychain or a file of mode 0600, and writes a commented
    file without keys. Changes nothing that is there. Exit codes: 0 written, 1 not, 2 wrong usage.
    """
    from ccrelay.cli.init_questions import Answers

    answers = Answers(
        providers=(*providers, *(["anthropic"] if login and not providers else [])),
        variable=variable or "",
        is_key_piped=key_stdin,
        is_login=login,
        base_url=base_url or "",
        settings=dict(_pair(text) for text in settings),
        model=model or "",
        check=check,
        store=store,
        listen=listen or "",
        is_asked=has_terminal() and not yes and not key_stdin,
    )
    _check_usage(answers, is_all=yes)
    _run(answers, file)


def has_terminal() -> bool:
    """Whether there is a terminal to ask in."""
    return all(one is not None and one.isatty() for one in (sys.stdin, sys.stdout))


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise click.UsageError(f"--set {text[:40]!r} is not NAME=VALUE.")
    return name.strip(), value.strip()


def _check_usage(answers: "Answers", *, is_all: bool) -> None:
    """Raises UsageError: what is said contradicts itself, or is too little without a terminal."""
    keys = (bool(answers.variable), answers.is_key_piped, answers.is_login)
    if sum(keys) > 1:
        raise click.UsageError("--login, --key-from-env and --key-stdin exclude each other.")
    if answers.variable and answers.store not in (None, "env"):
        raise click.UsageError("A key in a variable stays there: --store env, or --key-stdin.")
    if answers.store == "env" and not answers.variable:
        raise click.UsageError("--store env needs --key-from-env VAR.")
    own = any(keys) or answers.base_url or answers.settings or answers.model
    if len(answers.providers) > 1 and own:
        raise click.UsageError(
            "Options of a key, an address or a model are for one --provider: without them, "
            "several are taken as they are found."
        )
    if not answers.is_asked and not answers.providers:
        if not is_all:
            raise click.UsageError(
                "No terminal to ask in: name --provider (with --login, --key-from-env VAR or "
                "--key-stdin), or take all that is found with --yes."
            )
        if own or answers.store or answers.check:
            raise click.UsageError(
                "--provider is missing: --yes alone names keys in variables, and asks nothing."
            )


def _run(answers: "Answers", file: Path | None) -> None:
    from ccrelay.first_run.choice import SetupProblem
    from ccrelay.first_run.detect import detect, existing, target
    from ccrelay.first_run.text import variables_of
    from ccrelay.first_run.write import HasConfig, check_place

    try:
        place = file or target(os.environ)
        found = existing(os.environ) if file is None else place if os.path.lexists(place) else None
        if found is not None:
            raise HasConfig(found)
        check_place(place, os.environ)
        detected = detect(os.environ)
        if answers.providers or answers.is_asked:
            written = _set_up(answers, detected, file)
        else:
            written = _take_all(detected, place, answers.listen)
    except HasConfig as problem:
        raise Failed(
            f"{problem} Edit it, name another one with --file, or look at it: ccrelay config show"
        ) from None
    except KeyboardInterrupt:  # while something was waited for
        echo("\nNothing was written.", err=True)
        raise
    except click.Abort as abort:
        echo("\nNothing was written.", err=True)
        if isinstance(abort.__context__, KeyboardInterrupt):  # click hides it
            raise KeyboardInterrupt from None
        raise
    except SetupProblem as problem:
        raise Failed(f"{problem} Nothing was written.") from None
    for name in variables_of(written.text):
        if not os.environ.get(name):
            echo(f"first: set {name}, which the file names and is not set here")
    _go_on(written.file)


def _set_up(answers: "Answers", detected: "Detected", file: Path | None) -> "Written":
    from ccrelay.cli.init_questions import Questions

    questions = Questions(answers, detected, os.environ)
    choices = questions.choices()
    return _write(choices, file, answers.listen)


def _write(choices: "list[Choice]", file: Path | None, listen: str) -> "Written":
    from ccrelay.first_run.write import plan, write_plan

    written = write_plan(plan(choices, os.environ, file, listen=listen), os.environ)
    for line in written.lines[:-1]:
        echo(f"kept the {line}")
    echo(f"wrote {written.file}")
    return written


def _take_all(detected: "Detected", place: Path, listen: str) -> "Written":
    """Write everything that was found, as a starter file to edit."""
    from ccrelay.config.defaults import detect as known, starter_config
    from ccrelay.first_run.machine import extras_needed
    from ccrelay.first_run.text import with_listen
    from ccrelay.first_run.write import Plan, write_plan

    if place.suffix.lower() == ".toml":
        raise click.UsageError("init writes YAML; use a *.yaml file name")
    found = known(os.environ, detected.ollama, detected.clouds)
    text = starter_config(found)
    if listen:
        text = with_listen(text, listen)
    written = write_plan(Plan(place, text), os.environ)
    echo(f"wrote {written.file}")
    variables = ["ANTHROPIC_API_KEY"] if found.anthropic else []
    for variable in (*variables, *(one.variable for one in found.keys)):
        echo(f"  found ${variable}")
    for cloud in detected.clouds:
        note = "" if cloud.is_used else ", as a comment"
        echo(f"  found {cloud.name} by {', '.join(cloud.found_by)}{note}")
    if found.ollama is not None:
        echo(f"  found Ollama at {found.ollama.base_url}, models: {len(found.ollama.models)}")
    if extras := extras_needed(detected.clouds):
        echo(f"next: pip install 'ccrelay-proxy[{','.join(extras)}]'")
    return written


def _go_on(file: Path) -> None:
    """Let a relay that runs without a file use this one, and say the one command to go on."""
    import shlex

    from ccrelay.config.load import ConfigError, locate
    from ccrelay.first_run.choice import COMMAND

    try:
        found = locate()
    except ConfigError:
        found = None
    # One in the working directory comes first, and would have to be confirmed.
    if found is None or found.is_unnamed or found.path.resolve() != file.resolve():
        echo(f"next: ccrelay serve --config {shlex.quote(str(file))}")
        return
    if _is_taken_over():
        echo("the running relay uses it now")
    echo(f"next: {COMMAND}")


def _is_taken_over() -> bool:
    """Whether a relay runs that had no file, and has this one now."""
    from ccrelay.cli.connection import Relay
    from ccrelay.v1.relay_pb2 import (
        GetStatusRequest,
        GetStatusResponse,
        ReloadRequest,
        ReloadResponse,
    )

    relay = Relay()
    try:
        answer = relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse, 2.0)
        if answer.status.config_file:
            return False
        relay.call("Relay/Reload", ReloadRequest(), ReloadResponse, RELOAD_TIMEOUT_S)
    except Failed:  # there is none, or it is that of a demo
        return False
    return True
