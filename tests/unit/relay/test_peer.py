"""Whose connection it is."""

import socket

import pytest

from ccrelay.relay.peer import UNKNOWN, peer_address, peer_network


def test_the_address_is_that_of_the_other_end_and_the_descriptor_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        assert peer_address(ours.fileno()) == "127.0.0.1"
        client.sendall(b"x")
        assert ours.recv(1) == b"x"
        client.close()
        ours.close()


def test_ipv4_on_a_socket_of_both_families_is_written_as_ipv4() -> None:
    try:
        server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    except (OSError, ValueError):
        pytest.skip("no IPv6 here")
    with server:
        client = socket.create_connection(("127.0.0.1", server.getsockname()[1]))
        ours, _ = server.accept()
        assert peer_address(ours.fileno()) == "127.0.0.1"
        client.close()
        ours.close()


def test_a_closed_connection_has_no_address() -> None:
    pair = socket.socketpair()
    assert peer_address(pair[0].fileno()) == UNKNOWN  # no address, as a Unix socket
    fd = pair[0].fileno()
    for sock in pair:
        sock.close()
    assert peer_address(fd) == peer_address(-1) == UNKNOWN


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        (UNKNOWN, UNKNOWN),
        ("fe80:odd", "fe80:odd"),
    ],
)
def test_an_owner_of_ipv6_addresses_has_a_64(address: str, network: str) -> None:
    assert peer_network(address) == network
