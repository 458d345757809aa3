"""AWS's frames: the decoder against botocore's and the readable twin, over any frames and cuts."""

import json
from base64 import b64encode
from itertools import pairwise

from botocore.eventstream import EventStreamBuffer
from hypothesis import given, strategies as st

from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder
from tests.reference.eventstream import (
    METRICS,
    decode,
    event_frame,
    exception_frame,
    frame,
    header,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
blanks = st.sampled_from(["", " ", "\n", "\r\n\t"])


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """One of Anthropic's events, written in any way, with or without metrics."""
    members: dict[str, object] = {
        "type": draw(st.sampled_from(["message_start", "content_block_delta", "message_stop", "x"]))
    }
    members |= draw(st.dictionaries(st.text(min_size=1, max_size=8), json_values, max_size=3))
    if draw(st.booleans()):
        members[METRICS] = {"inputTokenCount": draw(st.integers(0, 99)), "t": draw(st.text())}
    names = draw(st.permutations(list(members)))
    text = json.dumps(
        {name: members[name] for name in names},
        ensure_ascii=draw(st.booleans()),
        separators=("," + draw(blanks), ":" + draw(blanks)),
    )
    return text.encode()


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """The payload of a chunk."""
    data = draw(
        events() | st.binary(max_size=4) | json_values.map(lambda one: json.dumps(one).encode())
    )
    members: dict[str, object] = {"bytes": b64encode(data).decode()}
    if draw(st.booleans()):
        members["p"] = draw(st.text(max_size=20))
    if draw(st.booleans()):
        members["other"] = draw(json_values)
    names = draw(st.permutations(list(members)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return json.dumps({name: members[name] for name in names}, separators=separators).encode()


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
other_headers = st.lists(
    st.tuples(names, st.integers(0, 9)), max_size=20, unique_by=lambda one: one[0]
).map(
    lambda found: b"".join(
        header(f"x-{name}", bytes([0, 0, 1, 2, 4, 8, 5, 5, 8, 16][kind]), kind)
        for name, kind in found
    )
)
one_frame = (
    st.builds(event_frame, st.sampled_from(["chunk", "chunk", "other"]), payloads())
    | st.builds(
        exception_frame,
        st.sampled_from(["throttlingException", "modelStreamErrorException", "newOne", ""]),
        st.fixed_dictionaries(
            {},
            optional={
                "message": st.text(max_size=20),
                "originalStatusCode": st.integers(-5, 1200),
                "originalMessage": st.text(max_size=5),
            },
        ).map(lambda one: json.dumps(one).encode())
        | st.binary(max_size=20),
    )
    | st.builds(frame, other_headers, st.binary(max_size=50))
)


def run(data: bytes, cuts: list[int]) -> tuple[bytes, bytes | None, bool]:
    decoder = EventStreamDecoder()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    out = b""
    for begin, end in pairwise(places):
        rest = data[begin:end]
        while rest:
            try:
                piece, rest = decoder.decode(rest, 1 << 18)
            except ValueError:
                return out, decoder.metrics, True
            out += piece
    return out, decoder.metrics, False


def parsed(stream: bytes) -> list[object]:
    """Events with their data as bytes, but that of errors, whose escapes are AWS's own."""
    blocks = [block.split(b"\ndata: ", 1) for block in stream.split(b"\n\n")[:-1]]
    return [[name, json.loads(data) if name == b"event: error" else data] for name, data in blocks]


@given(st.lists(one_frame, max_size=5), st.lists(st.integers(0), max_size=8))
def test_any_frames_and_cuts_give_what_the_twin_makes_of_them(
    frames: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(frames)
    out, metrics, failed = run(data, cuts)
    wanted, wanted_metrics, wanted_failure = decode(data)
    assert (metrics, failed) == (wanted_metrics, wanted_failure)
    assert parsed(out) == parsed(wanted)


@given(st.lists(one_frame, min_size=1, max_size=3), st.data())
def test_a_damaged_stream_is_refused_where_botocore_refuses_it(
    frames: list[bytes], data: st.DataObject
) -> None:
    stream = bytearray(b"".join(frames))
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] = data.draw(st.integers(0, 255))
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(stream))
    sound = b""
    try:
        for message in buffer:
            sound = bytes(stream)[: len(sound) + message.prelude.total_length]
    except Exception:  # struct.error, IndexError, too
        assert run(bytes(stream), [])[2] or decode(sound)[2]
    else:
        assert run(bytes(stream), [])[2] == decode(bytes(stream))[2]
    assert run(sound, []) == (*run(bytes(stream), [])[:2], run(sound, [])[2])


@given(st.lists(events(), max_size=5), st.lists(st.integers(0), max_size=8))
def test_events_go_to_frames_and_back_unchanged(found: list[bytes], cuts: list[int]) -> None:
    lines = [one.replace(b"\r", b" ").replace(b"\n", b" ") for one in found]
    stream = b"".join(
        b"event: %b\ndata: %b\n\n" % (json.loads(one)["type"].encode(), one) for one in lines
    )
    encoder = EventStreamEncoder()
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    made = b"".join(encoder.encode(stream[begin:end]) for begin, end in pairwise(places))
    buffer = EventStreamBuffer()
    buffer.add_data(made)
    assert [json.loads(message.payload)["bytes"] for message in buffer] == [
        b64encode(one).decode() for one in lines
    ]
    assert run(made, cuts)[0] == decode(made)[0]
