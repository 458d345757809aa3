"""Binding real sockets: ports, address families, balancing, error messages."""

import contextlib
import errno
import socket
import sys

import pytest

from ccrelay.runtime import listeners
from ccrelay.runtime.listeners import ListenError

pytestmark = pytest.mark.process


@pytest.fixture
def bind():
    bound: list[listeners.Slots] = []

    def bind(listen: str, slots: int) -> listeners.Slots:
        bound.append(listeners.bind(listen, slots))
        return bound[-1]

    yield bind
    for slots in bound:
        listeners.close(slots)


def ports(slots: listeners.Slots) -> set[int]:
    return {sock.getsockname()[1] for sockets in slots for sock in sockets}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("count", [1, 3])
def test_port_0_binds_one_free_port_for_all_slots(bind, host, count):
    slots = bind(f"{host}:0", count)
    assert len(slots) == count
    (port,) = ports(slots)
    assert port > 0
    assert listeners.addresses(slots)[0].endswith(f":{port}")


FAMILIES = {"[::]": {"::", "0.0.0.0"}, "0.0.0.0": {"0.0.0.0"}, "[::1]": {"::1"}}


@pytest.mark.parametrize(("host", "bound_to"), FAMILIES.items(), ids=FAMILIES)
@pytest.mark.parametrize("count", [1, 2])
def test_the_ipv6_wildcard_serves_both_families(bind, host, bound_to, count):
    slots = bind(f"{host}:0", count)
    (port,) = ports(slots)
    for sockets in slots:
        assert {sock.getsockname()[0] for sock in sockets} == bound_to
    reached = ["127.0.0.1"] if "0.0.0.0" in bound_to else []
    reached += ["::1"] if host != "0.0.0.0" else []
    for address in reached:
        with socket.create_connection((address, port), timeout=5):
            pass
    assert len(listeners.addresses(slots)) == len(bound_to)


def test_the_ipv6_wildcard_without_ipv6_serves_the_other_family(bind, monkeypatch):
    real = socket.socket

    def without_ipv6(family, kind):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return real(family, kind)

    monkeypatch.setattr(listeners.socket, "socket", without_ipv6)
    ((sock,),) = bind("[::]:0", 1)
    monkeypatch.undo()
    assert sock.getsockname()[0] == "0.0.0.0"


def test_a_port_in_use_on_one_family_only_is_an_error(bind):
    (port,) = ports(bind("0.0.0.0:0", 1))
    with pytest.raises(ListenError, match=rf"Cannot listen on \[::\]:{port}: address already in"):
        listeners.bind(f"[::]:{port}", 1)


def test_port_0_is_tried_again_when_the_next_address_has_it_in_use(bind, monkeypatch):
    real, refused = listeners._bound, []

    def bound(family, address, *, reuse_port):
        if family == socket.AF_INET and len(refused) < 2:
            refused.append(address)
            raise OSError(errno.EADDRINUSE, "in use")
        return real(family, address, reuse_port=reuse_port)

    monkeypatch.setattr(listeners, "_bound", bound)
    assert len(ports(bind("[::]:0", 1))) == 1
    assert len(refused) == 2


def test_sockets_are_non_blocking_and_accept_connections(bind):
    slots = bind("127.0.0.1:0", 2)
    (port,) = ports(slots)
    for sock in (sock for sockets in slots for sock in sockets):
        assert not sock.getblocking()
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux balances over SO_REUSEPORT")
def test_every_slot_has_its_own_accept_queue(bind):
    slots = bind("127.0.0.1:0", 2)
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for (sock,) in slots)
    assert len({sock.fileno() for (sock,) in slots}) == 2


@pytest.mark.parametrize("slots_before", [1, 2])
@pytest.mark.parametrize("slots", [1, 2])
def test_an_address_in_use_is_an_error_even_when_ccrelay_holds_it(bind, slots_before, slots):
    (port,) = ports(bind("127.0.0.1:0", slots_before))
    with pytest.raises(ListenError) as caught:
        bind(f"127.0.0.1:{port}", slots)
    message = str(caught.value)
    assert f"Cannot listen on 127.0.0.1:{port}: address already in use" in message
    assert f"ccrelay serve --listen 127.0.0.1:{port + 1}" in message


def test_a_port_can_be_bound_again_right_after_close(bind):
    slots = bind("127.0.0.1:0", 2)
    (port,) = ports(slots)
    listeners.close(slots)
    assert ports(bind(f"127.0.0.1:{port}", 2)) == {port}


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("8787", "missing or invalid port"),
        ("::1:8787", "needs brackets"),
        ("203.0.113.7:0", "is not an address of this machine"),
    ],
)
def test_the_error_of_an_unusable_address_says_why(listen, message):
    with pytest.raises(ListenError, match=message):
        listeners.bind(listen, 1)


def test_an_unresolvable_host_is_an_error(monkeypatch):
    def refuse(*args, **how):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ListenError, match=r"cannot resolve the host 'relay\.invalid'"):
        listeners.bind("relay.invalid:8787", 1)


# ---- another number of slots


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2), (2, 2), (2, 5)])
def test_redistribute_keeps_all_sockets_open(bind, host, before, after):
    slots = bind(f"{host}:0", before)
    every = {sock for sockets in slots for sock in sockets}
    regrouped = listeners.redistribute(slots, after)
    try:
        now = [sock for sockets in regrouped for sock in sockets]
        assert len(now) == len(set(now))
        assert every <= set(now)
        assert all(sock.fileno() >= 0 for sock in now)
        assert ports(regrouped) == ports(slots)
        names = {sock.getsockname() for sock in every}
        for sockets in regrouped:
            assert {sock.getsockname() for sock in sockets} == names
    finally:
        listeners.close(regrouped)


def test_redistribute_to_the_same_number_changes_nothing(bind):
    slots = bind("127.0.0.1:0", 3)
    assert listeners.redistribute(slots, 3) == slots


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux balances over SO_REUSEPORT")
def test_connections_reach_sockets_added_to_a_single_one(bind):
    slots = bind("127.0.0.1:0", 1)
    regrouped = listeners.redistribute(slots, 2)
    try:
        reached = set()
        while len(reached) < 2:
            with socket.create_connection(slots[0][0].getsockname(), timeout=5):
                for number, (sock,) in enumerate(regrouped):
                    with contextlib.suppress(BlockingIOError):
                        sock.accept()[0].close()
                        reached.add(number)
    finally:
        listeners.close(regrouped)


def test_an_own_port_can_be_bound_on_the_wildcard_address(bind):
    slots = bind("127.0.0.1:0", 1)
    (port,) = ports(slots)
    with pytest.raises(ListenError):
        listeners.bind(f"0.0.0.0:{port}", 1)
    listeners.close(listeners.bind(f"0.0.0.0:{port}", 1, existing=slots))
