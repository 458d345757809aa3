import zlib

import pytest

from ccrelay.demo import oddities
from ccrelay.demo.plan import Cut, ReadBody, answer


def without_ids(sent):
    return sent.partition(b"\r\n\r\n")[2]


def test_ok_is_the_faultless_answer(ask, scene, perform):
    assert perform(oddities.ok(scene(ask()))).sent == perform(answer(scene(ask()))).sent


def test_a_slow_head_waits_and_then_answers(ask, scene, perform):
    shown = perform(oddities.slow_head(scene(ask()), seconds=3.0))
    assert shown.waited_s == 3
    assert shown.events()[-1]["type"] == "message_stop"


def test_a_slow_reader_names_its_pace_and_then_answers(ask, scene, perform):
    made = scene()
    body = scene(ask()).body
    shown = perform(oddities.slow_reader(made, bytes_per_s=10.0), made, body)
    assert shown.reads == [ReadBody(10.0)]
    assert shown.events()[-1]["type"] == "message_stop"


def test_informational_responses_come_before_the_answer(ask, scene, perform):
    shown = perform(oddities.informational(scene(ask())))
    assert [line for line in shown.sent.split(b"\r\n") if line.startswith(b"HTTP/")] == [
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 200 OK",
    ]


def test_a_big_head_has_one_big_header(ask, scene, perform):
    shown = perform(oddities.big_head(scene(ask()), size=100_000))
    head, _ = shown.response()
    assert dict(head.headers)[b"x-demo-padding"] == b"x" * 100_000


@pytest.mark.parametrize("stream", [True, False])
def test_a_huge_event_has_the_size_asked_for(ask, scene, perform, stream):
    shown = perform(oddities.huge_event(scene(ask(stream=stream)), size=500_000))
    if stream:
        text = [e["delta"]["text"] for e in shown.events() if e["type"] == "content_block_delta"]
    else:
        text = [block["text"] for block in shown.document()["content"]]
    assert text == ["x" * 500_000]


def test_a_huge_event_needs_a_prompt(scene, perform):
    shown = perform(oddities.huge_event(scene(method="GET", target="/v1/models"), size=9))
    assert shown.document()["data"]


@pytest.mark.parametrize("stream", [True, False])
def test_split_sends_each_byte_in_its_own_chunk(ask, scene, perform, stream):
    shown = perform(oddities.split(scene(ask("demo:text=hi", stream=stream))))
    whole = perform(answer(scene(ask("demo:text=hi", stream=stream)))).response()[1]
    assert shown.response()[1] == whole
    assert shown.body_bytes.count(b"1\r\n") >= len(whole)
    assert len(shown.body_bytes) == 6 * len(whole) + 5


def test_lines_can_end_with_crlf(ask, scene, perform):
    shown = perform(oddities.crlf(scene(ask())))
    _, body = shown.response()
    assert body.count(b"\n") == body.count(b"\r\n")
    assert shown.events()[-1]["type"] == "message_stop"


def test_comments_stand_before_every_event(ask, scene, perform):
    _, body = perform(oddities.comments(scene(ask()))).response()
    assert body.count(b": still here\n\nevent: ") == body.count(b"event: ")


def test_events_can_lack_their_names(ask, scene, perform):
    _, body = perform(oddities.nameless(scene(ask()))).response()
    assert b"event: " not in body
    assert body.startswith(b'data: {"type":"message_start"')


def test_pings_fill_the_time_and_then_the_answer_comes(ask, scene, perform):
    shown = perform(oddities.pings_only(scene(ask()), seconds=6.0, every=2.0))
    assert shown.waited_s == 6
    names = [event["type"] for event in shown.events()]
    assert names[:4] == ["ping", "ping", "ping", "message_start"]
    assert names[-1] == "message_stop"


@pytest.mark.parametrize("stream", [True, False])
def test_gzip_unpacks_to_the_same_answer(ask, scene, perform, stream):
    head, body = perform(oddities.gzip(scene(ask(stream=stream)))).response()
    assert dict(head.headers)[b"content-encoding"] == b"gzip"
    whole = perform(answer(scene(ask(stream=stream)))).response()[1]
    assert zlib.decompress(body, wbits=31) == whole


def test_a_stream_can_come_with_a_content_length(ask, scene, perform):
    head, body = perform(oddities.sized(scene(ask()))).response()
    assert dict(head.headers)[b"content-length"] == str(len(body)).encode()
    assert body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("stream", [True, False])
def test_the_close_can_end_the_body(ask, scene, perform, stream):
    shown = perform(oddities.close_delimited(scene(ask(stream=stream))))
    assert shown.sent.startswith(b"HTTP/1.0 200 OK\r\n")
    assert shown.cut is Cut.FIN
    whole = perform(answer(scene(ask(stream=stream)))).response()[1]
    assert shown.response()[1] == whole == without_ids(shown.sent)
