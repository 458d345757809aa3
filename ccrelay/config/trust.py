"""Which files found in a working directory their user has confirmed: path and digest, on disk.

    $XDG_STATE_HOME/ccrelay/trusted.json, else ~/.local/state/ccrelay/trusted.json
    {"files": {"/srv/project/ccrelay.yaml": "<sha256>"}}

One digest per path: a changed file needs another confirmation.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ccrelay.config.atomic_file import replace_file
from ccrelay.config.files import Untrusted, open_trusted
from ccrelay.config.places import make_private

RECORD_BYTES_MAX = 1 << 20  # some ten thousand files


class NoRecord(Exception):
    """The record cannot be read or written; the message says why, and the next step."""


def record_path(env: Mapping[str, str]) -> Path | None:
    """Return the file of the record; None when no home is known."""
    xdg = env.get("XDG_STATE_HOME", "")
    if os.path.isabs(xdg):  # relative paths are invalid: XDG Base Directory Specification
        return Path(xdg, "ccrelay", "trusted.json")
    home = env.get("HOME", "")
    return Path(home, ".local", "state", "ccrelay", "trusted.json") if home else None


def is_confirmed(file: Path, digest: str, env: Mapping[str, str]) -> bool:
    """Whether the user has confirmed this content of this file. Raises NoRecord."""
    record = record_path(env)
    return record is not None and _read(record, env).get(_name(file)) == digest


def confirm(file: Path, digest: str, env: Mapping[str, str]) -> Path:
    """Record the confirmation, and return the file of the record.

    Args:
        file: the configuration file.
        digest: SHA-256 of the content that was shown, in hexadecimal digits.
        env: environment variables; they say where the record is.

    Raises:
        NoRecord: it cannot be written.
    """
    record = record_path(env)
    if record is None:
        raise NoRecord("neither HOME nor XDG_STATE_HOME is set: use --config FILE")
    try:
        make_private(record.parent)
        os.close(open_trusted(record.parent, env))
        files = {**_read(record, env), _name(file): digest}
        replace_file(record, json.dumps({"files": files}, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise _no_record("write", record, error) from None
    return record


def _name(file: Path) -> str:
    return os.path.abspath(file)


def _read(record: Path, env: Mapping[str, str]) -> dict[str, str]:
    try:
        with open(open_trusted(record, env), "rb") as opened:
            data = opened.read(RECORD_BYTES_MAX)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _no_record("read", record, error) from None
    try:
        files = json.loads(data)["files"]
        return {name: digest for name, digest in files.items() if isinstance(digest, str)}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}  # nothing is confirmed then; the next confirmation replaces the file


def _no_record(verb: str, record: Path, error: OSError) -> NoRecord:
    if isinstance(error, Untrusted):
        return NoRecord(f"the record of confirmed files is not trusted: {error}")
    return NoRecord(f"cannot {verb} the record of confirmed files {record}: {error.strerror}")
