import pytest

from ccrelay._fast.http1 import (
    BadHead,
    ChunkReader,
    FieldId,
    Framing,
    Head,
    HeadFault,
    RequestPlan,
    find_head_end,
    parse_request,
    parse_response,
    render_response,
)

POST = (
    b"POST /v1/messages?beta=true HTTP/1.1\r\n"
    b"host: 127.0.0.1:8080\r\n"
    b"Authorization: Bearer test-key-1\r\n"
    b"X-Api-Key: test-key-2\r\n"
    b"api-key: test-key-3\r\n"
    b"Cookie: a=b\r\n"
    b"anthropic-beta: one, two,three\r\n"
    b"anthropic-Version:\t2023-06-01 \r\n"
    b"Accept-Encoding: gzip\r\n"
    b"Connection: keep-alive, X-Hop\r\n"
    b"x-hop: 1\r\n"
    b"TE: trailers\r\n"
    b"Upgrade: h2c\r\n"
    b"Expect: 100-continue\r\n"
    b"X-Custom: c\r\n"
    b"content-length: 2\r\n"
    b"\r\n"
)
SSE = (
    b"HTTP/1.0 200 Fine\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Connection: close, X-Hop\r\n"
    b"Keep-Alive: timeout=5\r\n"
    b"X-Hop: 1\r\n"
    b"Content-Length: 0005\r\n"
    b"request-id: req_1\r\n"
    b"\r\n"
)


def request(raw: bytes = POST) -> Head:
    parsed = parse_request(raw)
    assert parsed is not None
    return parsed[0]


def response(raw: bytes = SSE) -> Head:
    parsed = parse_response(raw)
    assert parsed is not None
    return parsed[0]


def plan(**changed: object) -> RequestPlan:
    parts: dict[str, object] = {"prefix": b"", "host": b"upstream.example", "lines": []}
    return RequestPlan(**(parts | changed))  # type: ignore[arg-type]


def names_sent(head: bytes) -> list[bytes]:
    return [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]]


def chunks(data: bytes) -> ChunkReader:
    reader = ChunkReader()
    reader.feed(data)
    return reader


def test_a_request_head_exposes_its_parts() -> None:
    parsed = parse_request(POST + b"{}")
    assert parsed is not None
    head, end = parsed
    assert end == len(POST)
    assert (head.method, head.target) == (b"POST", b"/v1/messages?beta=true")
    assert (head.path, head.query) == (b"/v1/messages", b"beta=true")
    assert (head.minor, head.status, head.content_length) == (1, 0, 2)
    assert head.is_request
    assert head.keep_alive
    assert head.expects_continue
    assert not head.chunked
    assert head.raw == POST


def test_a_response_head_exposes_its_parts() -> None:
    head = response()
    assert (head.status, head.minor, head.content_length) == (200, 0, 5)
    assert not head.is_request
    assert not head.keep_alive
    assert (head.method, head.target, head.query) == (b"", b"", b"")


def test_fields_are_found_by_id_and_by_name_in_any_case() -> None:
    head = request()
    assert head.value(FieldId.F_AUTHORIZATION) == b"Bearer test-key-1"
    assert head.value(FieldId.F_ORIGIN) is None
    assert head.get(b"anthropic-version") == b"2023-06-01"
    assert head.get(b"x-absent") is None
    assert head.items()[6] == (b"anthropic-Version", b"2023-06-01")


@pytest.mark.parametrize("field_id", list(FieldId)[1:])
def test_every_known_field_has_its_id(field_id: FieldId) -> None:
    special = {"F_SESSION_ID": "x-claude-code-session-id", "F_AGENT_ID": "x-claude-code-agent-id"}
    special["F_REQUEST_CLASS"] = "x-claude-code-request-class"
    plain = field_id.name.removeprefix("F_").lower().replace("_", "-")
    name = special.get(field_id.name, plain).upper().encode()
    framing = {"F_CONTENT_LENGTH": b"7", "F_TRANSFER_ENCODING": b"chunked"}
    value = framing.get(field_id.name, b"v")
    head = response(b"HTTP/1.1 200 OK\r\nX-A: x\r\n" + name + b": " + value + b"\r\n\r\n")
    assert head.value(field_id) == value
    assert [other for other in FieldId if head.value(other)] == [FieldId.F_OTHER, field_id]


def test_a_heads_repr_hides_values_and_query() -> None:
    assert repr(request()) == "<Head POST /v1/messages HTTP/1.1 fields=15 length=2>"
    assert repr(response()) == "<Head 200 HTTP/1.0 fields=6 length=5>"


def test_a_head_has_no_public_constructor() -> None:
    with pytest.raises(TypeError, match="parse_request"):
        Head()


def test_an_incomplete_head_gives_none() -> None:
    assert parse_request(b"G@T / HTTP/9\r\n") is None
    assert parse_request(b"") is None
    assert parse_response(b"HTTP/1.1 200 OK\r\n\r") is None


def test_a_rejected_head_names_its_fault() -> None:
    with pytest.raises(BadHead, match="BOTH_FRAMINGS") as caught:
        parse_response(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    assert caught.value.fault is HeadFault.BOTH_FRAMINGS
    assert isinstance(caught.value, ValueError)


def test_the_number_of_fields_is_limited() -> None:
    def lines(count: int) -> bytes:
        return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n"

    assert parse_request(lines(3), fields_max=3) is not None
    assert parse_request(lines(256), fields_max=1000) is not None
    for count, fields_max in ((4, 3), (257, 1000)):
        with pytest.raises(BadHead, match="TOO_MANY_FIELDS"):
            parse_request(lines(count), fields_max=fields_max)


def test_an_unterminated_head_is_rejected_once_too_large() -> None:
    start = b"GET / HTTP/1.1\r\nX: "
    assert parse_request(start + b"y" * ((1 << 20) - len(start))) is None
    with pytest.raises(BadHead, match="HEAD_TOO_LARGE"):
        parse_request(start + b"y" * (1 << 20))
    with pytest.raises(BadHead, match="HEAD_TOO_LARGE"):
        parse_request(start + b"y" * (1 << 20) + b"\r\n\r\n")


def test_the_head_end_search_resumes_where_it_stopped() -> None:
    for cut in range(len(POST)):
        assert find_head_end(POST[:cut]) == 0
        assert find_head_end(POST + b"more", cut) == len(POST)


def test_the_head_end_search_stops_at_a_bare_lf_and_a_third_empty_line() -> None:
    assert find_head_end(b"GET / HTTP/1.1\nHost: a\r\n") == 15
    assert find_head_end(b"\nGET") == 1
    assert find_head_end(b"\r\n\r\n") == 0
    assert find_head_end(b"\r\n\r\n\r\n") == 6


def test_the_plans_fields_precede_the_clients_in_order() -> None:
    lines = [(b"Authorization", b"Bearer test-key-9")]
    sent = plan(prefix=b"/api/anthropic", lines=lines).render(request(), 1234, False)
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
    sent = plan().render(request(), -1, True)
    assert sent.endswith(b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert b"ontent-" not in sent
    sent = plan().render(request(), 5, True)
    assert b"ontent-" not in sent
    sent = plan().render(request(), -1, False)
    assert b"ransfer-" not in sent
    assert b"ontent-" not in sent
    for length in (0, 9, 10, 2**53):
        assert (
            plan().render(request(), length, False).count(b"Content-Length: %d\r\n" % length) == 1
        )


def test_a_given_path_replaces_path_and_query() -> None:
    sent = plan(prefix=b"/p").render(request(), -1, False, b"/model/a%3A0/invoke?x=1")
    assert sent.startswith(b"POST /p/model/a%3A0/invoke?x=1 HTTP/1.1\r\n")
    for bad in (b"", b"x", b"/a b", b"/a\r\nX: y", b"/a#b"):
        with pytest.raises(ValueError, match="not a path"):
            plan().render(request(), -1, False, bad)


def test_an_absolute_form_target_is_sent_as_origin_form() -> None:
    head = request(b"GET http://relay/v1/models?x HTTP/1.1\r\nHost: relay\r\n\r\n")
    assert plan(prefix=b"/p").render(head, -1, False).startswith(b"GET /p/v1/models?x HTTP/1.1\r\n")
    head = request(b"GET http://relay HTTP/1.1\r\nHost: relay\r\n\r\n")
    assert plan(prefix=b"/p").render(head, -1, False).startswith(b"GET /p/ HTTP/1.1\r\n")


def test_client_credentials_pass_only_with_pass_credentials() -> None:
    credentials = {b"Authorization", b"X-Api-Key", b"api-key", b"Cookie"}
    assert not credentials & set(names_sent(plan().render(request(), -1, False)))
    passing = plan(pass_credentials=True)
    assert credentials <= set(names_sent(passing.render(request(), -1, False)))


def test_named_fields_are_dropped_and_overridden_ones_are_replaced() -> None:
    sent = plan(
        lines=[(b"x-CUSTOM", b"ours"), (b"Anthropic-Version", b"ours")],
        drop_names=[b"Anthropic-Beta"],
    ).render(request(), -1, False)
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
    sent = plan(drop_betas=drop).render(request(raw), -1, False)
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
        plan().render(response(), -1, False)
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
    sent = plan().render(request(b"GET / HTTP/1.0\r\n\r\n"), -1, False)
    assert sent == (
        b"GET / HTTP/1.1\r\nHost: upstream.example\r\nAccept-Encoding: identity\r\n\r\n"
    )


def test_chunk_payloads_are_returned_as_pieces() -> None:
    reader = ChunkReader()
    assert reader.feed(b"5;x=y\r\nhel") == [b"hel"]
    assert reader.feed(b"lo\r\n1\r\n!\r\n0\r\n") == [b"lo", b"!"]
    assert not reader.done
    assert reader.feed(b"A: b\r\n\r\nnext") == []
    assert reader.done
    assert reader.consumed == len(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n")
    assert reader.feed(b"5\r\n") == []


def test_chunks_beyond_one_walks_capacity_are_all_returned() -> None:
    assert ChunkReader().feed(b"1\r\nx\r\n" * 100) == [b"x"] * 100


def test_a_chunk_can_be_inserted_only_before_a_size_line() -> None:
    reader = ChunkReader()
    seen = [reader.between]
    for byte in b"1\r\nx\r\n1;a\r\ny\r\n0\r\n\r\n":
        reader.feed(bytes([byte]))
        seen.append(reader.between)
    assert [at for at, between in enumerate(seen) if between] == [0, 6, 14]


def test_a_chunk_fault_stops_at_the_offending_byte() -> None:
    reader = ChunkReader()
    assert reader.feed(b"1\r\nx\r\n1\nx") == [b"x"]
    assert (reader.fault, reader.consumed) == (HeadFault.BAD_CHUNK, 7)
    assert not reader.between
    assert not reader.done
    assert reader.feed(b"\r\nx\r\n0\r\n\r\n") == []


def test_chunk_lines_and_trailers_are_limited() -> None:
    assert chunks(b"5;" + b"x" * 254 + b"\r\n").fault == HeadFault.OK
    assert chunks(b"5;" + b"x" * 255 + b"\r\n").fault == HeadFault.BAD_CHUNK
    assert chunks(b"3fffffffffffffff\r\n").fault == HeadFault.OK
    assert chunks(b"4000000000000000\r\n").fault == HeadFault.BAD_CHUNK
    assert chunks(b"0000000000000001\r\n").fault == HeadFault.OK
    assert chunks(b"00000000000000001\r\n").fault == HeadFault.BAD_CHUNK
    trailer = b"A:" + b"b" * (8192 - 6)
    assert chunks(b"0\r\n" + trailer + b"\r\n\r\n").done
    assert chunks(b"0\r\n" + trailer + b"b\r\n\r\n").fault == HeadFault.TRAILER_TOO_LARGE


def test_none_is_rejected_in_place_of_bytes() -> None:
    with pytest.raises(TypeError):
        request().get(None)  # type: ignore[arg-type]
    for wrong in ({"lines": [(b"X-A", None)]}, {"lines": [(None, b"a")]}, {"drop_names": [None]}):
        with pytest.raises(TypeError):
            plan(**wrong)
