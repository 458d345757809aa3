"""Keeps the keys and writes the configuration: all of it, or nothing."""

import contextlib
import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ccrelay.config import keychain
from ccrelay.config.atomic_file import create_file, replace_file
from ccrelay.config.command_environment import keychain_environment
from ccrelay.config.defaults import ollama_url
from ccrelay.config.files import Untrusted, open_trusted
from ccrelay.config.load import load_text
from ccrelay.config.places import make_private
from ccrelay.config.problems import ConfigError
from ccrelay.config.starter_clouds import find_clouds
from ccrelay.first_run.check import problem_text
from ccrelay.first_run.choice import COMMAND, Choice, KeyStore, SetupProblem, at_ollama, settled
from ccrelay.first_run.detect import existing, target
from ccrelay.first_run.machine import machine_of
from ccrelay.first_run.ollama import probe_ollama
from ccrelay.first_run.text import config_text, with_listen

KEYS = "keys"  # folder beside the file
ENTRIES_MAX = 9  # of one provider in the keychain


class HasConfig(SetupProblem):
    """There is a configuration already, which is not overwritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is a configuration already: {path}. It was not changed.")
        self.path = path


class Plan(NamedTuple):
    """What would be written.

    Args:
        file: the configuration.
        text: its text; it holds no key.
        keys: store, name of the entry or path of the file, and key.
    """

    file: Path
    text: str
    keys: tuple[tuple[KeyStore, str, str], ...] = ()


class Written(NamedTuple):
    """What was written.

    Args:
        file: the configuration.
        text: its text.
        lines: what was written where.
        undo: removes all of it.
    """

    file: Path
    text: str
    lines: tuple[str, ...]
    undo: Callable[[], None]


def keychain_problem(env: Mapping[str, str]) -> str:
    """Why the keychain cannot be used, one sentence; empty: it can. Takes half a second."""
    return keychain.problem_of(keychain_environment(env))


def plan(
    choices: Sequence[Choice],
    env: Mapping[str, str],
    file: Path | None = None,
    *,
    listen: str = "",
) -> Plan:
    """Decide where everything goes, and check the configuration that results.

    Args:
        choices: the providers, the preferred first.
        env: of the relay that is to use it.
        file: the configuration; None: that of the user.
        listen: HOST:PORT; empty: the default.

    Raises:
        SetupProblem: it cannot be set up like this; HasConfig where there is one.
    """
    place = file or target(env)
    if place.suffix.lower() == ".toml":
        raise SetupProblem("The first configuration is YAML: name a file *.yaml.")
    found = existing(env) if file is None else place if os.path.lexists(place) else None
    if found is not None:
        raise HasConfig(found)
    check_place(place, env)
    chosen = [_with_model(at_ollama(one, env), env) for one in settled(choices)]
    default = KeyStore.FILE
    if any(one.key and one.store is None for one in chosen) and not keychain_problem(env):
        default = KeyStore.KEYCHAIN
    keys: list[tuple[KeyStore, str, str]] = []
    references: dict[str, str] = {}
    kept = []
    taken: set[str] = set()
    for choice in chosen:
        store = KeyStore.ENVIRONMENT if choice.variable else choice.store or default
        kept.append(msgspec.structs.replace(choice, store=store))
        if choice.variable:
            references[choice.name] = f"${{{choice.variable}}}"
        elif choice.key and store is KeyStore.KEYCHAIN:
            name = _free_entry(choice, env, taken)
            references[choice.name] = f"${{keyring:{name}}}"
            keys.append((store, name, choice.key))
        elif choice.key:
            name = _free_name(place.parent / KEYS, choice.name, taken)
            references[choice.name] = f"${{file:{KEYS}/{name}}}"
            keys.append((store, str(place.parent / KEYS / name), choice.key))
    text = config_text(kept, references, find_clouds(machine_of(env)))
    if listen:
        text = with_listen(text, listen)
    _check(text, place, env)
    return Plan(place, text, tuple(keys))


def check_place(file: Path, env: Mapping[str, str]) -> None:
    """Look whether a file can be made and read there, before anyone is asked for anything.

    Raises:
        SetupProblem: it cannot.
    """
    folder = next(one for one in file.absolute().parents if os.path.lexists(one))
    try:
        os.close(open_trusted(folder, env))
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    except OSError as error:
        raise SetupProblem(_why_not(error, str(folder))) from None


def write_plan(planned: Plan, env: Mapping[str, str]) -> Written:
    """Keep the keys, then write the file. What fails half-way, or is interrupted, is undone.

    Raises:
        SetupProblem: it could not be done; nothing is left of it.
    """
    undo: list[Callable[[], None]] = []
    lines = []
    place = ""
    try:
        for store, place, key in planned.keys:
            if store is KeyStore.KEYCHAIN:
                _keep_in_keychain(place, key, env, undo)
                lines.append(f"key in the keychain, as {keychain.SERVICE}/{place}")
            else:
                _create(Path(place), key + "\n", undo)
                lines.append(f"key in {place} (mode 0600)")
        place = str(planned.file)
        _create(planned.file, planned.text, undo)
        _check_trust(planned, env)
    except BaseException as error:
        _undo(undo)
        if isinstance(error, FileExistsError) and place == str(planned.file):
            raise HasConfig(planned.file) from None
        if isinstance(error, OSError | keychain.KeychainError):
            raise SetupProblem(_why_not(error, place)) from None
        raise
    lines.append(f"configuration in {planned.file} (mode 0600)")
    return Written(planned.file, planned.text, tuple(lines), lambda: _undo(undo))


def _check_trust(planned: Plan, env: Mapping[str, str]) -> None:
    """Look at the folders as a relay will. Raises Untrusted, OSError."""
    files = [Path(place) for store, place, _ in planned.keys if store is KeyStore.FILE]
    for path in (planned.file, *files):
        os.close(open_trusted(path, env))


def _undo(steps: list[Callable[[], None]]) -> None:
    while steps:
        with contextlib.suppress(OSError, keychain.KeychainError):
            steps.pop()()


def command_after(file: Path, env: Mapping[str, str]) -> str:
    """The line that starts Claude Code with a configuration."""
    found = existing(env)
    return COMMAND if found == file else f"ccrelay serve --config {file}"


def replace_key_file(path: Path, key: str) -> None:
    """Keep a key in a file, in place of the one that is there. Raises OSError."""
    make_private(path.parent)
    replace_file(path, f"{key}\n".encode())


def _with_model(choice: Choice, env: Mapping[str, str]) -> Choice:
    """An Ollama has to have a model that Claude's names can be mapped to."""
    if choice.type != "ollama" or choice.model:
        return choice
    url = choice.base_url or ollama_url(env)
    ollama = probe_ollama(url)
    if ollama is None:
        raise SetupProblem(f"No Ollama answers at {url}: start it, or name a model.")
    if not ollama.models:
        raise SetupProblem(f"Ollama at {url} has no model yet: ollama pull qwen3:32b")
    return msgspec.structs.replace(choice, model=ollama.models[0], base_url=url)


def _check(text: str, place: Path, env: Mapping[str, str]) -> None:
    try:
        load_text(text.encode(), place, env=env)
    except ConfigError as error:
        raise SetupProblem(f"{problem_text(error)}.") from None


def _free_name(folder: Path, name: str, taken: set[str]) -> str:
    """A name that no other key has: one that is in use elsewhere is not replaced."""
    found, number = name, 2
    while found in taken or os.path.lexists(folder / found):
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found


def _free_entry(choice: Choice, env: Mapping[str, str], taken: set[str]) -> str:
    """As `_free_name`, in the keychain; one that has this very key will do.

    Raises:
        SetupProblem: the keychain cannot be asked, or has too many.
    """
    here = keychain_environment(env)
    for number in range(1, ENTRIES_MAX + 1):
        name = choice.name if number == 1 else f"{choice.name}-{number}"
        if name in taken:
            continue
        try:
            is_free = keychain.read_entry(name, here) == choice.key
        except keychain.KeychainError as error:
            if error.why != "missing":
                raise SetupProblem(_sentence(error)) from None
            is_free = True
        if is_free:
            taken.add(name)
            return name
    raise SetupProblem(
        f"The keychain has {ENTRIES_MAX} keys of {choice.name}: forget some of them."
    )


def _why_not(error: OSError | keychain.KeychainError, place: str) -> str:
    """Why something could not be written to a place, one sentence."""
    if isinstance(error, keychain.KeychainError):
        return _sentence(error)
    if isinstance(error, Untrusted):
        return f"No relay would use what is written there: {error}."
    if isinstance(error, FileExistsError):
        return f"{place} has come meanwhile: try again."
    return f"Cannot write {error.filename or place}: {error.strerror or error}."


def _sentence(error: keychain.KeychainError) -> str:
    return f"{str(error)[0].upper()}{str(error)[1:]}."


def _keep_in_keychain(
    name: str, key: str, env: Mapping[str, str], undo: list[Callable[[], None]]
) -> None:
    here = keychain_environment(env)
    try:
        if keychain.read_entry(name, here) == key:
            return  # of before, and not to be undone
    except keychain.KeychainError as error:
        if error.why != "missing":
            raise
    else:
        raise SetupProblem(f"The keychain has another key as {name} since a moment: try again.")
    undo.append(lambda: keychain.delete_entry(name, here))
    keychain.write_entry(name, key, here)


def _create(path: Path, text: str, undo: list[Callable[[], None]]) -> None:
    """Make a file, whole from the moment that it has its name, mode 0600.

    Raises FileExistsError, and other OSError.
    """
    _make_folders(path.parent, undo)
    create_file(path, text.encode())
    undo.append(lambda: os.unlink(path))


def _make_folders(folder: Path, undo: list[Callable[[], None]]) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    undo += [lambda one=one: os.rmdir(one) for one in reversed(missing)]  # type: ignore[misc]
    make_private(folder)
