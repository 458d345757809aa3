import zlib

import pytest

from ccrelay.demo import unusual_responses as faults
from ccrelay.demo.plan import Close, ReadBody, respond


def without_ids(sent):
    return sent.partition(b"\r\n\r\n")[2]


def test_ok_is_the_normal_response(payload, context, run):
    assert run(faults.ok(context(payload()))).sent == run(respond(context(payload()))).sent


def test_slow_head_waits_before_the_response(payload, context, run):
    result = run(faults.slow_head(context(payload()), seconds=3.0))
    assert result.waited_s == 3
    assert result.events()[-1]["type"] == "message_stop"


def test_slow_reader_reads_at_the_given_rate(payload, context, run):
    made = context()
    body = context(payload()).body
    result = run(faults.slow_reader(made, bytes_per_s=10.0), made, body)
    assert result.reads == [ReadBody(10.0)]
    assert result.events()[-1]["type"] == "message_stop"


def test_informational_responses_precede_the_response(payload, context, run):
    result = run(faults.informational(context(payload())))
    assert [line for line in result.sent.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 200 OK",
    ]


def test_big_head_has_one_big_header(payload, context, run):
    result = run(faults.big_head(context(payload()), size=100_000))
    head, _ = result.response()
    assert dict(head.headers)[b"x-demo-padding"] == b"x" * 100_000


@pytest.mark.parametrize("stream", [True, False])
def test_huge_event_has_the_given_size(payload, context, run, stream):
    result = run(faults.huge_event(context(payload(stream=stream)), size=500_000))
    if stream:
        text = [e["delta"]["text"] for e in result.events() if e["type"] == "content_block_delta"]
    else:
        text = [block["text"] for block in result.document()["content"]]
    assert text == ["x" * 500_000]


def test_huge_event_only_for_messages(context, run):
    result = run(faults.huge_event(context(method="GET", target="/v1/models"), size=9))
    assert result.document()["data"]


@pytest.mark.parametrize("stream", [True, False])
def test_split_sends_each_byte_in_its_own_chunk(payload, context, run, stream):
    result = run(faults.split(context(payload("demo:text=hi", stream=stream))))
    whole = run(respond(context(payload("demo:text=hi", stream=stream)))).response()[1]
    assert result.response()[1] == whole
    assert result.body_bytes.count(b"1\r\n") >= len(whole)
    assert len(result.body_bytes) == 6 * len(whole) + 5


def test_crlf(payload, context, run):
    result = run(faults.crlf(context(payload())))
    _, body = result.response()
    assert body.count(b"\n") == body.count(b"\r\n")
    assert result.events()[-1]["type"] == "message_stop"


def test_comments_precede_every_event(payload, context, run):
    _, body = run(faults.comments(context(payload()))).response()
    assert body.count(b": still here\n\nevent: ") == body.count(b"event: ")


def test_nameless_events(payload, context, run):
    _, body = run(faults.nameless(context(payload()))).response()
    assert b"event: " not in body
    assert body.startswith(b'data: {"type":"message_start"')


def test_pings_only_then_the_response(payload, context, run):
    result = run(faults.pings_only(context(payload()), seconds=6.0, every=2.0))
    assert result.waited_s == 6
    names = [event["type"] for event in result.events()]
    assert names[:4] == ["ping", "ping", "ping", "message_start"]
    assert names[-1] == "message_stop"


@pytest.mark.parametrize("stream", [True, False])
def test_gzip_decodes_to_the_same_body(payload, context, run, stream):
    head, body = run(faults.gzip(context(payload(stream=stream)))).response()
    assert dict(head.headers)[b"content-encoding"] == b"gzip"
    whole = run(respond(context(payload(stream=stream)))).response()[1]
    assert zlib.decompress(body, wbits=31) == whole


def test_sized_has_a_content_length(payload, context, run):
    head, body = run(faults.sized(context(payload()))).response()
    assert dict(head.headers)[b"content-length"] == str(len(body)).encode()
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("stream", [True, False])
def test_close_delimited(payload, context, run, stream):
    result = run(faults.close_delimited(context(payload(stream=stream))))
    assert result.sent.startswith(b"HTTP/1.0 200 OK\r\n")
    assert result.close is Close.FIN
    whole = run(respond(context(payload(stream=stream)))).response()[1]
    assert result.response()[1] == whole == without_ids(result.sent)
