"""Finds, reads, validates and checks the configuration file.

All problems of a file are reported together; a file with syntax errors has only these.
"""

import hashlib
import os
import stat
from collections.abc import Container, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from ccrelay.config.check import PLAIN_TEXT_SECRET, check
from ccrelay.config.cloud_environment import located as with_environment, missing_here
from ccrelay.config.commands import Commands, Keychain
from ccrelay.config.defaults import config_without_file
from ccrelay.config.effects import Effects, effects
from ccrelay.config.expand import Expanded, Sources, expand, variables
from ccrelay.config.files import Untrusted, open_trusted
from ccrelay.config.model import Config, Ledger, Provider, Server
from ccrelay.config.placeholders import elsewhere, is_secret, left_out, with_placeholders
from ccrelay.config.places import state_folder
from ccrelay.config.problems import (
    ConfigError,
    Document,
    Mark,
    Path as Place,
    Problem,
    Severity,
    sorted_by_position,
)
from ccrelay.config.resolve import resolve
from ccrelay.config.respell import respell
from ccrelay.config.sources import system_sources
from ccrelay.config.trust import NoRecord, is_confirmed
from ccrelay.config.validate import validate

FILE_BYTES_MAX = 1 << 20  # a thousand providers take a fifth of it
NOT_RUN = (
    "the command is not run here, so its value is not checked; "
    "`ccrelay config check --run-commands` runs it"
)
NOT_ASKED = (
    "the keychain is not asked here, so its value is not checked; "
    "`ccrelay config check --run-commands` asks it"
)
DEMO_LEDGER = "demo-ledger.db"  # in the folder of the state
VARIABLE = "CCRELAY_CONFIG"

# Searched for in the working directory.
NAMES = ("ccrelay.yaml", "ccrelay.yml", "ccrelay.toml")

__all__ = [
    "NAMES",
    "ConfigError",
    "Found",
    "Loaded",
    "Unconfirmed",
    "demo_config",
    "find",
    "load",
    "load_found",
    "load_text",
    "locate",
    "search_paths",
]


class Loaded(msgspec.Struct, frozen=True):
    """A valid, resolved configuration, the path of its file (None: no file), and warnings.

    `missing_secrets`: placeholder of a secret -> its problem, of those that are unavailable with
    `require_secrets=False`, and of commands with `run_commands=False`; `not_run` are the places of
    these, secrets or not. `commands`: those that values were taken from. `digest`: SHA-256 of the
    file's content in hexadecimal digits. `effects`, with `run_commands=False` only: what the file
    would do. `variables`: the environment variables that it refers to by `${NAME}`.
    """

    config: Config
    path: Path | None
    warnings: list[Problem]
    missing_secrets: dict[str, Problem] = msgspec.field(default_factory=dict)
    not_run: frozenset[Place] = frozenset()
    commands: frozenset[str] = frozenset()
    digest: str = ""
    effects: Effects | None = None
    variables: frozenset[str] = frozenset()


class Found(NamedTuple):
    """A configuration file, and whether it was found in the working directory instead of named."""

    path: Path
    is_unnamed: bool = False


class Unconfirmed(ConfigError):
    """A file found in the working directory that its user has not confirmed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        message = (
            "found in the working directory, and not confirmed with this content: look at it and "
            f"run `ccrelay config trust`, or name it: --config ./{path.name}"
        )
        super().__init__([Problem(message=message, source=str(path))])


class _Policy(NamedTuple):
    require_secrets: bool = True
    run_commands: bool = True
    known_commands: Container[str] | None = None
    is_elsewhere: bool = False  # the relay has variables and files that this process has not


def load(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    require_secrets: bool = True,
    run_commands: bool = True,
) -> Loaded:
    """Load the configuration; from environment variables when there is no file.

    Args:
        path: the file of `--config`; None: search for one (`search_paths`).
        env: environment variables; default: those of this process.
        cwd: base of the search; default: the working directory.
        require_secrets: False: use placeholders for secrets that are unavailable here.
        run_commands: False: use placeholders for values of `${cmd:...}`, and run no program.

    Raises:
        Unconfirmed: the file was found in the working directory and needs a confirmation.
        ConfigError: with all problems.
    """
    return load_found(
        locate(path, env=env, cwd=cwd),
        env=env,
        require_secrets=require_secrets,
        run_commands=run_commands,
    )


def load_found(
    found: Found | None,
    *,
    env: Mapping[str, str] | None = None,
    require_secrets: bool = True,
    run_commands: bool = True,
    known_commands: Container[str] | None = None,
) -> Loaded:
    """Load a file that has been searched for; as `load` does.

    Args:
        found: the file; None: environment variables only.
        env: as of `load`.
        require_secrets: as of `load`.
        run_commands: as of `load`.
        known_commands: the only commands that may run; another one is an error. None: all.

    Raises:
        Unconfirmed, ConfigError: as `load`.
    """
    env = os.environ if env is None else env
    if found is None:
        return _without_file(env)
    return _from_file(found, env, _Policy(require_secrets, run_commands, known_commands))


def find(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Path | None:
    """Return the file in use, or None. A file set by `path` or the environment must exist.

    Raises:
        ConfigError: it does not exist.
    """
    found = locate(path, env=env, cwd=cwd)
    return None if found is None else found.path


def locate(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Found | None:
    """Return the file that `find` returns, and how it was found. Raises ConfigError as `find`."""
    env = os.environ if env is None else env
    named, origin = (path, "--config") if path is not None else (env.get(VARIABLE), VARIABLE)
    if named:
        file = Path(named)
        if not _exists(cwd / file if cwd is not None else file):
            missing = f"no such file ({origin}); `ccrelay init` makes one"
            raise ConfigError([Problem(message=missing, source=str(named))])
        return Found(cwd / file if cwd is not None else file)
    places = search_paths(env, cwd)
    return next((Found(p, p in places[: len(NAMES)]) for p in places if _exists(p)), None)


def search_paths(env: Mapping[str, str], cwd: Path | None = None) -> list[Path]:
    """Return the files to search for, in order of preference."""
    here = Path.cwd() if cwd is None else cwd
    places = [here / name for name in NAMES]
    for folder in config_folders(env):
        places += [folder / name for name in ("config.yaml", "config.yml", "config.toml")]
    return places


def config_folders(env: Mapping[str, str]) -> list[Path]:
    """Return the configuration directories of the user, in order of preference."""
    folders: list[Path] = []
    xdg = env.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(xdg):  # relative paths are invalid: XDG Base Directory Specification
        folders.append(Path(xdg, "ccrelay"))
    if env.get("HOME"):
        folders.append(Path(env["HOME"], ".config", "ccrelay"))
    return list(dict.fromkeys(folders))


def demo_config(
    base_url: str, listen: str | None = None, env: Mapping[str, str] | None = None
) -> Config:
    """Return a resolved configuration with one provider `demo`, without keys, for all models.

    Its ledger is not that of real exchanges: those of a demo are not charged.
    """
    provider = Provider(
        name="demo",
        type="compatible",
        base_url=base_url,
        auth="none",
        models=["*"],
        discover_models=True,  # for GET /v1/models
    )
    server = Server() if listen is None else Server(listen=listen)
    folder = state_folder(os.environ if env is None else env)
    ledger = Ledger(path=str(folder / DEMO_LEDGER)) if folder else Ledger()
    return resolve(Config(server=server, providers=[provider], ledger=ledger))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a directory of the path is not accessible
        return False


def _without_file(env: Mapping[str, str]) -> Loaded:
    config = config_without_file(env)
    problems = [
        msgspec.structs.replace(problem, source="environment variable ANTHROPIC_API_KEY", path=())
        for problem in check(config)
    ]
    if problems:
        raise ConfigError(problems)
    return Loaded(resolve(config), None, [])


def load_text(data: bytes, path: Path, *, env: Mapping[str, str] | None = None) -> Loaded:
    """Load a text as if it were the content of the file at `path`, for another process.

    No command is run, and no value that is missing here is an error: of secrets placeholders stand
    for it, others keep their defaults. A warning tells of each.

    Raises:
        ConfigError: with all problems.
    """
    env = os.environ if env is None else env
    return _from_data(path, data, 0o600, env, _Policy(False, False, is_elsewhere=True))


def _from_file(found: Found, env: Mapping[str, str], policy: _Policy) -> Loaded:
    path = found.path
    data, mode = _read(path, env)
    if found.is_unnamed:
        _require_confirmation(path, hashlib.sha256(data).hexdigest(), env)
    return _from_data(path, data, mode, env, policy)


def _from_data(
    path: Path, data: bytes, mode: int, env: Mapping[str, str], policy: _Policy
) -> Loaded:
    _check_size(path, data)
    document = _decode(path, _text(path, data))
    problems = list(document.problems)
    config = Config()
    missing: dict[str, Problem] = {}
    not_run: frozenset[Place] = frozenset()
    names = variables(document.data)
    sources = system_sources(env, path.parent, withheld=names)
    commands = Commands(
        sources.run_command, are_run=policy.run_commands, known=policy.known_commands
    )
    if document.data is not None:
        problems += respell(document.data, document.marks)
        keychain = Keychain(sources.read_keychain, is_asked=policy.run_commands)
        expanded = expand(
            document.data, Sources(sources.env, sources.read_file, commands, keychain)
        )
        if not policy.require_secrets:
            expanded, missing = with_placeholders(expanded)
        if policy.is_elsewhere:
            expanded = elsewhere(expanded)
        if not policy.run_commands:
            not_run = expanded.from_commands | expanded.from_keychain
            missing |= left_out(expanded)
            missing = dict(sorted(missing.items(), key=lambda one: one[1].path))
        config = _build(expanded, mode, problems, not_run, env, path)
        if not policy.is_elsewhere:
            severity: Severity = "error" if policy.require_secrets else "warning"
            problems += missing_here(config, severity)
    located = [problem.located(str(path), document.marks) for problem in problems]
    if any(problem.severity == "error" for problem in located):
        raise ConfigError(located)
    config = resolve(config)
    return Loaded(
        config,
        path,
        sorted_by_position(located),
        missing,
        not_run,
        frozenset(commands.seen),
        hashlib.sha256(data).hexdigest(),
        None if policy.run_commands else effects(document.data, config, not_run),
        names,
    )


def _require_confirmation(path: Path, digest: str, env: Mapping[str, str]) -> None:
    try:
        if not is_confirmed(path, digest, env):
            raise Unconfirmed(path)
    except NoRecord as error:
        raise ConfigError([Problem(message=str(error), source=str(path))]) from None


def _build(
    expanded: Expanded,
    mode: int,
    problems: list[Problem],
    not_run: frozenset[Place],
    env: Mapping[str, str],
    path: Path,
) -> Config:
    """Return the configuration; or a draft, after adding errors to `problems`.

    Regions and projects of clouds that are not set are those of the environment. Values at
    `not_run` are not known: secrets have placeholders, others are left out.
    """
    failed = frozenset(p.path for p in expanded.problems if p.severity == "error")
    failed |= {path for path in not_run if not is_secret(path)}
    told = {problem.path for problem in expanded.problems}
    problems += [
        Problem(
            message=NOT_RUN if path in expanded.from_commands else NOT_ASKED,
            path=path,
            severity="warning",
        )
        for path in not_run - told
    ]
    validated = validate(expanded.data, expanded.paths, failed, is_toml=_is_toml(path))
    draft = with_environment(validated.draft, env, str(path.absolute().parent))
    findings = check(
        draft,
        invalid=validated.invalid,
        unknown=validated.unknown,
        expanded=expanded.paths,
    )
    problems += [*expanded.problems, *validated.problems, *findings]
    if any(problem.severity == "error" for problem in problems):
        return draft
    if mode & 0o077 and any(p.message == PLAIN_TEXT_SECRET for p in findings):
        message = (
            f"the file contains secrets and is readable by others (mode {mode:04o}): chmod 600"
        )
        problems.append(Problem(message=message, severity="warning"))
    if failed:
        return draft  # what stands for unknown values may be of no valid length
    # validate() has checked all of this; msgspec is the safety net.
    try:
        return msgspec.convert(msgspec.to_builtins(draft), Config)
    except msgspec.ValidationError as error:
        # Where, but not what: the message quotes the value.
        place = str(error).rpartition(" - at ")[2]
        problems.append(Problem(message=f"invalid value at {place}"))
        return draft


def _read(path: Path, env: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the content and the permission bits of the file, which nobody else may change."""
    try:
        with open(open_trusted(path, env), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            os.set_blocking(file.fileno(), True)
            data = file.read(FILE_BYTES_MAX + 1)
    except Untrusted as error:
        raise ConfigError([Problem(message=f"refused: {error}", source=str(path))]) from None
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
        raise ConfigError([Problem(message=message, source=str(path))]) from None
    _check_size(path, data)
    return data, stat.S_IMODE(mode)


def _check_size(path: Path, data: bytes) -> None:
    if len(data) > FILE_BYTES_MAX:
        message = f"larger than {FILE_BYTES_MAX} bytes"
        raise ConfigError([Problem(message=message, source=str(path))])


def _text(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        problem = Problem(message="not UTF-8 text", source=str(path), mark=mark)
        raise ConfigError([problem]) from None


def _decode(path: Path, text: str) -> Document:
    """Parse `*.toml` as TOML, all others as YAML, which includes JSON."""
    if _is_toml(path):
        from ccrelay.config.toml_marks import parse_toml

        return parse_toml(text)
    from ccrelay.config.yaml_marks import parse_yaml  # PyYAML takes 40 ms to import

    return parse_yaml(text)


def _is_toml(path: Path) -> bool:
    return path.suffix.lower() == ".toml"
