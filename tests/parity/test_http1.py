"""`ccrelay._fast.http1` against the readable reference: corpus, every byte, generated input."""

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay._fast import http1 as ours
from tests.corpus.http1.entries import ENTRIES, Entry, read_message
from tests.parity.http1_compare import assert_same_chunks, assert_same_head, head_facts, split
from tests.reference import http1 as reference

REQUEST = b"GET /v1/models?a=b HTTP/1.1\r\nHost: relay:80\r\nX-Name: value\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 12\r\n\r\n"
CHUNKED = b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
TELLING = b'\x00\t\n\r "#,:;[\x1f\x7f\x80\xff09afgAFG'

NAMES = (
    b"Host|Content-Length|Transfer-Encoding|Connection|Expect|X-Hop|X-A|anthropic-beta|Cookie|TE|"
    b"Authorization|x-api-key|API-Key|Upgrade|X-Static|accept-encoding|user-agent|X\x80|| X|X "
).split(b"|")
VALUES = (
    b"relay|5|05|+5|chunked|Chunked|gzip, chunked|close|a,b, c|keep-alive, X-Hop|100-continue|| \t|"
    b"x\ty|x\rz|x\nz|\xff|\x7f|claude-code-20250219, a ,b|a|, ,|9007199254740992|9007199254740993"
).split(b"|")
STARTS = (
    b"GET / HTTP/1.1|POST /v1/messages?beta=true HTTP/1.1|GET /a HTTP/1.0|GET  / HTTP/1.1|"
    b"GET http://relay/x?y HTTP/1.1|GET http://5 HTTP/1.1|OPTIONS * HTTP/1.1|\r\nGET / HTTP/1.1|"
    b"HTTP/1.1 200 OK|HTTP/1.0 599 |HTTP/1.1 100|HTTP/1.1 999 X|get / HTTP/1.1|"
).split(b"|")
COLONS = (b":", b": ", b":\t ", b" :", b"")
ENDS = st.sampled_from([*[b"\r\n"] * 20, b"\n", b"\r", b"\r\r\n", b"\r\n ", b" \r\n"])
LINES = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from(NAMES),
    st.sampled_from(COLONS),
    st.sampled_from(VALUES) | st.binary(max_size=20),
    ENDS,
)
HEADS = st.builds(
    lambda start, end, lines, last: start + end + b"".join(lines) + last,
    st.sampled_from(STARTS),
    ENDS,
    st.lists(LINES, max_size=6),
    ENDS,
)
SIZES = (b"0", b"5", b"a", b"1", b"ffffffffffffffff", b"3fffffffffffffff", b"4000000000000000")
MARKS = (b"\r\n", b"\r", b"\n", b";x=y", b"hello", b"x", b"A: b", b" ", b":", b"\x00", b"\xff")
CHUNKS = (b"5\r\nhello\r\n", b"1\r\nx\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n")
LONG = (b"0" * 16, b";" + b"x" * 250)
CHUNK_PARTS = st.sampled_from([*SIZES, *MARKS, *CHUNKS, *LONG])


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_the_corpus_gets_its_recorded_verdicts(entry: Entry) -> None:
    for api in (ours, reference):
        verdict, head, body = read_message(api, entry.kind, entry.data)
        assert verdict == entry.verdict
        for name, expected in entry.expect.items():
            found = body if name == "body" else getattr(head, name)
            assert (found.decode() if isinstance(found, bytes) else found) == expected


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_corpus_heads_parse_alike_at_any_length(entry: Entry) -> None:
    whole = head_facts(ours, entry.kind, entry.data)
    for size in range(len(entry.data)) if len(entry.data) < 1000 else ():
        facts = head_facts(ours, entry.kind, entry.data[:size])
        assert facts is None or facts == whole
    assert_same_head(entry.kind, entry.data)
    assert_same_head("response" if entry.kind == "request" else "request", entry.data)


@pytest.mark.parametrize("entry", [e for e in ENTRIES if b"chunked" in e.data], ids=str)
def test_corpus_bodies_parse_alike_at_any_split(entry: Entry) -> None:
    body = entry.data.partition(b"\r\n\r\n")[2]
    assert_same_chunks([bytes([byte]) for byte in body])
    for cut in range(len(body)) if len(body) < 1000 else ():
        assert_same_chunks([body[:cut], body[cut:]])


@pytest.mark.parametrize(
    ("kind", "raw"), [("request", REQUEST), ("response", RESPONSE)], ids=["request", "response"]
)
def test_every_byte_at_every_position_of_a_head_parses_alike(kind: str, raw: bytes) -> None:
    for at in range(len(raw)):
        for byte in range(256):
            assert_same_head(kind, raw[:at] + bytes([byte]) + raw[at + 1 :])
        for byte in TELLING:
            assert_same_head(kind, raw[:at] + bytes([byte]) + raw[at:])


def test_every_byte_at_every_position_of_a_chunked_body_parses_alike() -> None:
    for at in range(len(CHUNKED)):
        for byte in range(256):
            assert_same_chunks([CHUNKED[:at] + bytes([byte]) + CHUNKED[at + 1 :]])
        for byte in TELLING:
            assert_same_chunks([CHUNKED[:at] + bytes([byte]) + CHUNKED[at:]])


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 15, 16, 17, 24])
def test_control_bytes_are_found_at_any_offset(length: int) -> None:
    for byte in (b"\t", b"\x1f", b"\x7f", b"\x80", b"\r", b"\n", b"\x00"):
        for at in range(length + 1):
            value = b"x" * at + byte + b"\xe4" * (length - at)
            assert_same_head("response", b"HTTP/1.1 200 OK\r\nX: a" + value + b"\r\n\r\n")


@settings(max_examples=400, deadline=None)
@given(HEADS)
def test_generated_heads_parse_alike(data: bytes) -> None:
    assert_same_head("request", data)
    assert_same_head("response", data)


@settings(max_examples=200, deadline=None)
@given(HEADS, st.lists(st.integers(0, 10_000), max_size=6))
def test_head_ends_are_found_alike_at_any_split(data: bytes, cuts: list[int]) -> None:
    expected = reference.head_end(data)
    seen = b""
    found = 0
    for part in split(data, cuts):
        found = ours.find_head_end(seen + part, len(seen))
        seen += part
        if found:
            break
    assert found == expected


@settings(max_examples=400, deadline=None)
@given(st.lists(CHUNK_PARTS, max_size=10), st.lists(st.integers(0, 10_000), max_size=6))
def test_generated_chunks_parse_alike_at_any_split(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    assert_same_chunks([data])
    assert_same_chunks(split(data, cuts))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=40))
def test_chunked_payload_round_trips(payloads: list[bytes]) -> None:
    reader = ours.ChunkReader()
    framed = b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads)
    assert reader.feed(framed + b"0\r\n\r\nnext") == payloads
    assert reader.done
    assert reader.consumed == len(framed) + 5
