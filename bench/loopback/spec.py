"""What a peer is: its TOML file, read and checked.

`peers/` holds those of this bench; `python -m bench --peer FILE` brings others. Fields, words in
braces and an example: `bench/README.md`.
"""

import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent / "peers"

# What may stand in braces in `cmd`, `env`, `vars` and the template, besides what `vars` defines.
WORDS = frozenset(
    {
        *("name", "folder", "tmp", "conf", "log"),
        *("port", "token", "upstream", "upstream_address", "cert"),
        *("nofile", "connections", "streams_max", "user", "python"),
    }
)
FIELDS = {
    "cmd": "a list of texts",
    **dict.fromkeys(("conf", "ready"), "a text"),
    **dict.fromkeys(("logs", "tls", "fails_over"), "true or false"),
    **dict.fromkeys(("env", "vars"), "a table of texts"),
}
_WORD = re.compile(r"\{([a-z_]+)\}")


class SpecError(Exception):
    """A peer's file that cannot be used; the message names the file, and says why."""


@dataclass(frozen=True)
class Spec:
    """One peer's file. Without `cmd` there is nothing to start: the upstream is asked itself."""

    name: str  # of the file, without `.toml`
    folder: Path  # of the file: `conf` and programs with a path are looked for from here
    cmd: tuple[str, ...]
    conf: str = ""  # a template, filled in and written to a temporary folder
    ready: str = "/"  # a path that GET answers with 200 when the peer is up
    logs: bool = False  # it writes a log line per exchange to {log}; a silent log is an error
    tls: bool = False  # it speaks TLS to the upstream, and plays in the scenarios with TLS
    fails_over: bool = False  # every request must meet a 529 at its first target
    env: Mapping[str, str] = field(default_factory=dict)
    vars: Mapping[str, str] = field(default_factory=dict)  # words of its own

    @property
    def missing_program(self) -> str:
        """The program that it needs and that is not installed; "" when all is there."""
        program = self.cmd[0] if self.cmd else ""
        if not program or program.startswith("{"):
            return ""
        path = str(self.folder / program) if "/" in program else program
        return "" if shutil.which(path) else program


def built_in(name: str) -> Spec:
    """A peer of this bench. Raises SpecError when there is none of that name."""
    if name not in names():
        raise SpecError(f"no peer {name}: there are {', '.join(names())}")
    return read(PEERS / f"{name}.toml")


def names() -> list[str]:
    """The peers of this bench."""
    return sorted(path.stem for path in PEERS.glob("*.toml"))


def foreign(path: Path) -> Spec:
    """A peer of the user's own. Raises SpecError, also when its program is not installed."""
    spec = read(path)
    if spec.name in names():
        raise SpecError(f"{path}: {spec.name} is a peer of this bench: give the file another name")
    if not spec.cmd:
        raise SpecError(f"{path}: cmd is empty: it must start your relay")
    if program := spec.missing_program:
        raise SpecError(f"{path}: the program {program} is not installed")
    return spec


def read(path: Path) -> Spec:
    """A peer's file. Raises SpecError."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not TOML: {error}") from None
    if problems := _problems(data):
        raise SpecError(f"{path}: {'; '.join(problems)}")
    spec = Spec(path.stem, path.absolute().parent, tuple(data.pop("cmd")), **data)
    _check_words(path, spec)
    if spec.conf and not (spec.folder / spec.conf).is_file():
        raise SpecError(f"{path}: the template {spec.conf} is not beside it")
    return spec


def _problems(data: dict[str, Any]) -> list[str]:
    found = [] if "cmd" in data else ["cmd is missing"]
    for name, value in data.items():
        if name not in FIELDS:
            found.append(f"unknown field {name}: there are {', '.join(FIELDS)}")
        elif not _is_a(FIELDS[name], value):
            found.append(f"{name} must be {FIELDS[name]}")
    return found


def _is_a(kind: str, value: Any) -> bool:
    match kind:
        case "a text":
            return isinstance(value, str)
        case "true or false":
            return isinstance(value, bool)
        case "a list of texts":
            return isinstance(value, list) and all(isinstance(one, str) for one in value)
        case _:
            return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _check_words(path: Path, spec: Spec) -> None:
    # Not in the template: its own syntax may have braces.
    known = WORDS | spec.vars.keys()
    for text in (*spec.cmd, *spec.env.values()):
        for word in _WORD.findall(text):
            if word not in known:
                listed = ", ".join(sorted(known))
                raise SpecError(f"{path}: unknown word {{{word}}}: there are {listed}")
