"""A response is what it carries, whatever its labels say."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from ccrelay.config.model import Health
from tests.loopback.relay.harness import Lab, Peer, Script, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns, always, then
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    MESSAGE,
    OVERLOADED,
    START,
    STREAM_BODY,
    Answer,
    chunks,
    delta,
    events_in,
    names_in,
    post,
    request,
    response,
)

HTML = [(b"Content-Type", b"text/html; charset=utf-8")]
SSE = [(b"Content-Type", b"text/event-stream")]
AS_JSON = [(b"Content-Type", b"application/json")]
OUTPUT = json.loads(MESSAGE)["usage"]["output_tokens"]
BEGUN = START + BLOCK + delta("Hello")
COUNT = post(path=b"/v1/messages/count_tokens")
PAGE = b"<!DOCTYPE html><html><body>Sign in to continue</body></html>"
GZIP = (b"Content-Encoding", b"gzip")
TAKES_GZIP = [(b"Accept-Encoding", b"gzip, deflate, br, zstd")]


def start(lab: Lab, *turns: Turns | Script, **fields: Any) -> None:
    lab.start(
        *[provider(lab.upstream(one), f"p{k}") for k, one in enumerate(turns, 1)],
        routing=routing(strategy="failover", **fields),
        health=Health(failures=100),
    )


def chunked(body: bytes, fields: list[tuple[bytes, bytes]]) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + lines + b"\r\n" + chunks(body)


# ---- no answer in a 2xx

NO_ANSWERS: dict[str, tuple[bytes, str]] = {
    "Anthropic's error": (
        response(200, b'{"type":"error","error":{"type":"api_error","message":"boom"}}'),
        "JSON that is no message",
    ),
    "OpenAI's error": (
        response(200, b'{"error":{"message":"boom","type":"server_error","code":null}}'),
        "JSON that is no message",
    ),
    "code, msg, success": (
        response(200, b'{"code":500,"msg":"boom","success":false}'),
        "JSON that is no message",
    ),
    "Google's error": (
        response(200, b'[{"error":{"code":503,"message":"boom","status":"UNAVAILABLE"}}]'),
        "JSON that is no message",
    ),
    "AWS's error": (
        response(200, b'{"__type":"InternalFailure","message":"boom"}'),
        "JSON that is no message",
    ),
    "error as text": (response(200, b'{"error":"boom"}'), "JSON that is no message"),
    "an error beside content": (
        response(200, b'{"error":{"message":"boom"},"content":[]}'),
        "JSON that is no message",
    ),
    "OpenAI's completion": (
        response(200, b'{"id":"c","object":"chat.completion","choices":[]}'),
        "JSON that is no message",
    ),
    "content that is no list": (
        response(200, b'{"success":false,"content":null,"msg":"boom"}'),
        "JSON that is no message",
    ),
    "content of another type": (
        response(200, b'{"type":"text","content":[]}'),
        "JSON that is no message",
    ),
    "a long error": (
        response(200, b'{"error":{"message":"%b"}}' % (b"x" * 300_000)),
        "JSON that is no message",
    ),
    "a long page": (response(200, PAGE + b"x" * 2_000_000, HTML), "a web page"),
    "long white space": (response(200, b" " * 300_000), "text"),
    "a page that unpacks to very much": (
        response(200, gzip.compress(PAGE + bytes(20_000_000)), [*HTML, GZIP]),
        "a web page",
    ),
    "packed, as the second of two fields says": (
        response(200, gzip.compress(PAGE), [*HTML, (b"Content-Encoding", b"identity"), GZIP]),
        "a web page",
    ),
    "an empty object": (response(200, b"{}"), "JSON that is no message"),
    "half an object": (response(200, b'{"id":"m"'), "JSON that is no message"),
    "a page": (response(200, PAGE, HTML), "a web page"),
    "a page as JSON": (response(200, b" \r\n" + PAGE, AS_JSON), "a web page"),
    "a page as a stream": (chunked(PAGE, SSE), "a web page"),
    "XML": (response(200, b'<?xml version="1.0"?><Error/>', HTML), "a web page"),
    "text": (response(200, b"upstream connect error", [(b"Content-Type", b"text/plain")]), "text"),
    "text that begins like a field": (response(200, b"datum"), "text"),
    "the start of a field": (response(200, b"dat"), "text"),
    "nothing": (response(200, b""), "nothing"),
    "nothing, as a stream": (chunked(b"", SSE), "nothing"),
    "white space": (response(200, b" \r\n\t"), "nothing"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "nothing"),
    "202 with text": (response(202, b"queued"), "text"),
    "an error as a stream": (
        chunked(b'{"error":{"message":"boom"}}', SSE),
        "JSON that is no message",
    ),
    "gzip without its label": (response(200, gzip.compress(MESSAGE)), "text"),
    "no gzip under its label": (response(200, MESSAGE, [*AS_JSON, GZIP]), "text"),
    "a packed error": (
        response(200, gzip.compress(b'{"error":{"message":"boom"}}'), [*AS_JSON, GZIP]),
        "JSON that is no message",
    ),
    "a packed page": (response(200, gzip.compress(PAGE), [*HTML, GZIP]), "a web page"),
    "packed nothing": (response(200, gzip.compress(b""), [*HTML, GZIP]), "nothing"),
    "302": (
        response(302, b"", [(b"Location", b"https://login.test/in?a=b")]),
        "302 with a redirect to https://login.test:",
    ),
    "304": (b"HTTP/1.1 304 Not Modified\r\n\r\n", "304 with nothing"),
    "a long redirect": (
        response(302, b"x" * 2_000_000, [(b"Location", b"/in")]),
        "302 with a redirect:",
    ),
    "307": (response(307, PAGE, [*HTML, (b"Location", b"/elsewhere")]), "307 with a redirect:"),
}
EMPTY_STREAMS = {
    "[DONE] only": CHUNKED_HEAD + chunks(b"data: [DONE]\n\n"),
    "pings only": CHUNKED_HEAD + chunks(b'event: ping\ndata: {"type":"ping"}\n\n'),
    "a comment": CHUNKED_HEAD + chunks(b": ok\n\n"),
    "start only": CHUNKED_HEAD + chunks(START),
    "OpenAI's chunks": CHUNKED_HEAD
    + chunks(b'data: {"id":"c","object":"chat.completion.chunk","choices":[]}\n\ndata: [DONE]\n\n'),
    "an error without a type": CHUNKED_HEAD
    + chunks(b'data: {"code":500,"msg":"boom","success":false}\n\n'),
    "an error under another name": CHUNKED_HEAD
    + chunks(b'event: message\ndata: {"error":{"message":"boom"}}\n\n'),
    "unlabelled": response(200, b"data: [DONE]\n\n"),
    "AWS's error": CHUNKED_HEAD + chunks(START + b'data: {"Message":"boom"}\n\n'),
    "an error of no known shape": CHUNKED_HEAD + chunks(b'data: {"error_code":110}\n\n'),
    "another API's events": CHUNKED_HEAD
    + chunks(b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n'),
    "an end without a message": CHUNKED_HEAD
    + chunks(b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
    "a foreign end": CHUNKED_HEAD + chunks(START + b"event: end\ndata: {}\n\n"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_answer_leads_to_the_next_candidate(
    lab: Lab, name: str, stream: bool
) -> None:
    wire, what = NO_ANSWERS[name]
    first, second = Turns(wire), Turns(STREAM if stream else JSON)
    start(lab, first, second)
    answer = await lab.ask(post(STREAM_BODY if stream else BODY))
    assert (answer.status, answer.body) == (200, EVENTS if stream else MESSAGE)
    (record,) = await lab.records()
    assert (record["attempts"], record["provider"], record["status"]) == (2, "p2", 200)
    assert "error" not in record
    (seen,) = lab.sink.named("no_answer")
    assert what in str(seen["reason"])


@pytest.mark.parametrize("name", NO_ANSWERS)
async def test_the_last_candidates_non_answer_becomes_a_502_that_names_it(
    lab: Lab, name: str
) -> None:
    wire, what = NO_ANSWERS[name]
    start(lab, Turns(wire))
    answer = await lab.ask(post())
    assert (answer.status, answer.error["type"]) == (502, "api_error")
    assert answer.error["message"].startswith("Provider p1 answered ")
    assert what in answer.error["message"]
    assert answer.get(b"location") is None
    (record,) = await lab.records()
    assert record["status"] == 502
    assert what in str(record["error"])


@pytest.mark.parametrize("name", EMPTY_STREAMS)
async def test_a_stream_without_content_leads_to_the_next_candidate(lab: Lab, name: str) -> None:
    start(lab, Turns(EMPTY_STREAMS[name]), Turns(STREAM))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.body) == (200, EVENTS)
    assert (await lab.records())[0]["attempts"] == 2


@pytest.mark.parametrize("name", EMPTY_STREAMS)
async def test_the_last_candidates_empty_stream_is_an_error(lab: Lab, name: str) -> None:
    start(lab, Turns(EMPTY_STREAMS[name]))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.error["type"]) == (502, "api_error")
    assert "an event stream without content" in answer.error["message"]


@pytest.mark.parametrize("size", [0, 2_000_000])
async def test_what_is_no_answer_opens_the_breaker(lab: Lab, size: int) -> None:
    first, second = Turns(response(200, PAGE + bytes(size), HTML)), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "p1"),
        provider(lab.upstream(second), "p2"),
        routing=routing(strategy="failover"),
        health=Health(failures=3),
    )
    for k in range(6):
        body = BODY.replace(b'"hi"', b'"hi %d"' % k)  # another conversation: none is bound
        assert (await lab.ask(post(body))).status == 200
    assert len(first.got) == 3


@pytest.mark.parametrize(
    ("body", "key_used_again"),
    [
        (b'{"error":{"type":"authentication_error","message":"invalid x-api-key"}}', False),
        (b'{"code":401,"msg":"x","error":{"code":"insufficient_quota","message":"x"}}', False),
        (b'{"error":{"type":"api_error","message":"x"}}', True),
    ],
)
async def test_an_error_in_a_200_tells_of_the_key_as_its_status_would(
    lab: Lab, body: bytes, key_used_again: bool
) -> None:
    first, second = Turns(response(200, body)), Turns(JSON)
    start(lab, first, second)
    for k in range(2):
        assert (await lab.ask(post(BODY.replace(b'"hi"', b'"hi %d"' % k)))).status == 200
    assert len(first.got) == (2 if key_used_again else 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"code":500,"msg":"boom","success":false}', 502),
        (b'{"error":{"code":"1302","message":"High concurrency"}}', 429),
        (b'{"code":1113,"msg":"Insufficient balance","success":false}', 502),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_zais_last_error_in_a_200_arrives_in_anthropics_shape(
    lab: Lab, body: bytes, status: int, streamed: bool
) -> None:
    wire = chunked(b"data: " + body + b"\n\n", SSE) if streamed else response(200, body)
    lab.start(provider(lab.upstream(Turns(wire)), "p1", type="zai"))
    answer = await lab.ask(post(STREAM_BODY if streamed else BODY))
    assert answer.status == status
    assert (answer.json()["type"], set(answer.json()["error"])) == ("error", {"type", "message"})


async def test_the_log_shows_no_key_that_a_provider_sends_back(lab: Lab) -> None:
    start(lab, Turns(response(200, b"no access for provider-key-1 of my-own")))
    await lab.ask(post(headers=[(b"Authorization", b"Bearer my-own")]))
    assert lab.sink.named("no_answer")[0]["text"] == "no access for *** of ***"


async def test_the_log_shows_the_beginning_without_secrets(lab: Lab) -> None:
    secret = "k" + "3x" * 20
    text = f"denied for {secret}\x00\x1b[31m and more\r\n" + "x" * 500
    start(lab, Turns(response(200, text.encode())))
    await lab.ask(post())
    (seen,) = lab.sink.named("no_answer")
    shown = str(seen["text"])
    assert shown.startswith("denied for *** [31m and more x")
    assert len(shown) == 120
    assert secret not in lab.sink.text()


@pytest.mark.parametrize(
    "wire",
    [
        response(200, PAGE, HTML),
        response(200, b'{"error":{"message":"x"}}'),
        response(200, b""),
        response(200, b'{"code":500,"msg":"x","success":false}'),
        response(200, b'{"__type":"InternalFailure","message":"x"}'),
    ],
)
async def test_a_count_that_is_none_leads_to_the_next_candidate(lab: Lab, wire: bytes) -> None:
    start(lab, Turns(wire), Turns(response(200, b'{"input_tokens":7}')))
    answer = await lab.ask(COUNT)
    assert (answer.status, answer.body) == (200, b'{"input_tokens":7}')


@pytest.mark.parametrize(
    "body",
    [
        b'{"input_tokens":7}',
        b'{"context_management":{"original_input_tokens":9},"input_tokens":7}',
        b'{"total_tokens":7}',
    ],
)
async def test_counts_pass_as_they_came(lab: Lab, body: bytes) -> None:
    start(lab, Turns(response(200, body)))
    assert (await lab.ask(COUNT)).body == body


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE,
        b'{"content":[],"role":"assistant","error":null}',
        b'\xef\xbb\xbf{"type":"message"}',
        b'\n {"id":"m","type" : "message","content":[]}',
    ],
)
async def test_messages_pass_as_they_came(lab: Lab, body: bytes) -> None:
    for fields in (AS_JSON, HTML, ()):
        relay = lab.start(lab.upstream(always(response(200, body, fields))))
        assert (await lab.ask(post())).body == body
        await lab.stop(relay)


async def test_what_is_not_routed_passes_whatever_it_is(lab: Lab) -> None:
    one = provider(
        lab.upstream(Turns(response(200, PAGE, HTML))),
        type="anthropic",
        keys=(),
        passthrough=["files"],
    )
    lab.start(one)
    client = await lab.client()
    answer = await client.ask(request(b"GET", b"/v1/files"), method="GET")
    assert (answer.status, answer.body) == (200, PAGE)


async def test_a_redirect_of_what_is_not_routed_is_a_502(lab: Lab) -> None:
    wire = response(307, b"", [(b"Location", b"https://evil.test/x")])
    lab.start(provider(lab.upstream(Turns(wire)), type="anthropic", keys=(), passthrough=["files"]))
    client = await lab.client()
    answer = await client.ask(request(b"GET", b"/v1/files"), method="GET")
    assert (answer.status, answer.get(b"location")) == (502, None)
    assert "https://evil.test" in answer.error["message"]


# ---- codings


def deflate(data: bytes) -> bytes:
    return zlib.compress(data)


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


def members(data: bytes) -> bytes:
    return gzip.compress(data[:50]) + gzip.compress(data[50:])


CODINGS = {
    "gzip": (b"gzip", gzip.compress),
    "x-gzip": (b"X-GZip", gzip.compress),
    "gzip in members": (b"gzip", members),
    "deflate": (b"deflate", deflate),
    "deflate without a frame": (b"deflate", raw_deflate),
    "identity": (b"identity", bytes),
}


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_coding_is_undone_for_who_does_not_accept_it_and_read_in_any_case(
    lab: Lab, name: str, accepted: bool, split: bool, stream: bool
) -> None:
    coding, pack = CODINGS[name]
    plain = EVENTS if stream else MESSAGE
    packed = pack(plain)
    fields = [*(SSE if stream else AS_JSON), (b"Content-Encoding", coding)]
    wire = chunked(packed, fields) if stream else response(200, packed, fields)
    size = 7 if split else len(wire)
    lab.start(lab.upstream(always(*[wire[k : k + size] for k in range(0, len(wire), size)])))
    client = await lab.client()
    body = STREAM_BODY if stream else BODY
    accept = [(b"Accept-Encoding", coding if name != "x-gzip" else b"gzip")]
    for _ in range(2):
        answer = await client.ask(post(body, headers=accept if accepted else ()))
        assert (answer.status, answer.cut) == (200, False)
        untouched = accepted or name == "identity"
        assert answer.body == (packed if untouched else plain)
        assert answer.get(b"content-encoding") == (coding if untouched else None)
    records = await lab.records(2)
    assert [record["output"] for record in records] == [55 if stream else OUTPUT] * 2


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_packed_error_is_read_and_sent_plain(lab: Lab, accepted: bool) -> None:
    body = b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
    packed = response(401, gzip.compress(body), [*AS_JSON, GZIP])
    first = Turns(packed)
    start(lab, first, Turns(JSON))
    for _ in range(2):
        assert (await lab.ask(post(headers=TAKES_GZIP if accepted else ()))).status == 200
    assert len(first.got) == 1  # it was about the key


async def test_a_packed_error_of_the_request_arrives_plain(lab: Lab) -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is long"}}'
    start(lab, Turns(response(400, gzip.compress(body), [*AS_JSON, GZIP])))
    answer = await lab.ask(post())
    assert (answer.status, answer.body) == (400, body)
    assert answer.get(b"content-encoding") is None
    assert answer.get(b"content-length") == b"%d" % len(body)


async def test_a_packed_error_event_is_no_content(lab: Lab) -> None:
    first = Turns(chunked(gzip.compress(START + OVERLOADED), [*SSE, GZIP]))
    start(lab, first, Turns(STREAM))
    assert (await lab.ask(post(STREAM_BODY, headers=TAKES_GZIP))).body == EVENTS


async def test_an_unknown_coding_passes_and_is_said_once(lab: Lab) -> None:
    wire = response(200, b"\x00\x01", [*AS_JSON, (b"Content-Encoding", b"exotic")])
    start(lab, Turns(wire))
    client = await lab.client()
    for _ in range(3):
        answer = await client.ask(post())
        assert (answer.body, answer.get(b"content-encoding")) == (b"\x00\x01", b"exotic")
    (said,) = lab.sink.named("coding_unknown")
    assert (said["provider"], said["coding"]) == ("p1", "exotic")


async def test_a_coding_that_breaks_behind_content_is_a_cut(lab: Lab) -> None:
    plain = BEGUN + b"".join(delta(hex(k**9)) for k in range(2000))
    packed = gzip.compress(plain)
    middle = len(packed) // 2
    wire = chunked(packed[:middle] + bytes(200) + packed[middle:], [*SSE, GZIP])
    lab.start(lab.upstream(always(wire[:3000], wire[3000:], pause_s=0.05)))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut) == (200, True)
    assert plain.startswith(answer.body[:3000])


# ---- streams by their first bytes


@pytest.mark.parametrize("fields", [(), AS_JSON, HTML, [(b"Content-Type", b"text/plain")]])
@pytest.mark.parametrize("size", [1, 3, 5000])
async def test_an_event_stream_is_known_without_its_label(
    lab: Lab, fields: list[tuple[bytes, bytes]], size: int
) -> None:
    wire = chunked(EVENTS, fields)
    lab.start(lab.upstream(always(*[wire[k : k + size] for k in range(0, len(wire), size)])))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)
    (record,) = await lab.records()
    assert (record["ending"], record["output"], record["stop"]) == ("complete", 55, "end_turn")
    assert record["first_event_ms"]


async def test_an_error_event_without_the_label_leads_to_the_next_candidate(lab: Lab) -> None:
    start(lab, Turns(chunked(OVERLOADED, AS_JSON)), Turns(STREAM))
    assert (await lab.ask(post(STREAM_BODY))).body == EVENTS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [0, 2_000_000])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
async def test_a_message_labelled_as_a_stream_is_delivered(
    lab: Lab, stream: bool, size: int, mark: bytes
) -> None:
    message = {**json.loads(MESSAGE), "content": [{"type": "text", "text": "x" * (size or 5)}]}
    body = json.dumps(message).encode()
    start(lab, Turns(response(200, mark + body, SSE)))
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post(STREAM_BODY if stream else BODY))
        assert (answer.status, answer.cut) == (200, False)
        assert stream or answer.body == body
        assert not stream or names_in(answer.body)[:1] == ["message_start"]
        assert not stream or names_in(answer.body)[-1:] == ["message_stop"]
    for record in await lab.records(2):
        assert (record["output"], record["ending"]) == (OUTPUT, "complete")
        assert "error" not in record


# ---- behind an early head

EARLY = {"early_head_s": 0.1, "ping_s": 0.1}


async def behind_an_early_head(
    lab: Lab, *wires: bytes, stream: bytes = STREAM_BODY
) -> tuple[Answer, list[tuple[str, str]]]:
    stage = Stage()
    start(lab, stage, *[Turns(wire) for wire in wires[1:]], **EARLY)
    client = await lab.client()
    await client.send(post(stream))
    peer = await stage.peer()
    await client.until(b"event: ping")
    await peer.send(wires[0])
    answer = await client.answer()
    return answer, [one for one in events_in(answer.body) if one[0] != "ping"]


@pytest.mark.parametrize(
    "wire",
    [
        STREAM,
        chunked(EVENTS, AS_JSON),
        chunked(EVENTS, ()),
        chunked(gzip.compress(EVENTS), [*SSE, GZIP]),
        CLOSE_HEAD + EVENTS,
        chunked(b"\xef\xbb\xbf" + EVENTS, SSE),
        chunked(gzip.compress(b"\xef\xbb\xbf" + EVENTS), [*SSE, GZIP]),
    ],
    ids=["labelled", "as JSON", "no label", "packed", "to the end", "marked", "packed and marked"],
)
async def test_a_good_stream_behind_an_early_head_is_delivered(lab: Lab, wire: bytes) -> None:
    if wire.startswith(CLOSE_HEAD):
        wire = wire.replace(b"\r\n\r\n", b"\r\nContent-Length: %d\r\n\r\n" % len(EVENTS), 1)
    answer, events = await behind_an_early_head(lab, wire)
    assert (answer.cut, events) == (False, events_in(EVENTS))
    assert (await lab.records())[0]["status"] == 200


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_whole_message_behind_an_early_head_becomes_its_events(
    lab: Lab, packed: bool, mark: bytes
) -> None:
    fields = [*AS_JSON, GZIP] if packed else AS_JSON
    whole = mark + MESSAGE
    wire = response(200, gzip.compress(whole) if packed else whole, fields)
    answer, events = await behind_an_early_head(lab, wire)
    assert not answer.cut
    assert (events[0][0], events[-1][0]) == ("message_start", "message_stop")
    message = json.loads(MESSAGE)
    texts = [
        data["delta"]["text"]
        for name, text in events
        if name == "content_block_delta" and (data := json.loads(text))["delta"].get("text")
    ]
    assert texts == [block["text"] for block in message["content"] if block["type"] == "text"]
    (record,) = await lab.records()
    assert (record["status"], record["ending"]) == (200, "complete")
    assert record["output"] == message["usage"]["output_tokens"]


async def test_a_mark_that_was_held_behind_a_flushed_head_is_not_inside_the_stream(
    lab: Lab,
) -> None:
    stage = Stage()
    start(lab, stage, **EARLY)
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(b"\xef\xbb\xbf" + START, last=False))
    await client.until(b"event: ping")
    await peer.send(chunks(EVENTS[len(START) :]))
    answer = await client.answer()
    assert [one for one in events_in(answer.body) if one[0] != "ping"] == events_in(EVENTS)


@pytest.mark.parametrize("name", ["a page", "nothing", "Anthropic's error", "204", "302"])
async def test_no_answer_behind_an_early_head_leads_to_the_next_candidate(
    lab: Lab, name: str
) -> None:
    answer, events = await behind_an_early_head(lab, NO_ANSWERS[name][0], STREAM)
    assert (answer.cut, events) == (False, events_in(EVENTS))


async def test_the_last_non_answer_behind_an_early_head_is_an_error_event(lab: Lab) -> None:
    answer, events = await behind_an_early_head(lab, response(200, PAGE, HTML))
    assert not answer.cut
    assert [name for name, _ in events] == ["error"]
    assert "a web page" in events[0][1]


# ---- endings


@pytest.mark.parametrize("close", [False, True])
async def test_a_stream_that_ends_before_message_stop_is_a_failure_as_it_came(
    lab: Lab, close: bool
) -> None:
    first = Turns(then(CLOSE_HEAD + BEGUN) if close else CHUNKED_HEAD + chunks(BEGUN))
    lab.start(
        provider(lab.upstream(first), "p1"),
        provider(lab.upstream(Turns(JSON)), "p2"),
        routing=routing(strategy="failover"),
        health=Health(failures=1, open_s=30, probe="off"),
    )
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.body, answer.cut) == (200, BEGUN, False)
    assert (await lab.records())[0]["error"] == "unfinished"
    assert (await lab.ask(post())).body == MESSAGE  # the breaker counted it


@pytest.mark.parametrize("minor", [0, 1])
async def test_a_body_that_ends_inside_an_event_is_a_cut(lab: Lab, minor: int) -> None:
    head = CLOSE_HEAD.replace(b"HTTP/1.1", b"HTTP/1.%d" % minor)
    lab.start(lab.upstream(Turns(then(head + BEGUN + delta("x")[:20]))))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (BEGUN + delta("x")[:20], True)
    assert (await lab.records())[0]["ending"] == "upstream_cut"


async def test_half_a_message_to_the_end_of_the_connection_is_a_cut(lab: Lab) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    lab.start(lab.upstream(Turns(then(head + MESSAGE[:-9]))))
    assert (await lab.ask(post())).cut


async def test_half_a_packed_message_is_a_cut(lab: Lab) -> None:
    packed = gzip.compress(MESSAGE)[:-40]
    start(lab, Turns(response(200, packed, [*AS_JSON, GZIP])))
    answer = await lab.ask(post())
    assert (answer.cut, MESSAGE.startswith(answer.body)) == (True, True)


async def test_half_a_message_in_a_right_length_is_a_failure_as_it_came(lab: Lab) -> None:
    start(lab, Turns(response(200, MESSAGE[:-9])))
    answer = await lab.ask(post())
    assert (answer.status, answer.body, answer.cut) == (200, MESSAGE[:-9], False)
    assert (await lab.records())[0]["error"] == "unfinished"


@pytest.mark.parametrize("ends", ["stay", "close", "reset"])
async def test_behind_message_stop_the_response_is_ended(lab: Lab, ends: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunks(EVENTS, last=False))
        await asyncio.sleep(0.05)
        if ends == "reset":
            peer.reset()
        elif ends == "stay":
            await peer.gone(8)

    lab.start(lab.upstream(script), routing=routing(ping_s=0.3))
    client = await lab.client()
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await client.ask(post(STREAM_BODY))
    took = loop.time() - began
    assert (answer.body, answer.cut) == (EVENTS, False)
    assert took < 1 if ends != "stay" else 1.5 < took < 4
    (record,) = await lab.records()
    assert (record["ending"], "error" in record) == ("complete", False)


@pytest.mark.parametrize(
    "wire",
    [
        CHUNKED_HEAD + chunks(START, last=False),
        CHUNKED_HEAD + chunks(START + BLOCK[:20], last=False),
        CHUNKED_HEAD,
        CHUNKED_HEAD + b"5\r\neve",
        response(200, MESSAGE[:20], length=len(MESSAGE)),
        response(200, b"", length=len(MESSAGE)),
        b"HTTP/1.1 200 OK\r\n\r\n" + MESSAGE[:20],
    ],
    ids=["start", "half a block", "head", "half a chunk", "message", "no body", "to the end"],
)
@pytest.mark.parametrize("again", range(3))
async def test_whatever_comes_with_a_fin_before_content_leads_to_the_next_candidate(
    lab: Lab, wire: bytes, again: int
) -> None:
    stream = wire.startswith(CHUNKED_HEAD)

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.sock.send(wire)  # the close follows at once

    start(lab, script, Turns(STREAM if stream else JSON))
    answer = await lab.ask(post(STREAM_BODY if stream else BODY))
    assert (answer.status, answer.cut) == (200, False)
    assert answer.body == (EVENTS if stream else MESSAGE)


async def test_names_of_events_are_as_sent(lab: Lab) -> None:
    start(lab, Turns(STREAM))
    assert names_in((await lab.ask(post(STREAM_BODY))).body)[-1] == "message_stop"
