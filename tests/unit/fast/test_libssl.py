"""Whether libssl's functions may be called, and that they are not where anything is unclear.

What the two ways do with bytes: tests/loopback/relay/test_tls_records.py.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ccrelay._fast import json, libssl
from ccrelay._fast.conn import Reactor
from ccrelay._fast.handlers import UpstreamLimits
from ccrelay._fast.upstream import Upstream


@pytest.fixture(autouse=True)
def _on() -> Iterator[None]:
    libssl.use(True)
    yield
    libssl.use(True)


def client() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def wrapped(context: ssl.SSLContext | None = None) -> ssl.SSLObject:
    made = context or client()
    return made.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")


def extension() -> str | None:
    import _ssl

    return getattr(_ssl, "__file__", None)


class Context:
    """In the place of an SSLContext: `make` says what comes of wrapping."""

    def __init__(self, make: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], object]) -> None:
        self._make = make

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **_: object) -> object:
        return self._make(incoming, outgoing)


def examined(make: Callable[[ssl.MemoryBIO, ssl.MemoryBIO], object]) -> str:
    return libssl.examine(extension(), cast("Any", Context(make)))


def is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError):
        return False


def is_a_tried_kind() -> bool:
    """Linux with glibc, a plain build, OpenSSL 3 in a library of its own."""
    return (
        sys.platform == "linux"
        and is_glibc()
        and not sysconfig.get_config_var("Py_GIL_DISABLED")
        and not sysconfig.get_config_var("Py_DEBUG")
        and ssl.OPENSSL_VERSION.startswith("OpenSSL 3.")
        and extension() is not None
        and "/libssl." in Path("/proc/self/maps").read_text()
    )


tried = pytest.mark.skipif(not is_a_tried_kind(), reason="elsewhere nothing of it is used")


def test_it_is_used_where_it_was_tried_and_nowhere_else() -> None:
    if is_a_tried_kind():
        assert libssl.reason() == ""
        assert libssl.available()
    elif not is_glibc() or extension() is None:
        assert "not tried" in libssl.reason() or "part of the interpreter" in libssl.reason()
        assert not libssl.available()
    else:
        assert libssl.available() is (libssl.reason() == "")


@tried
@pytest.mark.parametrize("_", range(3))
def test_the_examination_may_be_repeated(_: int) -> None:
    assert libssl.examine(extension(), client()) == ""


@tried
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_any_clients_context_passes(version: ssl.TLSVersion) -> None:
    context = client()
    context.minimum_version = context.maximum_version = version
    assert libssl.examine(extension(), context) == ""


@tried
def test_a_library_without_the_functions_is_refused() -> None:
    assert json.__file__ is not None
    assert libssl.examine(json.__file__, client()) == "not found: OpenSSL_version_num"


@tried
def test_nothing_is_loaded_for_it() -> None:
    assert libssl.examine("/nonexistent/_ssl.so", client()) == "not found: the extension"


@tried
def test_an_interpreter_with_ssl_inside_is_refused() -> None:
    assert libssl.examine(None, client()) == "_ssl is part of the interpreter"


@tried
@pytest.mark.parametrize(
    "version", ["LibreSSL 3.9.0", "OpenSSL 1.1.1w  11 Sep 2023", "OpenSSL 4.0.0", "BoringSSL"]
)
def test_other_libraries_are_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "OPENSSL_VERSION", version)
    assert libssl.examine(extension(), client()) == f"not tried with {version}"


@tried
def test_another_copy_than_pythons_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_NUMBER", ssl.OPENSSL_VERSION_NUMBER + 16)
    assert "another than Python's" in libssl.examine(extension(), client())


@tried
def test_an_object_without_an_ssl_is_not_believed() -> None:
    assert "not known" in examined(lambda *_: object())


@tried
def test_an_ssl_that_is_gone_is_not_believed() -> None:
    def drop(*_: object) -> object:
        wrapped()
        return object()

    assert "not known" in examined(drop)


@tried
def test_an_error_while_trying_is_a_reason() -> None:
    def fail(*_: object) -> object:
        raise ssl.SSLError("no protocols available")

    assert "no protocols available" in examined(fail)


@tried
def test_of_two_new_ssls_none_is_believed() -> None:
    def two(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        wrapped()
        return client().wrap_bio(incoming, outgoing, server_hostname="localhost")

    assert "not known" in examined(two)


@tried
def test_an_ssl_between_other_buffers_is_not_believed() -> None:
    assert "is not the SSLObject's" in examined(lambda *_: wrapped())


@tried
@pytest.mark.parametrize("swapped", ["incoming", "outgoing"])
def test_both_buffers_must_be_the_ssls(swapped: str) -> None:
    def half(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        buffers = {"incoming": incoming, "outgoing": outgoing, swapped: ssl.MemoryBIO()}
        return client().wrap_bio(
            buffers["incoming"], buffers["outgoing"], server_hostname="localhost"
        )

    assert "is not the SSLObject's" in examined(half)


@tried
def test_a_context_that_cannot_begin_a_handshake_is_not_believed() -> None:
    def mute(incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return server.wrap_bio(incoming, outgoing, server_side=True)

    assert "went out" in examined(mute)


# ---- capture


@tried
def test_the_ssl_of_a_new_object_is_captured() -> None:
    obj, native = libssl.capture(wrapped)
    assert isinstance(obj, ssl.SSLObject)
    assert isinstance(native, libssl.Native)


@tried
def test_an_object_made_meanwhile_leaves_none_captured() -> None:
    def nested() -> ssl.SSLObject:
        made = wrapped()
        inner = libssl.capture(wrapped)  # as a finalizer might that the collector runs
        assert inner[1] is not None
        return made

    assert libssl.capture(nested)[1] is None


@tried
def test_objects_of_other_threads_do_not_count() -> None:
    def beside() -> ssl.SSLObject:
        thread = threading.Thread(target=wrapped)
        thread.start()
        thread.join()
        return wrapped()

    assert libssl.capture(beside)[1] is not None


def test_switched_off_nothing_is_captured() -> None:
    libssl.use(False)
    assert (libssl.available(), libssl.reason()) == (False, "switched off")
    obj, native = libssl.capture(wrapped)
    assert isinstance(obj, ssl.SSLObject)
    assert native is None


def test_an_error_while_making_the_object_is_the_callers() -> None:
    def fail() -> ssl.SSLObject:
        raise ssl.SSLError("no")

    with pytest.raises(ssl.SSLError, match="no"):
        libssl.capture(fail)


@tried
def test_errors_are_not_left_in_the_threads_queue() -> None:
    # A server that is asked for a handshake over the trial's BIO fails inside the library; CPython
    # would find that error with its next call, if it were still there.
    for _ in range(3):
        assert libssl.examine(extension(), client()) == ""
        with pytest.raises(ssl.SSLWantReadError):
            wrapped().do_handshake()


# ---- attaching


LIMITS = UpstreamLimits(first_byte_s=1, idle_s=1, total_s=1, pool_idle_s=1, event_bytes_max=1 << 20)


class Handed:
    """A session as the dialer hands it over, and whether libssl's functions serve it then."""

    def __init__(self) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.obj, self.native = libssl.capture(
            lambda: client().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        )

    def is_direct_with(self, native: libssl.Native | None) -> bool:
        near, far = socket.socketpair()
        loop = asyncio.new_event_loop()
        with far, contextlib.closing(loop):
            reactor = Reactor(loop, lambda *_: None)
            upstream = Upstream(reactor, near.detach(), cast("Any", None), LIMITS)
            upstream.attach_tls(self.obj, self.incoming, self.outgoing, native)
            before = self.outgoing.pending
            try:
                self.obj.do_handshake()
            except ssl.SSLWantReadError:
                return False  # its hello went where Python put it
            except OSError:
                # Outside of a call of ours, libssl finds nothing to write to.
                assert self.outgoing.pending == before
                return True
        raise AssertionError("a handshake without a peer")


@tried
def test_a_session_with_its_own_ssl_is_served_directly() -> None:
    handed = Handed()
    assert handed.native is not None
    assert handed.is_direct_with(handed.native)


@pytest.mark.parametrize("direct", [False, True])
def test_without_an_ssl_python_serves_it(direct: bool) -> None:
    libssl.use(direct)
    assert not Handed().is_direct_with(None)


@tried
def test_the_ssl_of_another_session_is_not_used() -> None:
    handed, other = Handed(), Handed()
    assert not handed.is_direct_with(other.native)


@tried
def test_an_ssl_between_other_buffers_is_not_used() -> None:
    handed = Handed()
    handed.incoming = ssl.MemoryBIO()
    assert not handed.is_direct_with(handed.native)


@tried
def test_a_session_that_has_something_to_send_is_left_to_python() -> None:
    handed = Handed()
    handed.outgoing.write(b"left")
    assert not handed.is_direct_with(handed.native)
