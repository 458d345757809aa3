"""The streaming scan for members of the top level."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

import ccrelay
from ccrelay._fast.json import MemberKeys, MemberScan, ScanState, scan, simd, use_simd

MODEL, STREAM = 0, 1
KEYS = MemberKeys(["model", "stream"])
BODY = b'{"model":"claude-x","messages":[{"role":"user","content":"hi"}],"stream":true}'


@pytest.fixture(params=["portable", "simd"], autouse=True)
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    before = simd()
    use_simd(request.param == "simd")
    yield
    use_simd(before)


def state_of(data: bytes) -> int:
    return scan(data, KEYS).state


def test_a_wanted_member_is_captured_raw_with_its_span() -> None:
    found = scan(BODY, KEYS)
    assert found.state == ScanState.COMPLETE
    assert found.offset == len(BODY)
    assert found.value(MODEL) == b'"claude-x"'
    assert found.span(MODEL) == (9, 19)
    assert found.value(STREAM) == b"true"
    span = found.span(STREAM)
    assert span is not None
    assert BODY[slice(*span)] == b"true"


def test_the_model_is_available_before_the_body_is_complete() -> None:
    found = MemberScan(KEYS)
    assert found.feed_bytes(b'{"model":"claude-x"') == ScanState.SCANNING
    assert found.value(MODEL) == b'"claude-x"'
    assert found.value(STREAM) is None
    assert found.seen(STREAM) == 0


def test_every_split_gives_the_same_result() -> None:
    for cut in range(len(BODY) + 1):
        found = MemberScan(KEYS)
        found.feed_bytes(BODY[:cut])
        assert found.feed_bytes(BODY[cut:]) == ScanState.COMPLETE
        assert (found.value(MODEL), found.value(STREAM)) == (b'"claude-x"', b"true")


def test_an_absent_member_has_no_value_and_no_span() -> None:
    found = scan(b'{"max_tokens":1}', KEYS)
    assert (found.value(MODEL), found.span(MODEL), found.seen(MODEL)) == (None, None, 0)


def test_a_nested_member_of_the_same_name_is_ignored() -> None:
    found = scan(b'{"a":{"model":"x"},"b":[{"model":"y"}]}', KEYS)
    assert found.state == ScanState.COMPLETE
    assert found.seen(MODEL) == 0


def test_a_number_is_complete_only_at_the_next_byte() -> None:
    found = MemberScan(KEYS)
    found.feed_bytes(b'{"stream":12')
    assert found.span(STREAM) is None
    found.feed_bytes(b"3")
    assert found.span(STREAM) is None
    found.feed_bytes(b"}")
    assert found.value(STREAM) == b"123"
    assert found.span(STREAM) == (10, 13)


@pytest.mark.parametrize(
    "key",
    [rb"model", rb"\u006dodel", rb"\u006Dodel", rb"\u006d\u006f\u0064\u0065\u006c", rb"mo\u0064el"],
)
def test_an_escaped_key_matches(key: bytes) -> None:
    found = scan(b'{"model":"a","' + key + b'":"b"}', KEYS)
    assert found.seen(MODEL) == 2
    assert found.value(MODEL) == b'"a"'


@pytest.mark.parametrize(
    "key", [rb"\\u006dodel", rb"mo\/del", rb"model\u0000", b"Model", b" model"]
)
def test_a_similar_key_does_not_match(key: bytes) -> None:
    found = scan(b'{"' + key + b'":"b"}', KEYS)
    assert found.state == ScanState.COMPLETE
    assert found.seen(MODEL) == 0


def test_every_escape_in_a_key_is_decoded() -> None:
    names = ['"\\/\b\f\n\r\t', "é", "€", "😀", ""]
    spelled = rb'{"\"\\\/\b\f\n\r\t":0,"\u00e9":1,"\u20AC":2,"\ud83d\ude00":3,"":4}'
    found = scan(spelled, MemberKeys(names))
    assert [found.value(slot) for slot in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("key", [rb"\ud83d", rb"\ude00\ud83d", rb"\ud83dx", rb"\ud83d\n"])
def test_a_lone_surrogate_in_a_key_is_accepted_and_matches_nothing(key: bytes) -> None:
    found = scan(b'{"' + key + b'":0}', MemberKeys(["😀"]))
    assert found.state == ScanState.COMPLETE
    assert found.seen(0) == 0


def test_a_key_over_256_bytes_never_matches() -> None:
    name = "m" * 256
    found = scan(f'{{"{name}":1,"{name}m":2}}'.encode(), MemberKeys([name]))
    assert found.state == ScanState.COMPLETE
    assert (found.seen(0), found.value(0)) == (1, b"1")


def test_an_oversized_value_keeps_only_its_span() -> None:
    for size in (15, 16, 17, 5000):
        data = b'{"model":"' + b"x" * (size - 2) + b'","stream":1}'
        found = scan(data, KEYS, capture_max=16)
        assert found.span(MODEL) == (9, 9 + size)
        assert (found.value(MODEL) is not None) == (size <= 16)
        assert found.value(STREAM) == b"1"


def test_reset_allows_reuse() -> None:
    found = scan(BODY, KEYS)
    found.reset()
    assert (found.state, found.offset, found.seen(MODEL)) == (ScanState.SCANNING, 0, 0)
    assert found.value(MODEL) is None
    found.feed_bytes(b'{"model":1,"stream":[]}')
    assert (found.value(MODEL), found.value(STREAM)) == (b"1", b"[]")


def test_whitespace_is_allowed_between_tokens_and_at_the_end() -> None:
    found = scan(b' \r\n\t{ "model" : "x" , "stream" : false } \n', KEYS)
    assert found.state == ScanState.COMPLETE
    assert found.value(MODEL) == b'"x"'


@pytest.mark.parametrize(
    "data",
    [
        *(b"{}", b'{"a":{}}', b'{"a":[]}', b'{"a":""}', b'{"a":null}', b'{"a":"\\""}'),
        *(b'{"a":%s}' % n for n in (b"0", b"-0", b"10", b"0.5", b"1e9", b"1E+9", b"-0.0e-0")),
    ],
)
def test_valid_objects_are_complete(data: bytes) -> None:
    assert state_of(data) == ScanState.COMPLETE


@pytest.mark.parametrize(
    ("data", "at"),
    [
        (b"\xef\xbb\xbf{}", 0),
        (b"[]", 0),
        (b'"x"', 0),
        (b"{} x", 3),
        (b"{}{}", 2),
        (b"{,}", 1),
        (b'{"a"}', 4),
        (b'{"a" 1}', 5),
        (b'{"a":}', 5),
        (b'{"a":1,}', 7),
        (b'{"a":1 "b":2}', 7),
        (b'{"a":1;}', 6),
        (b"{'a':1}", 1),
        (b"{a:1}", 1),
        (b'{"a":True}', 5),
        (b'{"a":trux}', 8),
        (b'{"a":nulll}', 9),
        (b'{"a":NaN}', 5),
        (b'{"a":01}', 6),
        (b'{"a":-}', 6),
        (b'{"a":+1}', 5),
        (b'{"a":.5}', 5),
        (b'{"a":1.}', 7),
        (b'{"a":1e}', 7),
        (b'{"a":1e+}', 8),
        (b'{"a":1.5.2}', 8),
        (b'{"a":0x1}', 6),
        (b'{"a":[}', 6),
        (b'{"a":{]', 6),
        (b'{"a":[1]]}', 8),
        (b'{"a":[\\]}', 6),
        (b'{"a\n":1}', 3),
        (b'{"a\\\n":1}', 4),
        (b'{"\\x":1}', 4),
        (b'{"\\u12g4":1}', 8),
        (b'{"\\u12":1}', 6),
    ],
)
def test_anything_but_one_object_is_invalid_at_its_first_wrong_byte(data: bytes, at: int) -> None:
    found = scan(data, KEYS)
    assert (found.state, found.offset) == (ScanState.INVALID, at)


def test_an_invalid_document_stays_invalid_and_consumes_nothing() -> None:
    found = scan(b'{"model":"x",,', KEYS)
    assert found.feed_bytes(b'"stream":true}') == ScanState.INVALID
    assert found.offset == 13
    assert found.value(MODEL) == b'"x"'


@pytest.mark.parametrize("cut", range(1, len(BODY)))
def test_a_truncated_body_is_never_complete(cut: int) -> None:
    assert state_of(BODY[:cut]) == ScanState.SCANNING


def test_nesting_is_limited() -> None:
    deepest = b'{"a":' + b"[" * 9_999 + b"]" * 9_999 + b"}"
    assert state_of(deepest) == ScanState.COMPLETE
    assert not scan(deepest, KEYS).is_too_deep()
    assert not scan(b'{"a":' + b"[" * 9_999 + b"}", KEYS).is_too_deep()
    found = scan(deepest.replace(b"[]", b"[[]]"), KEYS)
    assert found.is_too_deep()
    assert (found.state, found.offset) == (ScanState.INVALID, 5 + 9_999)


@pytest.mark.parametrize("lead", range(60, 70))
def test_backslash_runs_across_block_borders_escape_by_parity(lead: int) -> None:
    for count in range(1, 132):
        text = b"x" * lead + b"\\" * count
        inner = b'["' + text + b'"'
        body = b'{"a":' + inner + b',"]}"],"model":1}'
        found = scan(body, KEYS)
        if count % 2 == 0:
            assert (found.state, found.value(MODEL)) == (ScanState.COMPLETE, b"1")
        else:  # the quote is escaped: the next one ends the string, and ]} the document
            assert found.state == ScanState.INVALID
            assert found.offset == body.index(b"}") + 1


@pytest.mark.parametrize("lead", range(0, 70))
def test_brackets_and_quotes_inside_strings_are_ignored_at_any_offset(lead: int) -> None:
    inner = b"[" + b" " * lead + b'{"k":"]}\\"]}[{","\\\\":["a","\\\\"]}, "]"]'
    found = scan(b'{"stream":' + inner + b',"model":2}', KEYS)
    assert (found.state, found.value(MODEL)) == (ScanState.COMPLETE, b"2")
    assert found.value(STREAM) == inner


def test_a_large_body_in_small_pieces_gives_exact_spans() -> None:
    block = b'{"role":"user","content":[{"type":"text","text":"say \\"{[\\\\"}]},'
    body = b'{"messages":[' + block * 3000 + b'{}],"model":"m","stream":false}'
    found = MemberScan(KEYS)
    for at in range(0, len(body), 97):
        found.feed_bytes(body[at : at + 97])
    assert found.state == ScanState.COMPLETE
    for slot, value in ((MODEL, b'"m"'), (STREAM, b"false")):
        span = found.span(slot)
        assert span is not None
        assert body[slice(*span)] == value == found.value(slot)


def test_member_keys_are_validated() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        MemberKeys([str(n) for n in range(9)])
    with pytest.raises(ValueError, match="twice"):
        MemberKeys(["a", "a"])
    with pytest.raises(ValueError, match="surrogates"):
        MemberKeys(["\ud800"])
    assert repr(MemberKeys(["a"])) == "MemberKeys(['a'])"


def test_a_negative_capture_limit_is_rejected() -> None:
    with pytest.raises(ValueError, match="capture_max"):
        MemberScan(KEYS, -1)


@pytest.mark.parametrize("slot", [-1, 2, 8])
def test_an_unknown_slot_raises_index_error(slot: int) -> None:
    found = scan(BODY, KEYS)
    for ask in (found.value, found.span, found.seen):
        with pytest.raises(IndexError):
            ask(slot)


def test_a_scan_is_small() -> None:
    assert sys.getsizeof(MemberScan(KEYS)) < 800


def test_scans_free_their_captures() -> None:
    data = b'{"model":"' + b"x" * 100_000 + b'"}'
    tracemalloc.start()
    found = [scan(data, KEYS, 1 << 20) for _ in range(10)]
    held = tracemalloc.get_traced_memory()[0]
    del found
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 1_000_000 <= held < 1_100_000
    assert left < 10_000


@pytest.mark.parametrize(("value", "portable"), [("1", True), ("0", False), (None, False)])
def test_the_environment_can_disable_simd(value: str | None, portable: bool) -> None:
    env = {k: v for k, v in os.environ.items() if k != "CCRELAY_NO_SIMD"}
    if value is not None:
        env["CCRELAY_NO_SIMD"] = value
    code = "from ccrelay._fast import json as j; b = j.simd(); print(b, j.use_simd(True))"
    home = Path(ccrelay.__file__).parents[1]  # of the package under test: tree or installed
    output = subprocess.check_output(
        [sys.executable, "-c", code], env=env, cwd=home, text=True, timeout=30
    )
    at_import, possible = (word == "True" for word in output.split())
    assert at_import == (possible and not portable)


# ---- members in another case


GUARDS = MemberKeys(["model", "stream"], guarded=["model", "stream", "thinking"])


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        ("model", False),
        ("thinking", False),
        ("Model", True),
        ("THINKING", True),
        ("\u017ftream", True),
        ("thin\u212aing", True),
        ("th\u0131nk\u0130ng", True),
        ("\\u004dODEL", True),
        ("\\u017ftream", True),
        ("\\u212a", False),
        ("Models", False),
        ("Mode", False),
        ("\u0180tream", False),
        ("\u212btream", False),
        ("m\u00f6del", False),
        ("\U0001f511M" * 60, False),
        ("", False),
    ],
)
def test_a_guarded_name_in_another_case_is_noticed_however_the_bytes_are_split(
    name: str, is_other: bool
) -> None:
    data = f'{{"x":{{"MODEL":1}},"{name}":["MODEL",{{"STREAM":2}}],"y":0}}'.encode(
        "utf-8", "surrogatepass"
    )
    for cut in range(len(data)):
        one = MemberScan(GUARDS)
        one.feed_bytes(data[:cut])
        one.feed_bytes(data[cut:])
        assert (one.other_case, one.state) == (is_other, ScanState.COMPLETE)
        one.reset()
        assert not one.other_case
    assert not scan(data, KEYS).other_case


def test_the_number_of_guarded_names_is_bounded() -> None:
    MemberKeys(["a"], guarded=["x" * n for n in range(1, 17)])
    with pytest.raises(ValueError, match="at most 16"):
        MemberKeys(["a"], guarded=["x" * n for n in range(1, 18)])
