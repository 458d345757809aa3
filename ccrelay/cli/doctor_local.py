"""Checks of `ccrelay doctor` on this machine: versions, and the ledger's folder."""

import importlib.metadata
import os
import platform
import shlex
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ccrelay import __version__
from ccrelay.cli.doctor_ledger import mend_of
from ccrelay.cli.doctor_report import Finding
from ccrelay.config.places import state_folder

if TYPE_CHECKING:
    from ccrelay.config.model import Config

LIBRARIES = ("uvloop", "grpcio", "protobuf", "msgspec")
FREE_BYTES_MIN = 200_000_000
SQLITE_HEAD = b"SQLite format 3\0"


def check_versions() -> list[Finding]:
    """Tell what runs, and whether the compiled modules can be loaded."""
    try:
        importlib.import_module("ccrelay._fast.json")
    except ImportError as error:
        text = f"the compiled modules of ccrelay cannot be loaded: {error}"
        return [Finding("FAIL", "versions", text, do="pip install --force-reinstall ccrelay-proxy")]
    python = f"Python {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}"
    libraries, missing = [], []
    for name in LIBRARIES:
        try:
            libraries.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    text = f"ccrelay {__version__}, {python}, {ssl.OPENSSL_VERSION.rsplit(' ', 3)[0]}, {system}"
    if missing:
        names = ", ".join(missing)
        return [
            Finding("FAIL", "versions", f"{text}; missing: {names}", do="pip install ccrelay-proxy")
        ]
    return [Finding("ok", "versions", f"{text}; {', '.join(libraries)}")]


def check_ledger_file(config: "Config", env: Mapping[str, str]) -> list[Finding]:
    """Check the ledger's file and disk; no relay runs."""
    if not (config.ledger.enabled and config.management.enabled):
        return [Finding("ok", "ledger", "off, by the configuration")]
    path = ledger_path(config, env)
    if path is None:
        text = "no place for it: neither HOME nor XDG_STATE_HOME is set"
        return [Finding("warn", "ledger", text, do="set ledger.path")]
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(path if path.exists() else folder, os.W_OK):
        text = f"{path if path.exists() else folder} cannot be written"
        meaning = "What requests cost would not be recorded."
        return [Finding("FAIL", "ledger", text, meaning, mend_of(text, str(path)))]
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES_MIN:
        text = f"{free / 1e6:.0f} MB are free at {folder}"
        return [Finding("warn", "ledger", text, do=f"df -h {shlex.quote(str(folder))}")]
    return [_file(path, free)]


def _file(path: Path, free: int) -> Finding:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(SQLITE_HEAD))
    except FileNotFoundError:
        return Finding("ok", "ledger", f"{path} will be made, {free / 1e9:.0f} GB are free")
    except OSError as error:
        text = f"{path} cannot be opened: {error.strerror or error}"
        return Finding("FAIL", "ledger", text, do=mend_of(text, str(path)))
    if size and head != SQLITE_HEAD:
        meaning = "The relay will move it aside and begin a new one."
        shown = shlex.quote(str(path))
        return Finding(
            "warn", "ledger", f"{path} is no database", meaning, f"mv {shown} {shown}.old"
        )
    return Finding("ok", "ledger", f"{path}, {size / 1e6:.1f} MB, {free / 1e9:.0f} GB are free")


def ledger_path(config: "Config", env: Mapping[str, str]) -> Path | None:
    """Return where the ledger is; None: no folder for it is known."""
    if config.ledger.path:
        return Path(config.ledger.path).expanduser()
    folder = state_folder(env)
    return folder / "ledger.db" if folder else None
