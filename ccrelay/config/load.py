"""Finds, reads, validates and checks the configuration file.

All problems of a file are reported together; a file with syntax errors has only these.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ccrelay.config.check import PLAIN_TEXT_SECRET, check
from ccrelay.config.defaults import config_without_file
from ccrelay.config.expand import Expanded, expand
from ccrelay.config.model import Config, Provider, Server
from ccrelay.config.problems import (
    ConfigError,
    Document,
    Mark,
    Path as Place,
    Problem,
    sorted_by_position,
)
from ccrelay.config.resolve import resolve
from ccrelay.config.respell import respell
from ccrelay.config.sources import system_sources
from ccrelay.config.validate import validate

FILE_BYTES_MAX = 1 << 20  # a thousand providers take a fifth of it
VARIABLE = "CCRELAY_CONFIG"

__all__ = ["ConfigError", "Loaded", "demo_config", "find", "load", "search_paths"]


class Loaded(msgspec.Struct, frozen=True):
    """A valid, resolved configuration, the path of its file (None: no file), and warnings.

    `missing_secrets`, with `require_secrets=False` only: placeholder of a secret -> its problem.
    """

    config: Config
    path: Path | None
    warnings: list[Problem]
    missing_secrets: dict[str, Problem] = msgspec.field(default_factory=dict)


def load(
    path: Path | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    require_secrets: bool = True,
) -> Loaded:
    """Load the configuration; from environment variables when there is no file.

    Args:
        path: the file of `--config`; None: search for one (`search_paths`).
        env: environment variables; default: those of this process.
        cwd: base of the search; default: the working directory.
        require_secrets: False: use placeholders for secrets that are unavailable here.

    Raises:
        ConfigError: with all problems.
    """
    env = os.environ if env is None else env
    found = find(path, env=env, cwd=cwd)
    if found is None:
        return _without_file(env)
    return _from_file(found, env, require_secrets)


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
    env = os.environ if env is None else env
    named, origin = (path, "--config") if path is not None else (env.get(VARIABLE), VARIABLE)
    if named:
        file = Path(named)
        if not _exists(cwd / file if cwd is not None else file):
            raise ConfigError([Problem(message=f"no such file ({origin})", source=str(named))])
        return cwd / file if cwd is not None else file
    return next(filter(_exists, search_paths(env, cwd)), None)


def search_paths(env: Mapping[str, str], cwd: Path | None = None) -> list[Path]:
    """Return the files to search for, in order of preference."""
    here = Path.cwd() if cwd is None else cwd
    places = [here / name for name in ("ccrelay.yaml", "ccrelay.yml", "ccrelay.toml")]
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


def demo_config(base_url: str, listen: str | None = None) -> Config:
    """Return a resolved configuration with one provider `demo`, without keys, for all models."""
    provider = Provider(
        name="demo",
        type="compatible",
        base_url=base_url,
        auth="none",
        models=["*"],
        discover_models=True,  # for GET /v1/models
    )
    server = Server() if listen is None else Server(listen=listen)
    return resolve(Config(server=server, providers=[provider]))


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


def _from_file(path: Path, env: Mapping[str, str], require_secrets: bool) -> Loaded:
    text, mode = _read(path)
    document = _decode(path, text)
    problems = list(document.problems)
    config = Config()
    missing: dict[str, Problem] = {}
    if document.data is not None:
        problems += respell(document.data, document.marks)
        expanded = expand(document.data, system_sources(env, path.parent))
        if not require_secrets:
            expanded, missing = _with_placeholders(expanded)
        config = _build(expanded, mode, problems, is_toml=_is_toml(path))
    located = [problem.located(str(path), document.marks) for problem in problems]
    if any(problem.severity == "error" for problem in located):
        raise ConfigError(located)
    return Loaded(resolve(config), path, sorted_by_position(located), missing)


def _with_placeholders(expanded: Expanded) -> tuple[Expanded, dict[str, Problem]]:
    """Replace unavailable secrets, and only these, by placeholders."""
    missing: dict[str, Problem] = {}
    left: list[Problem] = []
    for problem in expanded.problems:
        if problem.path not in expanded.unavailable or not _is_secret(problem.path):
            left.append(problem)
            continue
        # Unique, because duplicate keys in a provider are errors.
        placeholder = f"missing-secret-{len(missing)}"
        missing[placeholder] = problem
        *way, last = problem.path
        place = expanded.data  # created by `expand`, so it may be changed
        for part in way:
            place = place[part]
        place[last] = placeholder
    return msgspec.structs.replace(expanded, problems=left), missing


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


def _build(expanded: Expanded, mode: int, problems: list[Problem], *, is_toml: bool) -> Config:
    """Return the configuration; or a draft, after adding errors to `problems`."""
    failed = frozenset(p.path for p in expanded.problems if p.severity == "error")
    validated = validate(expanded.data, expanded.paths, failed, is_toml=is_toml)
    findings = check(
        validated.draft,
        invalid=validated.invalid,
        unknown=validated.unknown,
        expanded=expanded.paths,
    )
    problems += [*expanded.problems, *validated.problems, *findings]
    if any(problem.severity == "error" for problem in problems):
        return validated.draft
    if mode & 0o077 and any(p.message == PLAIN_TEXT_SECRET for p in findings):
        message = (
            f"the file contains secrets and is readable by others (mode {mode:04o}): chmod 600"
        )
        problems.append(Problem(message=message, severity="warning"))
    # validate() has checked all of this; msgspec is the safety net.
    try:
        return msgspec.convert(msgspec.to_builtins(validated.draft), Config)
    except msgspec.ValidationError as error:
        problems.append(Problem(message=str(error)))
        return validated.draft


def _read(path: Path) -> tuple[str, int]:
    """Return the content and the permission bits of the file."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
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
    """Parse `*.toml` as TOML, all others as YAML, which includes JSON."""
    if _is_toml(path):
        from ccrelay.config.toml_marks import parse_toml

        return parse_toml(text)
    from ccrelay.config.yaml_marks import parse_yaml  # PyYAML takes 40 ms to import

    return parse_yaml(text)


def _is_toml(path: Path) -> bool:
    return path.suffix.lower() == ".toml"
