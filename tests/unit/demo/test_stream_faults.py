import h11
import pytest

from ccrelay.demo import stream_faults as faults
from ccrelay.demo.plan import Close, respond


def names(sent):
    return [line[7:].decode() for line in sent.split(b"\n") if line.startswith(b"event: ")]


def test_reset_mid_stream_after_n_events(payload, context, run):
    result = run(faults.reset_mid_stream(context(payload()), after=4))
    assert result.close is Close.RST
    assert names(result.sent) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
    ]
    assert result.sent.endswith(b"\n\n\r\n")


def test_by_default_content_precedes_the_fault(payload, context, run):
    result = run(faults.reset_mid_stream(context(payload())))
    assert names(result.sent).count("content_block_delta") == 2


@pytest.mark.parametrize("fault", ["reset_mid_stream", "cut_mid_event", "stall_mid_stream"])
def test_a_document_is_cut_half_way(payload, context, run, fault):
    result = run(getattr(faults, fault)(context(payload(stream=False))))
    whole = run(respond(context(payload(stream=False))))
    assert len(result.body_bytes) == len(whole.body_bytes) // 2
    assert result.close is not None
    with pytest.raises(h11.RemoteProtocolError):
        result.response()


def test_cut_mid_event(payload, context, run):
    result = run(faults.cut_mid_event(context(payload()), after=3))
    assert result.close is Close.FIN
    assert names(result.sent)[-1] == "content_block_delta"
    assert not result.sent.endswith(b"\n\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        result.response()


def test_cut_mid_event_clean_ends_the_http_body(payload, context, run):
    result = run(faults.cut_mid_event(context(payload()), after=3, clean=True))
    assert result.close is None
    _, body = result.response()
    assert not body.endswith(b"\n\n")


def test_stall_mid_stream_waits_then_closes(payload, context, run):
    result = run(faults.stall_mid_stream(context(payload()), seconds=9.0, after=2))
    assert (result.waited_s, result.close) == (9.0, Close.FIN)
    assert names(result.sent) == ["message_start", "content_block_start"]


@pytest.mark.parametrize("fault", ["bad_chunk", "short_body", "both_framings"])
@pytest.mark.parametrize("stream", [True, False])
def test_h11_rejects_corrupted_framing(payload, context, run, fault, stream):
    result = run(getattr(faults, fault)(context(payload(stream=stream))))
    assert result.close is Close.FIN
    if fault == "both_framings":  # h11 prefers Transfer-Encoding and lets it pass (RFC 9112 6.3)
        head = result.sent.partition(b"\r\n\r\n")[0]
        assert b"\r\ncontent-length: " in head
        assert b"\r\ntransfer-encoding: chunked" in head
        return
    with pytest.raises(h11.RemoteProtocolError):
        result.response()


def test_error_first(payload, context, run):
    result = run(faults.error_first(context(payload()), type="rate_limit_error", message="m"))
    [event] = result.events()
    assert (event["type"], event["error"]["type"]) == ("error", "rate_limit_error")
    assert event["error"]["message"] == "m"


def test_error_mid_after_n_events(payload, context, run):
    early = run(faults.error_mid(context(payload()), after=1)).events()
    assert [event["type"] for event in early] == ["message_start", "error"]
    late = run(faults.error_mid(context(payload()))).events()
    assert [event["type"] for event in late[-2:]] == ["content_block_delta", "error"]


def test_a_stream_can_end_early(payload, context, run):
    events = run(faults.no_message_stop(context(payload()))).events()
    assert events[-1]["type"] == "message_delta"
    [only] = run(faults.only_message_start(context(payload()))).events()
    assert only["type"] == "message_start"
