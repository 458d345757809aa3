"""`ccrelay connect` and `disconnect`: Claude Code's settings, member by member, and back."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccrelay.cli.connection import Failed
from ccrelay.cli.groups import socket_option
from ccrelay.cli.output import echo, has_terminal_input

if TYPE_CHECKING:
    from ccrelay.cli.client_facts import Facts
    from ccrelay.cli.settings_merge import Change, Place, Record
    from ccrelay.cli.settings_store import Store

STATUS_LINE = ("statusLine",)


@click.command()
@click.option(
    "--statusline/--no-statusline",
    "statusline",
    default=None,
    help="Show the relay in Claude Code's status line. Default: asks in a terminal, else no.",
)
@click.option("--token", is_flag=True, help="Write a relay token, too, where one is wanted.")
@click.option("--dry-run", is_flag=True, help="Show the difference, and write nothing.")
@socket_option
def connect(statusline: bool | None, token: bool, dry_run: bool, socket: str | None) -> None:
    """Lead Claude Code to the relay, by its settings.

    Writes the variables of `ccrelay env` into settings.json of the user. What stands there already
    stays, but for the address; everything else keeps its bytes. ccrelay disconnect takes it back.
    """
    from ccrelay.cli import launcher
    from ccrelay.cli.settings_merge import connect_change
    from ccrelay.cli.settings_store import Store, settings_file
    from ccrelay.config.places import state_folder

    facts, pid = launcher.facts_of_running(socket)
    state = state_folder(os.environ)
    if state is not None and launcher.is_launched(state, pid):
        raise Failed(launcher.ENDS)
    with _explained():
        store = Store(settings_file(os.environ), os.environ)
        # Before the lock: no other command waits for the answer to a question.
        has_status_line = _has_status_line(statusline, store.text(), store.record())
        with store.locked():
            text, record = store.text(), store.record()
            wanted = _wanted(facts, os.environ, has_token=token)
            if has_status_line:
                wanted[STATUS_LINE] = {"type": "command", "command": _status_command()}
            _check_managed(wanted)
            change = connect_change(text, record, wanted, forced=[_base_url()])
            _finish(store, change, text, dry_run=dry_run)
    if not dry_run:
        _tell(store, change, facts, has_token=token)


@click.command()
@click.option("--dry-run", is_flag=True, help="Show the difference, and write nothing.")
def disconnect(dry_run: bool) -> None:
    """Take back what connect wrote into Claude Code's settings.

    What was changed since stays. No relay need run.
    """
    from ccrelay.cli.settings_merge import disconnect_change
    from ccrelay.cli.settings_store import Store, settings_file

    with _explained():
        store = Store(settings_file(os.environ), os.environ)
        with store.locked():
            text, record = store.text(), store.record()
            if record is None:
                echo(f"Nothing to take back: {store.file} has nothing of ccrelay.")
                return
            change = disconnect_change(text, record)
            _finish(store, change, text, dry_run=dry_run)
    if dry_run:
        return
    echo(f"What connect wrote is taken back from {store.file}.")
    for place in change.kept:
        echo(f"  {'.'.join(place)} was changed since, and stays.")


class _explained:  # noqa: N801
    """Ends a command with what the settings' modules raise."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from ccrelay.cli.settings_store import StoreError, settings_file
        from ccrelay.cli.settings_text import SettingsError

        if isinstance(error, StoreError):
            raise Failed(str(error)) from None
        if isinstance(error, SettingsError):
            file = settings_file(os.environ)
            raise Failed(f"{file}: {error}. Correct it first; nothing was changed.") from None


def _base_url() -> "Place":
    from ccrelay.cli.client_environment import BASE_URL

    return ("env", BASE_URL)


def _wanted(facts: "Facts", env: Mapping[str, str], *, has_token: bool) -> "dict[Place, Any]":
    """The members to write. The project is none of them: it differs by folder."""
    from ccrelay.cli import client_environment as variables

    own = {name: env[name] for name in (variables.API_KEY,) if env.get(name)}
    found = variables.environment(variables.decide(facts, own))
    if facts.wants_token and not has_token:
        found = {name: one for name, one in found.items() if name not in variables.SECRETS}
    return {("env", name): value for name, value in found.items()}


def _check_managed(wanted: "Mapping[Place, Any]") -> None:
    """Fail where an administrator's settings would win."""
    import json

    from ccrelay.cli.doctor_client import settings_files, system_folder

    folder = system_folder()
    for path in settings_files({}, None, folder):
        if folder not in path.parents:
            continue
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            raise Failed(f"{path} of the administrator cannot be read: ask them.") from None
        names = [
            place[-1] for place, value in wanted.items() if _at(content, place, value) != value
        ]
        if names:
            raise Failed(
                f"{path} of the administrator sets {', '.join(names)}, and wins over your "
                "settings. Nothing was changed."
            )


def _at(content: Any, place: "Place", otherwise: Any) -> Any:
    """The value at a place; `otherwise`: there is none."""
    for name in place:
        if not isinstance(content, dict) or name not in content:
            return otherwise
        content = content[name]
    return content


def _has_status_line(choice: bool | None, text: str | None, record: "Record | None") -> bool:
    """Whether the status line is ours to write: as the option says, else as before, else ask."""
    from ccrelay.cli.settings_text import get

    if choice is not None:
        return choice
    if record is not None:
        return STATUS_LINE in record.entries
    if text is not None and get(text, STATUS_LINE) is not None:
        return False
    if not has_terminal_input():
        return False
    return click.confirm("Show provider, windows and costs in Claude Code's status line?")


def _status_command() -> str:
    import shlex
    import shutil

    found = shutil.which("ccrelay")
    if found is None:
        return f"{shlex.quote(sys.executable)} -m ccrelay statusline"
    # That of a virtual environment is in PATH only where it is activated.
    is_private = Path(found).is_relative_to(sys.prefix) and sys.prefix != sys.base_prefix
    return f"{shlex.quote(found) if is_private else 'ccrelay'} statusline"


def is_strict(text: str) -> bool:
    """Return whether a text is JSON as Claude Code reads it, without comments."""
    import json

    try:
        json.loads(text.lstrip("\ufeff"))
    except ValueError:
        return False
    return True


def _finish(store: "Store", change: "Change", text: str | None, *, dry_run: bool) -> None:
    if not dry_run:
        store.apply(change, text)
        return
    for line in difference(text or "", change.text or "", str(store.file)):
        echo(line)


def difference(old: str, new: str, name: str) -> list[str]:
    """Return the changed lines of a file, without what stands around them, and without tokens."""
    import difflib
    import re

    from ccrelay.cli.client_environment import ANY_TOKEN

    name_of_secret = r'"[^"]*(?:KEY|TOKEN(?!S)|SECRET|PASSWORD|HEADERS)[^"]*"'
    secret = re.compile(rf'({name_of_secret}\s*:\s*)"(?!{ANY_TOKEN}")(?:[^"\\]|\\.)*"')
    lines = [
        secret.sub(r'\1"(not shown)"', line)
        for line in difflib.unified_diff(
            old.splitlines(), new.splitlines(), name, f"{name} (new)", lineterm="", n=0
        )
    ]
    return lines or [f"{name}: nothing would change."]


def _tell(store: "Store", change: "Change", facts: "Facts", *, has_token: bool) -> None:
    echo(f"Claude Code asks {facts.url} from its next start on, by {store.file}.")
    for place in change.kept:
        echo(f"  {'.'.join(place)} is yours, and stays.")
    if change.text is not None and not is_strict(change.text):
        echo(
            "! The file has comments, or a comma after a last member: Claude Code 2.1.332 ignores "
            "such a file. They were kept; take them out."
        )
    if facts.wants_token and has_token:
        _tell_of_token(store)
    if facts.wants_token and not has_token:
        echo("  The relay wants a token: set ANTHROPIC_AUTH_TOKEN, or connect with --token.")
    echo("Take it back: ccrelay disconnect")


def _tell_of_token(store: "Store") -> None:
    """Say who else may come to see the token that stands in the file now."""
    from ccrelay.cli.client_project import repository

    if store.is_readable_by_others():
        echo(f"! Other users can read the token. Do: chmod go= {store.file}")
    top = repository(Path(os.path.realpath(store.file)).parent)
    if top is not None:
        echo(f"! The token is in the git repository {top} now: do not commit it.")
