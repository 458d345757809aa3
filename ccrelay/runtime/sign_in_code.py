"""The one-time code of the banner, which signs a browser in to the web page.

The supervisor makes it, prints it, and tells it to each manager; a manager knows which codes were
used before (`ccrelay.control.sessions`).
"""

import os
import time
from binascii import b2a_base64
from collections.abc import Mapping
from typing import TextIO

from ccrelay.runtime.manager_link import SignInCode

CODE_BYTES = 16
CODE_S = 300


def make_code(output: TextIO | None, env: Mapping[str, str]) -> SignInCode | None:
    """Return a code to print; None where others read what is printed: in the journal.

    Args:
        output: where the banner goes; None: nowhere.
        env: tells whether that is the journal of systemd (`JOURNAL_STREAM`).
    """
    if output is None or _is_journal(output, env.get("JOURNAL_STREAM", "")):
        return None
    # As `secrets.token_urlsafe` does, without its imports.
    text = b2a_base64(os.urandom(CODE_BYTES), newline=False).decode().rstrip("=")
    code = text.replace("+", "-").replace("/", "_")
    return SignInCode(code, int((time.time() + CODE_S) * 1000))


def _is_journal(output: TextIO, stream: str) -> bool:
    try:
        status = os.fstat(output.fileno())
    except (OSError, ValueError):  # it has no descriptor: a string
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"
