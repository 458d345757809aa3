"""Whether the files that `management` and `ledger` name can be used, before anything starts."""

import os
import stat
from pathlib import Path

from ccrelay.config.model import Config
from ccrelay.config.problems import Path as Place, Problem, quoted_path

PEM_BYTES_MAX = 1 << 20


def management_file_problems(config: Config, unknown: frozenset[Place]) -> list[Problem]:
    """Return what is wrong with the TLS files (errors) and the folder of the ledger (a warning).

    Nothing is said of a file whose name is at an `unknown` place, nor of the default ledger, which
    may be that of another machine; and nothing is created.
    """
    if not config.management.enabled:
        return []
    found = []
    for name in ("tls_cert", "tls_key"):
        place: Place = ("management", name)
        path = getattr(config.management, name)
        if path is not None and place not in unknown:
            found += _tls_problems(place, path)
    place = ("ledger", "path")
    ledger = config.ledger
    if not ledger.enabled or ledger.path is None or place in unknown:
        return found
    if reason := _ledger_problem(ledger.path):
        message = f"{reason}: the relay serves, and nothing of it is kept"
        found.append(Problem(message=message, path=place, severity="warning"))
    return found


def _tls_problems(place: Place, path: str) -> list[Problem]:
    name = os.path.abspath(os.path.expanduser(path))
    shown = quoted_path(name)
    try:
        status = os.stat(name)
    except OSError as error:
        return [Problem(message=f"cannot read {shown}: {error.strerror}", path=place)]
    if not stat.S_ISREG(status.st_mode):
        return [Problem(message=f"cannot read {shown}: it is not a file", path=place)]
    if not os.access(name, os.R_OK):
        return [Problem(message=f"cannot read {shown}: permission denied", path=place)]
    if reason := _pem_problem(name, is_key=place[-1] == "tls_key"):
        return [Problem(message=f"cannot use {shown}: {reason}", path=place)]
    if place[-1] == "tls_key" and status.st_mode & stat.S_IROTH:
        message = f"every user can read {shown}: chmod o-r it"
        return [Problem(message=message, path=place, severity="warning")]
    return []


def _pem_problem(name: str, *, is_key: bool) -> str:
    """Why a file is no key or certificate, by its looks, without OpenSSL; empty: it is one."""
    try:
        with open(name, "rb") as file:
            text = file.read(PEM_BYTES_MAX)
    except OSError as error:
        return error.strerror or str(error)
    if is_key and (b"ENCRYPTED" in text):
        return "it wants a password: take it off with `openssl pkey -in KEY -out NEW`"
    what = b"PRIVATE KEY-----" if is_key else b"-----BEGIN CERTIFICATE-----"
    if what in text:
        return ""
    return f"it holds no {'private key' if is_key else 'certificate'} in PEM form"


def _ledger_problem(path: str) -> str:
    """Why the ledger cannot be written; empty: it can, as far as can be told."""
    file = Path(os.path.abspath(os.path.expanduser(path)))
    if file.is_dir():
        return f"cannot write to {quoted_path(str(file))}: it is a directory"
    place = file
    while not place.exists() and place != place.parent:
        place = place.parent  # the folders between are made with the ledger
    if place != file and not place.is_dir():
        return (
            f"cannot write to {quoted_path(str(file))}: {quoted_path(str(place))} is no directory"
        )
    if not os.access(place, os.W_OK):
        return f"cannot write to {quoted_path(str(place))}: permission denied"
    return ""
