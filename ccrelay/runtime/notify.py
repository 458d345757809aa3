"""sd_notify: report readiness, reloads, shutdown and status to systemd.

One datagram to the unix socket in NOTIFY_SOCKET (sd_notify(3)); a leading "@" means the abstract
namespace of Linux. Without the variable nothing is sent.
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
        """Send lines such as `"READY=1"`. Errors are ignored, as sd_notify(3) recommends."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),  # sd_notify(3): "should be ignored"
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.setblocking(False)  # a stuck manager must not block the supervisor's loop
            sock.sendto("\n".join(lines).encode(), self._address)
