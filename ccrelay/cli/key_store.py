"""`ccrelay keys set` and `ccrelay keys forget`: keys in the keychain, or in files of mode 0600.

They need no relay: a configuration names a key as `${keyring:NAME}` or `${file:keys/NAME}`.
"""

import os
from pathlib import Path

import click

from ccrelay.cli.connection import Failed
from ccrelay.cli.output import echo


@click.command("set")
@click.argument("name")
@click.option(
    "--store",
    type=click.Choice(["keychain", "file"]),
    help="Where; default: the keychain where there is one, else a file.",
)
def set_key(name: str, store: str | None) -> None:
    """Keep a key under a name.

    Asks for it without showing it; without a terminal it is read from standard input. It takes the
    place of the one that has the name. Prints how a configuration names it.
    """
    from ccrelay.cli.prompts import read_key
    from ccrelay.config.command_environment import keychain_environment
    from ccrelay.config.keychain import KeychainError, write_entry
    from ccrelay.first_run.choice import SetupProblem, check_key
    from ccrelay.first_run.write import keychain_problem, replace_key_file

    file = _file(name)
    key = read_key(f"Key of {name}")
    if not key:
        raise click.UsageError("There is no key on standard input.")
    try:
        check_key(key)
        if store is None:
            store = "file" if file.exists() or keychain_problem(os.environ) else "keychain"
        if store == "file":
            replace_key_file(file, key)
            reference, place = f"${{file:{file}}}", str(file)
        else:
            write_entry(name, key, keychain_environment(os.environ))
            reference, place = f"${{keyring:{name}}}", "the keychain"
    except KeychainError as error:
        raise Failed(f"{str(error)[0].upper()}{str(error)[1:]}.") from None
    except SetupProblem as problem:
        raise Failed(str(problem)) from None
    except OSError as error:
        raise Failed(f"Cannot write {file}: {error.strerror or error}.") from None
    echo(f"The key is in {place}. In a configuration: {reference}")
    echo("A relay that runs takes it with: ccrelay reload")


@click.command("forget")
@click.argument("name")
def forget_key(name: str) -> None:
    """Remove a key.

    From the keychain, and its file.
    """
    from ccrelay.config.command_environment import keychain_environment
    from ccrelay.config.keychain import KeychainError, delete_entry

    file = _file(name)
    removed = []
    try:
        file.unlink()
        removed.append(str(file))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Failed(f"Cannot remove {file}: {error.strerror or error}.") from None
    problem = ""
    try:
        delete_entry(name, keychain_environment(os.environ))
        removed.append("the keychain")
    except KeychainError as error:
        problem = "" if error.why in ("missing", "no_library", "no_backend") else str(error)
    if removed:
        echo(f"Removed from {' and '.join(removed)}.")
    if problem:
        raise Failed(f"{problem[0].upper()}{problem[1:]}.")
    if not removed:
        raise Failed(f"No key has the name {name!r}.")


def _file(name: str) -> Path:
    """Where the key of a name is, if it is in a file: beside the configuration.

    Raises click.UsageError.
    """
    from ccrelay.config.keychain import NAME
    from ccrelay.first_run.choice import SetupProblem
    from ccrelay.first_run.detect import target
    from ccrelay.first_run.write import KEYS

    if not NAME.match(name):
        raise click.UsageError("A name has 1 to 64 letters, digits, '.', '_' or '-'.")
    try:
        place = target(os.environ)
    except SetupProblem as problem:
        raise click.UsageError(str(problem)) from None
    return place.absolute().parent / KEYS / name
