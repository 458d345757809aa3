"""Find, read and check the configuration: the one way from a file to a `Config`.

All problems of a file are reported together, as far as reading can get: a file that is not YAML or
TOML has syntax problems only.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ccrelay.config.check import LITERAL_SECRET, check
from ccrelay.config.defaults import config_without_file
from ccrelay.config.expand import Expanded, expand
from ccrelay.config.model import Config, Provider, Server
from ccrelay.config.problems import (
    ConfigError,
    Document,
    Mark,
    Path as Place,
    Problem,
    in_order,
)
from ccrelay.config.resolve import resolve
from ccrelay.config.shape import shape
from ccrelay.config.sources import system_sources

FILE_BYTES_MAX = 1 << 20  # a thousand providers are a fifth of it
VARIABLE = "CCRELAY_CONFIG"

__all__ = ["ConfigError", "Loaded", "demo_config", "find", "load", "search_list"]


class Loaded(msgspec.Struct, frozen=True):
    """A usable configuration, resolved; where it came from (None: no file); what to know of it.

    `not_had` is empty but for `secrets_needed=False`: what stands in for a secret -> why it does.
    """

    config: Config
    path: Path | None
    warnings: list[Problem]
    not_had: dict[str, Problem] = msgspec.field(default_factory=dict)


def load(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    secrets_needed: bool = True,
) -> Loaded:
    """Load the configuration, from the environment alone when there is no file.

    Args:
        path: the file that `--config` names; None searches (`search_list`).
        env: environment variables; default those of this process.
        cwd: where the search starts; default the working directory.
        secrets_needed: False: something stands in for those that cannot be had here.

    Raises:
        ConfigError: it cannot be used; all problems are in it.
    """
    env = os.environ if env is None else env
    found = find(path, env=env, cwd=cwd)
    if found is None:
        return _without_file(env)
    return _from_file(found, env, secrets_needed)


def find(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Path | None:
    """Return the file in use, or None. A file named by `path` or by the environment must exist.

    Raises:
        ConfigError: the named file does not exist.
    """
    env = os.environ if env is None else env
    named, origin = (path, "--config") if path is not None else (env.get(VARIABLE), VARIABLE)
    if named:
        file = Path(named)
        if not _exists(cwd / file if cwd is not None else file):
            raise ConfigError([Problem(message=f"no such file ({origin})", source=str(named))])
        return cwd / file if cwd is not None else file
    return next(filter(_exists, search_list(env, cwd)), None)


def search_list(env: Mapping[str, str], cwd: Path | None = None) -> list[Path]:
    """Return the files that are looked for when none is named, first match first."""
    here = Path.cwd() if cwd is None else cwd
    places = [here / name for name in ("ccrelay.yaml", "ccrelay.yml", "ccrelay.toml")]
    for folder in config_folders(env):
        places += [folder / name for name in ("config.yaml", "config.yml", "config.toml")]
    return places


def config_folders(env: Mapping[str, str]) -> list[Path]:
    """Return the user's configuration folders for ccrelay, the preferred one first."""
    folders: list[Path] = []
    xdg = env.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(xdg):  # a relative one is invalid: XDG Base Directory Specification
        folders.append(Path(xdg, "ccrelay"))
    if env.get("HOME"):
        folders.append(Path(env["HOME"], ".config", "ccrelay"))
    return list(dict.fromkeys(folders))


def demo_config(base_url: str, listen: str | None = None) -> Config:
    """Return a resolved configuration with one keyless provider `demo` that serves every model."""
    provider = Provider(
        name="demo",
        type="compatible",
        base_url=base_url,
        auth="none",
        models=["*"],
        discover_models=True,  # so that GET /v1/models shows something
    )
    server = Server() if listen is None else Server(listen=listen)
    return resolve(Config(server=server, providers=[provider]))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder on the way cannot be entered
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


def _from_file(path: Path, env: Mapping[str, str], secrets_needed: bool) -> Loaded:
    text, mode = _read(path)
    document = _decode(path, text)
    problems = list(document.problems)
    config = Config()
    not_had: dict[str, Problem] = {}
    if document.data is not None:
        expanded = expand(document.data, system_sources(env, path.parent))
        if not secrets_needed:
            expanded, not_had = _with_stand_ins(expanded)
        config = _build(expanded, mode, problems)
    located = [problem.located(str(path), document.marks) for problem in problems]
    if any(problem.severity == "error" for problem in located):
        raise ConfigError(located)
    return Loaded(resolve(config), path, in_order(located), not_had)


def _with_stand_ins(expanded: Expanded) -> tuple[Expanded, dict[str, Problem]]:
    """Let something stand in for secrets, and only for these, that could not be had."""
    not_had: dict[str, Problem] = {}
    left: list[Problem] = []
    for problem in expanded.problems:
        if problem.path not in expanded.not_had or not _is_secret(problem.path):
            left.append(problem)
            continue
        # Each is another one: a key must not stand in a provider twice.
        stand_in = f"not-had-{len(not_had)}"
        not_had[stand_in] = problem
        *way, last = problem.path
        place = expanded.data  # made by `expand`, so that nobody else sees it change
        for part in way:
            place = place[part]
        place[last] = stand_in
    return msgspec.structs.replace(expanded, problems=left), not_had


def _is_secret(path: Place) -> bool:
    match path:
        case (
            ("server", "auth", "tokens", _)
            | ("providers", _, "keys", _, "key")
            | ("providers", _, "headers", _)
        ):
            return True
        case _:
            return False


def _build(expanded: Expanded, mode: int, problems: list[Problem]) -> Config:
    """Return the converted configuration, or a draft after adding errors to `problems`."""
    failed = frozenset(problem.path for problem in expanded.problems)
    shaped = shape(expanded.data, expanded.paths, failed)
    findings = check(shaped.draft, bad=shaped.bad, unknown=shaped.unknown, expanded=expanded.paths)
    problems += [*expanded.problems, *shaped.problems, *findings]
    if any(problem.severity == "error" for problem in problems):
        return shaped.draft
    if mode & 0o077 and any(p.message == LITERAL_SECRET for p in findings):
        message = f"the file holds secrets and others can read it (mode {mode:04o}): chmod 600"
        problems.append(Problem(message=message, severity="warning"))
    # The walk has checked all of this; should it ever be too lenient, msgspec still refuses.
    try:
        return msgspec.convert(msgspec.to_builtins(shaped.draft), Config)
    except msgspec.ValidationError as error:
        problems.append(Problem(message=str(error)))
        return shaped.draft


def _read(path: Path) -> tuple[str, int]:
    """Return the file's text and its permission bits."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise ConfigError([Problem(message=message, source=str(path))]) from None
    if len(data) > FILE_BYTES_MAX:
        message = f"larger than {FILE_BYTES_MAX} bytes"
        raise ConfigError([Problem(message=message, source=str(path))])
    try:
        return data.decode("utf-8-sig"), mode
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        problem = Problem(message="not UTF-8 text", source=str(path), mark=mark)
        raise ConfigError([problem]) from None


def _decode(path: Path, text: str) -> Document:
    """Read TOML from `*.toml`, YAML (and so JSON) from everything else."""
    if path.suffix.lower() == ".toml":
        from ccrelay.config.toml_marks import parse_toml

        return parse_toml(text)
    from ccrelay.config.yaml_marks import parse_yaml  # PyYAML takes 40 ms to import

    return parse_yaml(text)
