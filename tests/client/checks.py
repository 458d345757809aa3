"""Asserts that the relay changes only what it may between client and upstream.

The two taps' records are compared: requests header by header and byte by byte, responses with their
chunked framing taken off. Exchanges are matched by the upstream's `request-id`.
"""

import json
from typing import NamedTuple

from tests.client.recorder import Fields, Seen
from tests.client.rig import RELAY_TOKEN, SENT_MODEL, UPSTREAM_KEY, Rig

# Hop-by-hop: rewritten or removed for the next hop (docs/architecture.md, "Sockets and bytes").
HOP = frozenset(
    (
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
CREDENTIALS = frozenset((b"authorization", b"x-api-key"))


class Pair(NamedTuple):
    """An exchange, as recorded at the client and at the upstream."""

    client: Seen
    upstream: Seen


def pairs(rig: Rig) -> list[Pair]:
    """All exchanges that reached the upstream, in the order of the client's connections.

    AssertionError when one side saw more than the other.
    """
    upstream = {seen.response_field(b"request-id"): seen for seen in rig.back.seen()}
    client = [seen for seen in rig.front.seen() if seen.response_field(b"request-id") in upstream]
    assert len(client) == len(upstream) == len(rig.back.seen())
    return [Pair(seen, upstream[seen.response_field(b"request-id")]) for seen in client]


def assert_passed_through(rig: Rig) -> list[Pair]:
    """Assert that only hop-by-hop headers differ; returns the exchanges."""
    found = pairs(rig)
    assert found
    for client, upstream in found:
        assert_same_request_line(client, upstream)
        assert upstream.body == client.body
        # Including the credential of the client, which is passed through.
        assert without(upstream.fields, HOP) == without(client.fields, HOP)
        assert_same_response(client, upstream)
    return found


def assert_mapped(rig: Rig) -> list[Pair]:
    """Assert that only hop-by-hop headers, model and credential differ; returns the exchanges."""
    found = pairs(rig)
    assert found
    for client, upstream in found:
        assert_same_request_line(client, upstream)
        assert upstream.body == renamed(client.body)
        theirs = HOP | CREDENTIALS
        assert without(upstream.fields, theirs) == without(client.fields, theirs)
        assert only(upstream.fields, CREDENTIALS) == [(b"x-api-key", UPSTREAM_KEY.encode())]
        assert_same_response(client, upstream)
    for conversation in rig.back.conversations:
        assert RELAY_TOKEN.encode() not in conversation.sent
    return found


def assert_same_request_line(client: Seen, upstream: Seen) -> None:
    assert (upstream.method, upstream.target) == (client.method, client.target)
    # The relay parses usage, so it requests a response without content coding.
    assert upstream.field(b"accept-encoding") == b"identity"
    assert upstream.field(b"anthropic-beta") == client.field(b"anthropic-beta")


def assert_same_response(client: Seen, upstream: Seen) -> None:
    assert client.status == upstream.status
    assert client.is_whole == upstream.is_whole
    assert client.payload == upstream.payload
    assert without(client.response_fields, HOP) == without(upstream.response_fields, HOP)


def renamed(body: bytes) -> bytes:
    """The client's request body with the upstream model, otherwise unchanged."""
    model = json.dumps(json.loads(body)["model"]).encode()
    assert body.count(model) >= 1
    return body.replace(model, json.dumps(SENT_MODEL).encode(), 1)


def without(fields: Fields, names: frozenset[bytes]) -> Fields:
    return [field for field in fields if field[0].lower() not in names]


def only(fields: Fields, names: frozenset[bytes]) -> Fields:
    return [field for field in fields if field[0].lower() in names]


def message_requests(found: list[Pair]) -> list[Pair]:
    return [pair for pair in found if pair.client.path == b"/v1/messages"]


def events(payload: bytes) -> list[str]:
    """The names of a stream's events."""
    lines = payload.decode().splitlines()
    return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
