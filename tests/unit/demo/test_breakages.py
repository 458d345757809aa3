import h11
import pytest

from ccrelay.demo import breakages
from ccrelay.demo.plan import Cut, answer


def names(sent):
    return [line[7:].decode() for line in sent.split(b"\n") if line.startswith(b"event: ")]


def test_a_reset_comes_after_so_many_whole_events(ask, scene, perform):
    shown = perform(breakages.reset_mid_stream(scene(ask()), after=4))
    assert shown.cut is Cut.RST
    assert names(shown.sent) == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
    ]
    assert shown.sent.endswith(b"\n\n\r\n")


def test_by_default_content_has_begun_before_a_stream_breaks(ask, scene, perform):
    shown = perform(breakages.reset_mid_stream(scene(ask())))
    assert names(shown.sent).count("content_block_delta") == 2


@pytest.mark.parametrize("fault", ["reset_mid_stream", "cut_mid_event", "stall_mid_stream"])
def test_a_document_breaks_half_way(ask, scene, perform, fault):
    shown = perform(getattr(breakages, fault)(scene(ask(stream=False))))
    whole = perform(answer(scene(ask(stream=False))))
    assert len(shown.body_bytes) == len(whole.body_bytes) // 2
    assert shown.cut is not None
    with pytest.raises(h11.RemoteProtocolError):
        shown.response()


def test_an_event_is_cut_in_its_middle(ask, scene, perform):
    shown = perform(breakages.cut_mid_event(scene(ask()), after=3))
    assert shown.cut is Cut.FIN
    assert names(shown.sent)[-1] == "content_block_delta"
    assert not shown.sent.endswith(b"\n\n\r\n")
    with pytest.raises(h11.RemoteProtocolError):
        shown.response()


def test_a_clean_cut_ends_the_http_body_and_still_lacks_half_an_event(ask, scene, perform):
    shown = perform(breakages.cut_mid_event(scene(ask()), after=3, clean=True))
    assert shown.cut is None
    _, body = shown.response()
    assert not body.endswith(b"\n\n")


def test_a_stall_in_a_stream_lasts_and_then_closes(ask, scene, perform):
    shown = perform(breakages.stall_mid_stream(scene(ask()), seconds=9.0, after=2))
    assert (shown.waited_s, shown.cut) == (9.0, Cut.FIN)
    assert names(shown.sent) == ["message_start", "content_block_start"]


@pytest.mark.parametrize("fault", ["bad_chunk", "short_body", "both_framings"])
@pytest.mark.parametrize("stream", [True, False])
def test_spoilt_framing_is_refused_by_an_independent_parser(ask, scene, perform, fault, stream):
    shown = perform(getattr(breakages, fault)(scene(ask(stream=stream))))
    assert shown.cut is Cut.FIN
    if fault == "both_framings":  # h11 prefers Transfer-Encoding and lets it pass (RFC 9112 6.3)
        head = shown.sent.partition(b"\r\n\r\n")[0]
        assert b"\r\ncontent-length: " in head
        assert b"\r\ntransfer-encoding: chunked" in head
        return
    with pytest.raises(h11.RemoteProtocolError):
        shown.response()


def test_an_error_can_be_the_first_event(ask, scene, perform):
    shown = perform(breakages.error_first(scene(ask()), type="rate_limit_error", message="m"))
    [event] = shown.events()
    assert (event["type"], event["error"]["type"]) == ("error", "rate_limit_error")
    assert event["error"]["message"] == "m"


def test_an_error_can_come_after_message_start_or_later(ask, scene, perform):
    early = perform(breakages.error_mid(scene(ask()), after=1)).events()
    assert [event["type"] for event in early] == ["message_start", "error"]
    late = perform(breakages.error_mid(scene(ask()))).events()
    assert [event["type"] for event in late[-2:]] == ["content_block_delta", "error"]


def test_a_stream_can_end_cleanly_too_early(ask, scene, perform):
    events = perform(breakages.no_message_stop(scene(ask()))).events()
    assert events[-1]["type"] == "message_delta"
    [only] = perform(breakages.only_message_start(scene(ask()))).events()
    assert only["type"] == "message_start"
