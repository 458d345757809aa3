"""Asks for credentials once, in a child process: for `config check` and `doctor`.

The libraries of the clouds stay out of the process that asks, and so do the secrets.
"""

import os
import subprocess
import sys
from typing import Final

import msgspec

from ccrelay.config.model import Config
from ccrelay.runtime.credentials_link import CredentialOutcome, entries_of
from ccrelay.runtime.processes import BOOTSTRAP
from ccrelay.runtime.worker_environment import credentials_environment

LIMIT_S: Final = 30.0  # more than the child gives each credential
FAILED_HINT: Final = "run it again with CCRELAY_DEBUG=1, and report it if it stays"


def ask_once(config: Config, limit_s: float = LIMIT_S) -> list[CredentialOutcome]:
    """Obtain every credential that a resolved configuration needs; blocks for `limit_s` at most.

    Never raises: where the child fails, each outcome says so.
    """
    entries = entries_of(config)
    if not entries:
        return []
    try:
        ran = subprocess.run(
            [sys.executable, "-P", "-c", BOOTSTRAP.format("credentials.once")],
            input=msgspec.json.encode(entries),
            env=credentials_environment(os.environ, sys.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # no terminal: a prompt fails at once
            timeout=limit_s,
            check=True,
        )
        return msgspec.json.decode(ran.stdout, type=list[CredentialOutcome])
    except subprocess.TimeoutExpired:
        problem = f"there was no answer within {limit_s:g} s"
    except (OSError, subprocess.CalledProcessError, msgspec.DecodeError) as error:
        problem = f"the process that obtains it failed: {type(error).__name__}"
    return [
        CredentialOutcome(one.provider, one.key, one.key_name, reason=problem, hint=FAILED_HINT)
        for one in entries
    ]
