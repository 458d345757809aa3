"""When this machine can open no connection: its own state, whatever provider was asked for.

The kernel says so by errno (accept(2), socket(2), connect(2)).
"""

import errno
import os
import socket
from collections.abc import Sequence

from ccrelay.errors import Exhausted

# By one of them alone: no other address would do better.
_SURELY = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# No local port is free, or no local address reaches this one: an address may fare better.
_PERHAPS = frozenset({errno.EADDRNOTAVAIL, errno.EAGAIN})

_STEPS = {
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`, or LimitNOFILE= of the service), or "
    "lower server.limits.connections_max.",
    errno.ENFILE: "The whole machine is out of open files: raise fs.file-max, or close programs.",
    errno.EADDRNOTAVAIL: "All local ports are in use (net.ipv4.ip_local_port_range), or there is "
    "no local address of that kind.",
}
_MEMORY_STEP = "The kernel is out of memory for sockets: free some, or serve fewer connections."


def own_failure(codes: Sequence[int]) -> int:
    """The errno among failed attempts that is this machine's own; 0: none of them."""
    for code in codes:
        if code in _SURELY:
            return code
    if codes and all(code in _PERHAPS for code in codes):
        return codes[0]
    return 0


def descriptors_left() -> int:
    """0, or the errno with which a socket cannot be made now: lookups fail then, for other reasons.

    A lookup needs a socket, and the resolver says only that it failed.
    """
    try:
        socket.socket().close()
    except OSError as error:
        return own_failure([error.errno or 0])
    return 0


def next_step(code: int) -> str:
    """What the operator can do about it."""
    return _STEPS.get(code, _MEMORY_STEP)


def exhausted(code: int) -> Exhausted:
    """The 529 for a request that needs a new connection."""
    return Exhausted(
        f"The relay cannot open a connection: {os.strerror(code)}. {next_step(code)}",
        retry_after_s=1,
    )
