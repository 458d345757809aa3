"""Checks the variables that name trusted certificates, `SSL_CERT_FILE` and `SSL_CERT_DIR`.

OpenSSL reads them and says nothing when they name nothing; every https provider then fails with
"unable to get local issuer certificate". Imports no `ssl`: the supervisor uses no TLS.
"""

import binascii
import os
import re
import stat
from collections.abc import Mapping

from ccrelay.config.problems import quoted_path

FILE_VARIABLE = "SSL_CERT_FILE"
DIRECTORY_VARIABLE = "SSL_CERT_DIR"

_FILE_BYTES_MAX = 8 << 20  # the CAs of a system are 0.3 MB
# RFC 7468 section 5, with the labels that OpenSSL accepts.
_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----\s(.*?)-----END", re.DOTALL)
_ASN1_SEQUENCE = 0x30
# OpenSSL looks up a subject's hash; other names in the directory are ignored.
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+\Z")


def trust_problems(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return variable and problem, for each of them that is set and names no certificate.

    Reads the file and the directories. Never raises.
    """
    found: list[tuple[str, str]] = []
    file, directories = env.get(FILE_VARIABLE), env.get(DIRECTORY_VARIABLE)
    if file is not None:
        problem = _file_problem(file)
        found += [(FILE_VARIABLE, problem)] if problem else []
    if directories is not None:
        parts = directories.split(os.pathsep)
        problems = [_directory_problem(part) for part in (list(filter(None, parts)) or [""])]
        found += [(DIRECTORY_VARIABLE, problem) for problem in problems if problem]
    return found


def _file_problem(path: str) -> str | None:
    if not path:
        return "is empty: unset it, or set it to a file of certificates"
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return f"names a directory, {quoted_path(path)}: use {DIRECTORY_VARIABLE} for it"
        if not stat.S_ISREG(mode):
            return f"names no regular file: {quoted_path(path)}"
        with open(path, "rb") as file:
            data = file.read(_FILE_BYTES_MAX)
    except (OSError, ValueError) as error:
        return f"cannot be read: {quoted_path(path)} ({_reason(error)})"
    if not any(_is_certificate(block) for block in _PEM.findall(data)):
        return f"names a file without a certificate (PEM): {quoted_path(path)}"
    return None


def _directory_problem(path: str) -> str | None:
    if not path:
        return "is empty: unset it, or set it to a directory of certificates"
    try:
        names = os.listdir(path)
    except NotADirectoryError:
        return f"names a file, {quoted_path(path)}: use {FILE_VARIABLE} for it"
    except (OSError, ValueError) as error:
        return f"cannot be read: {quoted_path(path)} ({_reason(error)})"
    if not any(_HASHED_NAME.match(name) and _is_file(path, name) for name in names):
        return (
            f"names a directory without a certificate under its hash: {quoted_path(path)} "
            "(`openssl rehash` makes the links)"
        )
    return None


def _is_certificate(block: bytes) -> bool:
    try:
        data = binascii.a2b_base64(block)
    except binascii.Error:
        return False
    return data[:1] == bytes([_ASN1_SEQUENCE])


def _is_file(directory: str, name: str) -> bool:
    return os.path.isfile(os.path.join(directory, name))


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "invalid path"
