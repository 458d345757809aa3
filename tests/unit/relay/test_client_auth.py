"""Who comes in, and what is said to who does not."""

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay.config.model import Auth, Server
from ccrelay.errors import BadRequest, Forbidden, Unauthorized
from ccrelay.relay.client_auth import Authenticator, ClientAuth, client_of

TOKENS = ["test-token-1", "test-token-2"]
OPEN = Server()
GUARDED = Server(auth=Auth(tokens=TOKENS))


def head(*lines: bytes, host: bytes = b"127.0.0.1:8787") -> Head:
    fields = b"".join(line + b"\r\n" for line in (b"host: " + host, *lines))
    parsed = parse_request(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
    assert parsed is not None
    return parsed[0]


@pytest.mark.parametrize("token", [token.encode() for token in TOKENS])
@pytest.mark.parametrize(
    ("line", "passed"),
    [
        (b"authorization: Bearer %b", ClientAuth(True, False, False)),
        (b"x-api-key: %b", ClientAuth(False, True, False)),
    ],
)
def test_every_configured_token_opens_in_either_field(
    line: bytes, passed: ClientAuth, token: bytes
) -> None:
    assert Authenticator(GUARDED).admit(head(line % token))[:3] == passed[:3]


def test_the_other_field_may_hold_the_clients_own_credential() -> None:
    gate = Authenticator(GUARDED)
    own_key = head(b"authorization: Bearer test-token-1", b"x-api-key: mine")
    own_bearer = head(b"x-api-key: test-token-1", b"authorization: Bearer mine")
    own_basic = head(b"x-api-key: test-token-1", b"authorization: Basic bWluZQ==")
    both = head(b"x-api-key: test-token-1", b"authorization: Bearer test-token-2")
    assert gate.admit(own_key)[:3] == (True, False, True)
    assert gate.admit(own_bearer)[:3] == (False, True, True)
    assert gate.admit(own_basic)[:3] == (False, True, True)
    assert gate.admit(both)[:3] == (True, True, False)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([], "missing"),
        ([b"authorization: Basic dGVzdC10b2tlbi0x"], "missing"),
        ([b"authorization: Bearer test-token-"], "not a valid relay token"),
        ([b"authorization: Bearer test-token-1x"], "not a valid relay token"),
        ([b"x-api-key: TEST-TOKEN-1"], "not a valid relay token"),
        ([b"x-api-key: "], "missing"),
    ],
)
def test_a_missing_token_is_a_401_that_names_the_variable(lines: list[bytes], word: str) -> None:
    with pytest.raises(Unauthorized, match=word) as caught:
        Authenticator(GUARDED).admit(head(*lines))
    assert "ANTHROPIC_AUTH_TOKEN" in caught.value.message
    assert "test-token" not in caught.value.message
    assert caught.value.should_retry is False


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"X-Api-Key"])
@pytest.mark.parametrize("server", [OPEN, GUARDED], ids=["open", "guarded"])
def test_a_duplicate_credential_header_is_refused(server: Server, name: bytes) -> None:
    twice = head(b"x-api-key: mine" if name != b"authorization" else b"authorization: mine")
    Authenticator(OPEN).admit(twice)
    lines = [name.lower() + b": Bearer mine", name + b": Bearer test-token-1"]
    with pytest.raises(BadRequest, match="Duplicate credential header"):
        Authenticator(server).admit(head(*lines))


def test_without_tokens_any_credential_is_the_clients_own() -> None:
    gate = Authenticator(OPEN)
    assert gate.admit(head()) == ClientAuth(False, False, False)
    assert gate.admit(head(b"x-api-key: anything")) == ClientAuth(False, False, True)
    assert gate.admit(head(b"authorization: Bearer anything")) == ClientAuth(False, False, True)


@pytest.mark.parametrize(
    ("host", "ok"),
    [
        (b"localhost:1", True),
        (b"[::1]:8787", True),
        (b"relay.lan", True),
        (b"EXTRA.example:99", True),
        (b"rebound.example", False),
        (b"127.0.0.1.evil.example", False),
    ],
)
def test_only_loopback_the_listen_address_and_allowed_hosts_are_served(
    host: bytes, ok: bool
) -> None:
    gate = Authenticator(Server(listen="relay.lan:8787", allowed_hosts=["extra.example"]))
    if ok:
        gate.check_host(head(host=host))
        return
    with pytest.raises(Forbidden, match="allowed_hosts"):
        gate.check_host(head(host=host))


def test_a_browsers_page_needs_its_origin_allowed() -> None:
    gate = Authenticator(Server(allowed_origins=["https://Tools.example"]))
    gate.check_host(head(b"origin: https://tools.example"))
    with pytest.raises(Forbidden, match="allowed_origins"):
        gate.check_host(head(b"origin: https://evil.example"))


def test_host_and_origin_are_looked_at_before_the_token() -> None:
    with pytest.raises(Forbidden):
        Authenticator(GUARDED).admit(head(host=b"evil.example"))


# ---- whose request it is


def whose(lines: list[bytes], server: Server = GUARDED, address: bytes = b"") -> ClientAuth:
    parsed = head(*lines)
    return client_of(Authenticator(server).admit(parsed), address, parsed)


def test_a_client_is_its_relay_token_in_either_field_and_at_any_address() -> None:
    one = whose([b"authorization: Bearer test-token-1"])
    assert one.client > 0
    assert whose([b"x-api-key: test-token-1", b"authorization: Bearer mine"]).client == one.client
    assert whose([b"x-api-key: test-token-2"]).client not in (0, one.client)


def test_a_client_without_a_token_is_its_address_which_proves_nothing() -> None:
    lines = ([b"x-api-key: a"], [b"x-api-key: b"])  # as many as it likes
    one, same = (whose(line, Server(), b"\x7f\0\0\1").client for line in lines)
    assert one == same < 0
    assert whose([], Server(), b"\x7f\0\0\2").client not in (0, one)


def test_a_client_without_an_address_is_its_credential() -> None:
    one = whose([b"x-api-key: a"], Server())
    assert one.client not in (0, whose([b"x-api-key: b"], Server()).client)
    assert whose([], Server()).client == 0


@pytest.mark.parametrize(
    ("server", "is_alone"),
    [
        (Server(), True),  # programs of this machine
        (Server(listen="0.0.0.0:1"), False),
        (Server(listen="0.0.0.0:1", auth=Auth(tokens=["test-token-1"])), True),
        (Server(auth=Auth(tokens=["test-token-1", "test-token-2"])), False),
    ],
)
def test_a_relay_for_one_client_keeps_no_room_for_others(server: Server, is_alone: bool) -> None:
    assert Authenticator(server).is_for_one == is_alone
