"""No core files, and no look into the process: its memory has keys and prompts.

Few imports: the supervisor starts with this.
"""

import contextlib
import os
import resource

from ccrelay._fast.hardening import set_dumpable

# "1" keeps core files, debuggers and profilers (py-spy) of the same user working.
VARIABLE = "CCRELAY_DUMPABLE"


def harden_process() -> None:
    """Turn core dumps off, and tracing by processes of the same user (Linux).

    Every process calls it, because an exec undoes the half of it. Does nothing with VARIABLE=1.
    """
    if os.environ.get(VARIABLE) == "1":
        return
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    set_dumpable(False)
