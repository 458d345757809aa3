"""The header `x-ccrelay-project`: the name of the folder that Claude Code works in."""

import os
from collections.abc import Mapping
from pathlib import Path

HEADER = "x-ccrelay-project"
HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
CHARACTERS_MAX = 64
_PARENTS_MAX = 64


def project_name(folder: Path, home: Path | None = None) -> str:
    """Return the name of the project that a folder belongs to; empty: it has none.

    It is the name of the git repository's folder, else that of the folder itself, in printable
    ASCII, at most CHARACTERS_MAX characters. The home folder is no project.
    """
    top = repository(folder, home) or folder
    if top in (home, Path(top.anchor)):
        return ""
    return printable_ascii(top.name)


def printable_ascii(name: str) -> str:
    """Return a name as the header takes it: accents are dropped, what is left out becomes `-`."""
    import re
    import unicodedata

    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    plain = re.sub(r"[^!-~]+", "-", plain)
    return plain[:CHARACTERS_MAX].strip("-")


def repository(folder: Path, home: Path | None = None) -> Path | None:
    """Return the nearest folder above, or this one, with a `.git`; None: there is none.

    One around the home folder is none, where that is given.
    """
    for parent in [folder, *folder.parents][:_PARENTS_MAX]:
        if parent == home:
            return None
        if os.path.lexists(parent / ".git"):
            return parent
    return None


def with_project(headers: str, project: str) -> str:
    """Return custom headers, one `Name: value` per line, with that of the project.

    Headers of the user stay as they are, and so does a project of theirs.
    """
    return with_header(headers, HEADER, project) if project else headers


def with_header(headers: str, name: str, value: str) -> str:
    """Return custom headers with one more, unless one has its name."""
    names = {line.partition(":")[0].strip().lower() for line in headers.splitlines()}
    if name in names:
        return headers
    lines = headers.strip("\n")  # else as they are: client_ours knows again what is the user's
    return f"{lines}\n{name}: {value}".lstrip("\n")


def working_folder() -> Path | None:
    """Return the working directory; None: it is gone."""
    try:
        return Path.cwd()
    except OSError:
        return None


def current_project(env: Mapping[str, str]) -> str:
    """Return the project of the working directory; empty: it has none, or is gone."""
    folder = working_folder()
    home = env.get("HOME")
    return project_name(folder, Path(home).resolve() if home else None) if folder else ""
