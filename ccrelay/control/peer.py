"""Who is at the other end of a Unix socket."""

import os
import socket
import struct

# <sys/un.h> and <sys/ucred.h> of macOS: struct xucred { u_int cr_version; uid_t cr_uid; ... }
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1
_XUCRED_SIZE = 76


def peer_uid(sock: socket.socket) -> int:
    """Return the user at the other end of a connected Unix socket; -1: not known."""
    option = getattr(socket, "SO_PEERCRED", None)
    try:
        if option is not None:
            data = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
            return int(struct.unpack("3i", data)[1])
        data = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE)
        version, uid = struct.unpack_from("Ii", data)
        return int(uid) if version == 0 else -1
    except (OSError, struct.error):
        return -1


def own_uid() -> int:
    """Return the user that this process runs as."""
    return os.geteuid()
