import os
import socket
import struct

import pytest

from ccrelay.control.peer import own_uid, peer_uid


def test_the_user_at_the_other_end() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_uid(one) == os.geteuid() == own_uid()


def test_of_a_tcp_connection_nobody_knows() -> None:
    with socket.socket() as sock:
        assert peer_uid(sock) in (-1, 0xFFFFFFFF)


class Mac:
    """A socket of macOS: struct xucred."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (0, 1, 76)
        return self._data


@pytest.mark.parametrize(
    ("data", "uid"),
    [(struct.pack("IiH", 0, 501, 1) + b"\0" * 64, 501), (struct.pack("Ii", 9, 501), -1), (b"", -1)],
)
def test_macos(data: bytes, uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    assert peer_uid(Mac(data)) == uid  # type: ignore[arg-type]
