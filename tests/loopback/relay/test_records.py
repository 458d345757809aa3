"""One line is left of each exchange, and it says what happened."""

import json

from ccrelay.config.fingerprint import fingerprint
from tests.loopback.relay.harness import KEY, Lab, provider
from tests.loopback.relay.scripts import JSON, STREAM, always, once
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    MESSAGE,
    SSE_HEAD,
    START,
    STOP,
    STREAM_BODY,
    chunks,
    delta,
    padded,
    post,
    request,
    response,
)

STREAM_USAGE = {
    "input": 11,
    "output": 55,
    "cache_read": 22,
    "cache_write_5m": 30,
    "cache_write_1h": 40,
    "thinking": 5,
}
JSON_USAGE = {
    "input": 3,
    "output": 9,
    "cache_read": 4,
    "cache_write_5m": 5,
    "cache_write_1h": 7,
    "thinking": 2,
}
NO_USAGE = dict.fromkeys(STREAM_USAGE, 0)


def usage(record: dict[str, object]) -> dict[str, object]:
    return {name: record[name] for name in STREAM_USAGE}


async def test_a_stream_is_recorded_with_all_its_tokens(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(STREAM)), model_mapping={"claude-*": "glm-x"}))
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    raw = await client.until(b"\r\n0\r\n\r\n")
    record = (await lab.records())[0]
    assert usage(record) == STREAM_USAGE
    expected = {
        "kind": "messages",
        "model": "claude-test-1",
        "sent": "glm-x",
        "provider": "first",
        "key": fingerprint(KEY),
        "status": 200,
        "ending": "complete",
        "attempts": 1,
        "bytes_in": len(STREAM_BODY),
        "bytes_out": len(raw),
        "stop": "end_turn",
    }
    assert {name: record[name] for name in expected} == expected
    assert "error" not in record
    assert 0 < record["head_ms"] <= record["first_event_ms"] <= record["ms"]  # type: ignore[operator]


async def test_tokens_are_found_in_every_framing_and_split(lab: Lab) -> None:
    length = SSE_HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENTS) + EVENTS
    small = CHUNKED_HEAD + chunks(*[EVENTS[i : i + 5] for i in range(0, len(EVENTS), 5)])
    crlf = CHUNKED_HEAD + chunks(EVENTS.replace(b"\n", b"\r\n"))
    nameless = CHUNKED_HEAD + chunks(
        b"".join(line + b"\n\n" for line in EVENTS.split(b"\n") if line.startswith(b"data:"))
    )
    for wire in (CLOSE_HEAD + EVENTS, length, small, crlf, nameless):
        relay = lab.start(lab.upstream(once(wire)))
        await lab.ask(post(STREAM_BODY))
        assert usage(lab.sink.records[-1]) == STREAM_USAGE
        await lab.stop(relay)


async def test_an_answer_in_one_piece_is_recorded_with_all_its_tokens(lab: Lab) -> None:
    chunky = [(b"Content-Type", b"application/json; charset=utf-8")]
    head = response(200, b"", chunky).split(b"Content-Length")[0]
    wire = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(MESSAGE[:100], MESSAGE[100:])
    for reply in (JSON, wire):
        relay = lab.start(lab.upstream(always(reply)))
        await lab.ask(post())
        record = lab.sink.records[-1]
        assert usage(record) == JSON_USAGE
        assert (record["status"], record["ending"]) == (200, "complete")
        await lab.stop(relay)


async def test_a_cut_stream_is_recorded_with_the_tokens_seen_so_far(lab: Lab) -> None:
    wire = CHUNKED_HEAD + chunks(START, BLOCK, delta("Hello"), last=False)
    lab.start(lab.upstream(once(wire, ends="reset", after_s=0.05)))
    assert (await lab.ask(post(STREAM_BODY))).cut
    record = (await lab.records())[0]
    assert usage(record) == {**STREAM_USAGE, "output": 1, "thinking": 0}


async def test_odd_bookkeeping_of_a_provider_ends_nothing(lab: Lab) -> None:
    for broken in (
        EVENTS.replace(b'"input_tokens": 11', b'"input_tokens": "many"'),
        EVENTS.replace(b'"input_tokens": 11', b'"input_tokens": -1'),
        EVENTS.replace(b'"usage"', b'"usage'),
        START.replace(b"{", b"[") + BLOCK + STOP,
    ):
        relay = lab.start(lab.upstream(always(CHUNKED_HEAD + chunks(broken))))
        answer = await lab.ask(post(STREAM_BODY))
        assert (answer.status, answer.body) == (200, broken)
        assert lab.sink.records[-1]["ending"] == "complete"
        await lab.stop(relay)


async def test_each_exchange_has_one_record_whatever_it_was(lab: Lab) -> None:
    relay = lab.start(
        provider(lab.upstream(always(STREAM)), "one", models=["claude-*"]),
        provider(lab.upstream(once(b"junk\r\n\r\n")), "two", models=["bad"]),
        provider(
            lab.upstream(always(JSON)),
            "three",
            type="anthropic",
            models=["own"],
            passthrough=["files"],
        ),
    )
    client = await lab.client()
    asked = [
        (post(STREAM_BODY), "messages", 200),
        (post(b'{"model":"bad"}'), "messages", 502),
        (post(path=b"/v1/messages/count_tokens"), "count_tokens", 200),
        (request(b"GET", b"/v1/files"), "other_v1", 200),
        (post(b'{"model":"unknown"}'), "messages", 404),
    ]
    for wire, _, status in asked:
        assert (await client.ask(wire)).status == status
    lines = [(record["kind"], record["status"]) for record in await lab.records(len(asked))]
    assert lines == [(kind, status) for _, kind, status in asked]
    assert relay.stats()["served"] == len(asked)
    assert len({record["id"] for record in lab.sink.records}) == len(asked)


async def test_what_never_was_an_exchange_leaves_no_record(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    await lab.ask(request(b"GET", b"/health"))
    await lab.ask(request(b"GET", b"/v1/models"))
    await lab.ask(request(b"GET", b"/nowhere"))
    await lab.ask(b"BAD\r\n\r\n")
    assert lab.sink.records == []


async def test_bytes_are_counted_for_answers_without_a_body_and_of_our_own(lab: Lab) -> None:
    empty = b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
    lab.start(provider(lab.upstream(always(empty)), models=["claude-*"]))
    client = await lab.client()
    await client.send(post())
    raw = await client.until(b"\r\n\r\n")
    assert (await lab.records())[0]["bytes_out"] == len(raw)
    client.pending = b""
    await client.send(post(b'{"model":"unknown"}'))
    raw = await client.until(b"}}") if b"}}" in client.pending else await client.until(b'"}')
    assert (await lab.records(2))[1]["bytes_out"] == len(raw)


async def test_a_large_upload_is_counted_to_its_last_byte(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    await lab.ask(post(padded(2_000_000)))
    assert (await lab.records())[0]["bytes_in"] == 2_000_000


async def test_records_can_be_written_as_json(lab: Lab) -> None:
    lab.start(lab.upstream(always(STREAM)))
    await lab.ask(post(STREAM_BODY))
    assert json.loads(json.dumps(lab.sink.records)) == lab.sink.records


async def test_an_id_in_an_error_is_the_id_of_its_record(lab: Lab) -> None:
    lab.start(lab.upstream(once(b"")))
    answer = await lab.ask(post())
    record = (await lab.records())[0]
    assert answer.json()["request_id"] == record["id"]
    assert answer.get(b"request-id") == str(record["id"]).encode()


async def test_an_error_of_the_provider_is_recorded_with_its_status_and_no_tokens(
    lab: Lab,
) -> None:
    lab.start(lab.upstream(always(response(529, b'{"type":"error"}'))))
    await lab.ask(post(STREAM_BODY))
    record = (await lab.records())[0]
    assert (record["status"], record["ending"]) == (529, "complete")
    assert usage(record) == NO_USAGE
