"""What of a head is written, in which order and framing."""

import pytest

from ccrelay._fast.head_writer import Framing, RequestPlan, render_response
from tests.unit.fast.test_http1 import request, response

PATH = b"/v1/messages?beta=true"


def plan(**changed: object) -> RequestPlan:
    parts: dict[str, object] = {"prefix": b"", "host": b"upstream.example", "lines": []}
    return RequestPlan(**(parts | changed))  # type: ignore[arg-type]


def names_sent(head: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]]


def test_the_plans_fields_precede_the_clients_in_order() -> None:
    lines = [(b"Authorization", b"Bearer test-key-9")]
    sent = plan(prefix=b"/api/anthropic", lines=lines).render(request(), 1234, False, PATH)
    assert sent == (
        b"POST /api/anthropic/v1/messages?beta=true HTTP/1.1\r\n"
        b"Host: upstream.example\r\n"
        b"Authorization: Bearer test-key-9\r\n"
        b"Accept-Encoding: identity\r\n"
        b"anthropic-beta: one, two,three\r\n"
        b"anthropic-Version:\t2023-06-01 \r\n"
        b"X-Custom: c\r\n"
        b"Content-Length: 1234\r\n"
        b"\r\n"
    )


def test_the_caller_sets_the_request_framing() -> None:
    sent = plan().render(request(), -1, True, PATH)
    assert sent.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"ontent-" not in sent
    sent = plan().render(request(), 5, True, PATH)
    assert b"ontent-" not in sent
    sent = plan().render(request(), -1, False, PATH)
    assert b"ransfer-" not in sent
    assert b"ontent-" not in sent
    for length in (0, 9, 10, 2**53):
        assert (
            plan().render(request(), length, False, PATH).count(b"Content-Length: %d\r\n" % length)
            == 1
        )


def test_the_path_is_the_relays_own() -> None:
    sent = plan(prefix=b"/p").render(request(), -1, False, b"/model/a%3A0/invoke?x=1")
    assert sent.startswith(b"POST /p/model/a%3A0/invoke?x=1 HTTP/1.1\r\n")
    for bad in (b"", b"x", b"/a b", b"/a\r\nX: y", b"/a#b"):
        with pytest.raises(ValueError, match="not a path"):
            plan().render(request(), -1, False, bad)


def test_client_credentials_pass_only_with_pass_credentials() -> None:
    credentials = {b"Authorization", b"X-Api-Key", b"api-key", b"Cookie"}
    assert not credentials & set(names_sent(plan().render(request(), -1, False, PATH)))
    passing = names_sent(plan(pass_credentials=True).render(request(), -1, False, PATH))
    assert credentials & set(passing) == {b"Authorization", b"X-Api-Key"}


def test_named_fields_are_dropped_and_overridden_ones_are_replaced() -> None:
    sent = plan(
        lines=[(b"x-CUSTOM", b"ours"), (b"Anthropic-Version", b"ours")],
        drop_names=[b"Anthropic-Beta"],
    ).render(request(), -1, False, PATH)
    assert names_sent(sent) == [b"Host", b"x-CUSTOM", b"Anthropic-Version", b"Accept-Encoding"]


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        ((), b"anthropic-beta: one, two,three\r\n"),
        ((b"four", b"ONE"), b"anthropic-beta: one, two,three\r\n"),
        ((b"two",), b"anthropic-beta: one,three\r\n"),
        ((b"one", b"three"), b"anthropic-beta: two\r\n"),
        ((b"one", b"two", b"three"), b""),
        ((b"*",), b""),
    ],
)
def test_dropped_betas_are_removed(drop: tuple[bytes, ...], left: bytes) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nanthropic-beta: one, two,three\r\nY: 2\r\n\r\n"
    sent = plan(drop_betas=drop).render(request(raw), -1, False, PATH)
    assert sent.partition(b"identity\r\n")[2] == b"X: 1\r\n" + left + b"Y: 2\r\n\r\n"


@pytest.mark.parametrize(
    "line",
    [
        (b"X-Key", b"test-key\r\nX: y"),
        (b"X-Key", b"test-key\x00"),
        (b"X Key", b"test-key"),
        (b"", b"test-key"),
        (b"Host", b"test-key"),
        (b"Content-Length", b"test-key"),
        (b"Accept-Encoding", b"test-key"),
        (b"Connection", b"test-key"),
    ],
)
def test_a_plan_rejects_unsafe_lines_without_showing_values(
    line: tuple[bytes, bytes],
) -> None:
    with pytest.raises(ValueError, match=r"header") as caught:
        plan(lines=[line])
    assert "test-key" not in str(caught.value)


@pytest.mark.parametrize("prefix", [b"api", b"/a b", b"/a?b", b"/a\r\n"])
def test_a_plan_rejects_a_prefix_that_is_not_a_path(prefix: bytes) -> None:
    with pytest.raises(ValueError, match="not a path"):
        plan(prefix=prefix)


@pytest.mark.parametrize("host", [b"", b"a b", b"a\r\nX: y", b"https://a", b"a:", b"a:123456"])
def test_a_plan_rejects_an_invalid_host(host: bytes) -> None:
    with pytest.raises(ValueError, match="not a host"):
        plan(host=host)


def test_a_plans_repr_hides_credentials() -> None:
    shown = repr(plan(prefix=b"/api", lines=[(b"X-Api-Key", b"test-key-1")]))
    assert shown == "<RequestPlan upstream.example/api>"


def test_a_head_of_the_other_direction_is_rejected() -> None:
    with pytest.raises(ValueError, match="request"):
        plan().render(response(), -1, False, PATH)
    with pytest.raises(ValueError, match="response"):
        render_response(request(), Framing.KEEP)


@pytest.mark.parametrize(
    ("framing", "line"),
    [
        (Framing.KEEP, b"Content-Length: 5\r\n"),
        (Framing.CHUNKED, b"Transfer-Encoding: chunked\r\n"),
        (Framing.CLOSE, b""),
        (Framing.LENGTH, b"Content-Length: 77\r\n"),
    ],
)
def test_a_response_is_sent_as_http_1_1_without_hop_by_hop_fields(
    framing: Framing, line: bytes
) -> None:
    kept = b"HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nrequest-id: req_1\r\n" + line
    assert render_response(response(), framing, 77) == kept + b"\r\n"
    assert render_response(response(), framing, 77, False, b"Via: 1.1 relay\r\n") == (
        kept + b"Connection: close\r\nVia: 1.1 relay\r\n\r\n"
    )


def test_a_kept_chunked_response_stays_chunked() -> None:
    head = response(b"HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\nX: y\r\n\r\n")
    assert render_response(head, Framing.KEEP) == (
        b"HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def test_connection_cannot_remove_framing_fields() -> None:
    head = response(b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\n")
    assert render_response(head, Framing.KEEP) == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


def test_a_head_without_fields_can_be_written() -> None:
    assert render_response(response(b"HTTP/1.0 204\r\n\r\n"), Framing.KEEP) == (
        b"HTTP/1.1 204\r\n\r\n"
    )
    sent = plan().render(request(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"), -1, False, b"/")
    assert sent == (
        b"GET / HTTP/1.1\r\nHost: upstream.example\r\nAccept-Encoding: identity\r\n\r\n"
    )


def test_none_is_rejected_in_place_of_a_name_or_a_value() -> None:
    for wrong in ({"lines": [(b"X-A", None)]}, {"lines": [(None, b"a")]}, {"drop_names": [None]}):
        with pytest.raises(TypeError):
            plan(**wrong)
