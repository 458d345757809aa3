"""sd_notify: tell systemd when the relay is ready, stopping, and how it is.

The protocol is one datagram to the unix socket in NOTIFY_SOCKET (sd_notify(3)); a leading "@" means
Linux's abstract namespace. Without the variable nothing is sent.
"""

import contextlib
import socket
from collections.abc import Mapping


class Notifier:
    """Sends state lines to the service manager named by `environ["NOTIFY_SOCKET"]`, if any."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *lines: str) -> None:
        """Send for instance `"READY=1"`. A manager that went away is no error."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),  # sd_notify(3): "should be ignored"
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)  # the supervisor's loop must not wait for a stuck manager
            sock.sendto("\n".join(lines).encode(), self._address)
