import errno

import pytest

from ccrelay.config.address import (
    is_host,
    is_loopback,
    is_private,
    join_address,
    listen_problem,
    split_listen,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8787", ("127.0.0.1", 8787)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8787", ("::1", 8787)),
        ("[0:0::1]:80", ("::1", 80)),
        ("[::ffff:127.0.0.1]:80", ("127.0.0.1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("relay_1.example:80", ("relay_1.example", 80)),
    ],
)
def test_listen_addresses_parse(text, address):
    assert split_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8787",
        ":8787",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٣",
        "127.0.0.256:80",
        "127.1:80",
        "::1:8787",
        "[::1]",
        "[::1:8787",
        "[127.0.0.1]:80",
        "*:8787",
        "a b:80",
        "http://127.0.0.1:80",
        "-host:80",
        "127.0.0.1\n:80",
    ],
)
def test_invalid_listen_addresses_are_rejected(text):
    with pytest.raises(ValueError, match=r"missing|bracket|invalid"):
        split_listen(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://127.0.0.1:80", "a URL is invalid here: use HOST:PORT"),
        ("https://[::1]:8787/", "a URL is invalid here: use HOST:PORT"),
        ("*:8787", r"for all addresses use \[::\]:8787, for those of IPv4 0\.0\.0\.0:8787"),
    ],
)
def test_the_right_form_of_a_common_mistake_is_told(text, words):
    with pytest.raises(ValueError, match=words):
        split_listen(text)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST.", "a.localhost"]
)
def test_loopback_hosts(host):
    assert is_loopback(host)
    assert is_private(host)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.0.0.1.example", "::ffff:8.8.8.8"],
)
def test_other_hosts_are_not_loopback(host):
    assert not is_loopback(host)


def test_ipv4_mapped_addresses_are_unwrapped():
    assert is_loopback("::ffff:127.0.0.1")


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.1.2.3", True),
        ("192.168.0.4", True),
        ("fd00::1", True),
        ("ollama", True),
        ("box.local", True),
        ("8.8.8.8", False),
        ("0.0.0.0", False),
        ("example.com", False),
    ],
)
def test_private_hosts(host, private):
    assert is_private(host) is private


@pytest.mark.parametrize("text", ["", "a/b", "a\\b", "a@b", "exa mple", "1.2.3", "é.example"])
def test_invalid_hosts_are_rejected(text):
    assert not is_host(text)


@pytest.mark.parametrize(
    ("number", "host", "port", "words"),
    [
        (errno.EADDRINUSE, "127.0.0.1", 8788, "in use, perhaps by another ccrelay"),
        (errno.EADDRINUSE, "127.0.0.1", 8788, "ccrelay mock --listen 127.0.0.1:8789"),
        (errno.EADDRINUSE, "::1", 65_535, "ccrelay mock --listen [::1]:0"),
        (errno.EACCES, "127.0.0.1", 80, "ccrelay mock --listen 127.0.0.1:8787"),
        (errno.EADDRNOTAVAIL, "192.0.2.1", 80, "'192.0.2.1' is not an address of this machine"),
        (errno.ENOBUFS, "127.0.0.1", 80, "Cannot listen on 127.0.0.1:80: no room."),
    ],
)
def test_why_an_address_cannot_be_listened_on(
    number: int, host: str, port: int, words: str
) -> None:
    error = OSError(number, "no room")
    listen = join_address(host, port)
    assert split_listen(listen) == (host, port)
    assert words in listen_problem(error, listen, host, port, command="ccrelay mock")
