import pytest

from ccrelay._fast.http1 import (
    BadHead,
    ChunkReader,
    FieldId,
    Head,
    HeadFault,
    find_head_end,
    parse_request,
    parse_response,
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
    assert head.method_and_target() == b"POST /v1/messages?beta=true"
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


@pytest.mark.parametrize("field_id", [known for known in FieldId if 0 < known < FieldId.F_ALIAS])
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
