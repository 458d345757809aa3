"""What the relay may change between client and upstream, and that it changes nothing else.

The two taps' records are compared: requests header by header and byte by byte, responses with their
chunked framing taken off. Exchanges are matched by the upstream's `request-id`.
"""

import json
from typing import NamedTuple

from tests.client.recorder import Fields, Seen
from tests.client.rig import RELAY_TOKEN, SENT_MODEL, UPSTREAM_KEY, Rig

# Belongs to one hop: rewritten or left out on the next one (docs/architecture.md, "Bytes").
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
    """One exchange as the client saw it and as the upstream saw it."""

    client: Seen
    upstream: Seen


def pairs(rig: Rig) -> list[Pair]:
    """Every exchange that reached the upstream, in the order of the client's connections.

    AssertionError when one side saw more than the other.
    """
    upstream = {seen.response_field(b"request-id"): seen for seen in rig.back.seen()}
    client = [seen for seen in rig.front.seen() if seen.response_field(b"request-id") in upstream]
    assert len(client) == len(upstream) == len(rig.back.seen())
    return [Pair(seen, upstream[seen.response_field(b"request-id")]) for seen in client]


def assert_passed_through(rig: Rig) -> list[Pair]:
    """Nothing but the hop's own headers differs; returns the exchanges."""
    found = pairs(rig)
    assert found
    for client, upstream in found:
        assert_same_request_line(client, upstream)
        assert upstream.body == client.body
        # The client's own credential is among them: it passes as it came.
        assert without(upstream.fields, HOP) == without(client.fields, HOP)
        assert_same_response(client, upstream)
    return found


def assert_mapped(rig: Rig) -> list[Pair]:
    """Besides the hop's headers only model and credential differ; returns the exchanges."""
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
    # The relay reads usage, so it asks for an answer without content coding.
    assert upstream.field(b"accept-encoding") == b"identity"
    assert upstream.field(b"anthropic-beta") == client.field(b"anthropic-beta")


def assert_same_response(client: Seen, upstream: Seen) -> None:
    assert client.status == upstream.status
    assert client.is_whole == upstream.is_whole
    assert client.payload == upstream.payload
    assert without(client.response_fields, HOP) == without(upstream.response_fields, HOP)


def renamed(body: bytes) -> bytes:
    """A request body with the upstream's model in the place of the client's, all else untouched."""
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
