"""What passes through arrives byte for byte, in whatever pieces it came."""

import gzip

import pytest

from tests.loopback.relay.harness import KEY, Lab, Peer, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, always
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    MESSAGE,
    OVERLOADED,
    PING,
    SSE_HEAD,
    STREAM_BODY,
    Request,
    chunks,
    delta,
    post,
    response,
)

CLIENT_FIELDS = [
    (b"Accept", b"application/json"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"claude-cli/2.1.330 (external, cli)"),
    (b"X-Claude-Code-Session-Id", b"5f0c1d4e-0000-4000-8000-000000000001"),
    (b"X-Stainless-Timeout", b"600"),
    (b"anthropic-beta", b"claude-code-20250219,effort-2025-11-24"),
    (b"anthropic-dangerous-direct-browser-access", b"true"),
    (b"anthropic-version", b"2023-06-01"),
    (b"x-app", b"cli"),
    (b"X-Never-Seen-Before", b'caf\xc3\xa9; q="1,2"  inner  blanks'),
    (b"x-never-seen-before", b"twice"),
    (b"X-NEVER-SEEN-BEFORE", b"thrice"),
    (b"anthropic-beta", b"second-line-2026-01-01"),
    (b"Empty", b""),
]


async def test_client_headers_reach_the_provider_in_order_case_and_number(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    assert (await lab.ask(post(headers=CLIENT_FIELDS))).status == 200
    own = {b"host", b"x-api-key", b"accept-encoding", b"content-length"}
    passed = [(n, v) for n, v in got[0].headers if n.lower() not in own]
    assert passed == CLIENT_FIELDS
    assert got[0].all(b"accept-encoding") == [b"identity"]
    assert got[0].all(b"x-api-key") == [KEY.encode()]
    assert got[0].all(b"content-length") == [b"%d" % len(BODY)]
    assert len(got[0].all(b"host")) == 1


async def test_hop_by_hop_fields_stay_on_their_hop(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    fields = [
        (b"Connection", b"keep-alive, X-Only-Here"),
        (b"X-Only-Here", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"Basic dGVzdDp0ZXN0"),
        (b"Accept-Encoding", b"gzip, br, zstd"),
        (b"X-Kept", b"2"),
    ]
    assert (await lab.ask(post(headers=fields))).status == 200
    names = {name.lower() for name, _ in got[0].headers}
    assert b"x-kept" in names
    assert not names & {b"connection", b"x-only-here", b"keep-alive", b"te", b"proxy-authorization"}
    assert got[0].all(b"accept-encoding") == [b"identity"]


async def test_of_the_query_goes_what_is_known_and_the_base_url_path_stands_before_it(
    lab: Lab,
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream.url + "/api/anthropic/"))
    await lab.ask(post(path=b"/v1/messages?x=%2F&beta=true"))
    assert got[0].line == b"POST /api/anthropic/v1/messages?beta=true HTTP/1.1"


@pytest.mark.parametrize("body", [BODY, b' {"model" : "m" }\n', b'{"a":1e400,"model":"m","b":1.0}'])
async def test_a_body_that_needs_no_change_leaves_as_it_came(lab: Lab, body: bytes) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    assert (await lab.ask(post(body))).status == 200
    assert got[0].body == body


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (
            b'{"model":"claude-a","n":12345678901234567890}',
            b'{"model":"glm-x","n":12345678901234567890}',
        ),
        (
            b'{"n":1.0,"messages":[{"model":"no"}],"model":"claude-a"}',
            b'{"n":1.0,"messages":[{"model":"no"}],"model":"glm-x"}',
        ),
        (
            b'{"a":[1, 2], "model" : "claude-a" , "z":"\\u00e9"}',
            b'{"a":[1, 2], "model" : "glm-x" , "z":"\\u00e9"}',
        ),
        (b'{"mod\\u0065l":"claude-a","x":{}}', b'{"mod\\u0065l":"glm-x","x":{}}'),
        (b'{"model":"claud\\u0065-a"}', b'{"model":"glm-x"}'),
    ],
    ids=["first", "last", "middle", "escaped key", "escaped value"],
)
async def test_a_mapped_model_is_the_only_thing_that_changes(
    lab: Lab, body: bytes, sent: bytes
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, model_mapping={"claude-*": "glm-x"}, models=[]))
    client = await lab.client()
    wire = post(body)
    for cut in range(len(wire) - len(body) - 2, len(wire)):
        assert (await client.ask(wire[:cut], wire[cut:])).status == 200
    assert {request.body for request in got} == {sent}
    assert {request.get(b"content-length") for request in got} == {b"%d" % len(sent)}
    assert len({request.raw_head for request in got}) == 1


async def test_the_one_million_window_mark_never_goes_upstream(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), models=["claude-*"]))
    assert (await lab.ask(post(b'{"model":"claude-opus-5-5[1m]","x":"[1m]"}'))).status == 200
    assert got[0].body == b'{"model":"claude-opus-5-5","x":"[1m]"}'


ANSWER_FIELDS = [
    (b"Date", b"Sun, 22 Nov 2026 10:00:00 GMT"),
    (b"content-type", b"application/json"),
    (b"request-id", b"req_011"),
    (b"Retry-After", b"7"),
    (b"x-should-retry", b"true"),
    (b"anthropic-ratelimit-unified-status", b"allowed_warning"),
    (b"anthropic-ratelimit-unified-overage-group", b"pro"),
    (b"x-ratelimit-some-new-one", b"1"),
    (b"anthropic-ratelimit-requests-remaining", b"0"),
    (b"x-two", b"a=1"),
    (b"X-Two", b"b=2"),
    (b"X-UnKnown", b"  kept inside "),
    (b"Server", b"cloudflare"),
]


@pytest.mark.parametrize("status", [200, 400, 403, 404, 413, 422, 429, 500, 503, 529])
async def test_answers_and_errors_of_the_provider_pass_unmodified(lab: Lab, status: int) -> None:
    body = b'{"type":"error","error":{"type":"x","message":"prompt is too long: 9 tokens > 8"}, }'
    if status == 200:
        body = MESSAGE.replace(b'"type":', b' "type" : ')
    wire = response(status, body, ANSWER_FIELDS, reason=b"Its Own Words")
    lab.start(lab.upstream(always(wire)), routing=routing(queue_timeout_s=0))
    client = await lab.client()
    raw = b""
    await client.send(post())
    raw = await client.until(body)
    assert raw.startswith(b"HTTP/1.1 %d Its Own Words\r\n" % status)
    answer = await client.answer()
    assert (answer.status, answer.body) == (status, body)
    framing = {b"content-length"}
    passed = [(n, v) for n, v in answer.headers if n.lower() not in framing]
    assert passed == [(n, v.strip()) for n, v in ANSWER_FIELDS]
    assert (await client.ask(post())).status == status  # the connection serves on


ODD_EVENTS = (
    b": a comment first\r\n\r\n"
    + PING.replace(b"\n", b"\r\n")
    + EVENTS.replace(b"\n", b"\r\n")
    + b"id: 7\nretry: 10\nevent: unknown_event\ndata:no blank\ndata: two lines\n\n: end\n\n"
)


@pytest.mark.parametrize("events", [EVENTS, ODD_EVENTS], ids=["plain", "odd"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10_000])
async def test_streams_are_identical_wherever_the_chunk_borders_are(
    lab: Lab, events: bytes, size: int
) -> None:
    parts = [events[i : i + size] for i in range(0, len(events), size)]
    wire = CHUNKED_HEAD + chunks(*parts)
    lab.start(lab.upstream(always(wire)))
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.status, answer.cut, answer.body) == (200, False, events)
        assert answer.get(b"request-id") == b"req_upstream_1"


@pytest.mark.parametrize("kind", ["chunked", "chunk extensions", "length", "close"])
async def test_streams_written_one_byte_at_a_time_are_identical(lab: Lab, kind: str) -> None:
    events = b": hi\n\n" + PING + EVENTS
    wire = {
        "chunked": CHUNKED_HEAD + chunks(events[:50], events[50:333], events[333:]),
        "chunk extensions": CHUNKED_HEAD
        + b"%X;a=b\r\n%b\r\n000;last\r\nX-Trailer: 1\r\n\r\n" % (len(events), events),
        "length": SSE_HEAD + b"Content-Length: %d\r\n\r\n" % len(events) + events,
        "close": CLOSE_HEAD + events,
    }[kind]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*[wire[i : i + 1] for i in range(len(wire))])

    lab.start(lab.upstream(script))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut, answer.body) == (200, False, events)


async def test_a_tunnelled_stream_keeps_even_its_chunks(lab: Lab) -> None:
    wire = CHUNKED_HEAD + chunks(EVENTS[:10], EVENTS[10:500], EVENTS[500:])
    lab.start(lab.upstream(always(wire)))
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    raw = await client.until(b"\r\n0\r\n\r\n")
    assert raw.partition(b"\r\n\r\n")[2] == wire.partition(b"\r\n\r\n")[2]


async def test_requests_written_one_byte_at_a_time_are_answered(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(STREAM, into=got)))
    wire = post(STREAM_BODY, headers=CLIENT_FIELDS)
    answer = await lab.ask(*[wire[i : i + 1] for i in range(len(wire))])
    assert answer.body == EVENTS
    assert got[0].body == STREAM_BODY


async def test_compressed_answers_pass_untouched(lab: Lab) -> None:
    for body, kind in (
        (gzip.compress(EVENTS), b"text/event-stream"),
        (gzip.compress(MESSAGE), b"application/json"),
    ):
        fields = [(b"Content-Type", kind), (b"Content-Encoding", b"gzip")]
        upstream = lab.upstream(always(response(200, body, fields)))
        relay = lab.start(upstream)
        accepting = [(b"Accept-Encoding", b"br;q=0, gzip, deflate")]
        answer = await lab.ask(post(STREAM_BODY, headers=accepting))
        assert answer.body == body
        assert answer.get(b"content-encoding") == b"gzip"
        await lab.stop(relay)


async def test_an_error_event_behind_content_passes_where_it_stands(lab: Lab) -> None:
    events = EVENTS[:-100] + b"\n\n" + OVERLOADED + delta("after")
    lab.start(lab.upstream(always(CHUNKED_HEAD + chunks(events))))
    assert (await lab.ask(post(STREAM_BODY))).body == events
