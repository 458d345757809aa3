"""Leaving thinking out of a body changes nothing else, and never what may be Claude's."""

import base64
import json
from typing import Any

from hypothesis import given, settings, strategies as st

from ccrelay.wire.bodies import read_body, read_items, read_members
from ccrelay.wire.thinking import THINKING, looks_like_claudes, strip_foreign

# No deadline: how long an example takes says something about the machine, not about the code.
CALM = settings(deadline=None, max_examples=150)

# Written out as text, so that no encoder of ours decides how a value is spelt.
VALUES = st.sampled_from(
    ["0", "-0", "1.0", "1e400", "9" * 40, r'"\u0041\/"', r'"\ud83d\ude00"', "null", '{"a": [ 1 ]}']
)
CLAUDES = st.binary(min_size=48, max_size=90).map(
    lambda data: base64.b64encode(b"\x12" + data).decode()
)
SIGNATURES = st.none() | CLAUDES | st.sampled_from(["", "demo-signature-1", "ab12" * 20, "Eg"])
GAP = st.sampled_from(["", " ", "\n"])


@st.composite
def blocks(draw: st.DrawFn) -> str:
    extra = f'"x":{draw(VALUES)}'
    gap = draw(GAP)
    kind = draw(st.sampled_from(["thinking", "thinking", "redacted_thinking", "text", "tool_use"]))
    signature = draw(SIGNATURES) if kind == "thinking" else None
    signed = "" if signature is None else f',"signature":"{signature}"'
    return f'{{{gap}"type":{gap}"{kind}",{extra}{signed}{gap}}}'


@st.composite
def turns(draw: st.DrawFn) -> str:
    role = draw(st.sampled_from(["user", "assistant", "assistant", "system"]))
    content = draw(
        st.lists(blocks(), max_size=4).map(lambda items: f"[{','.join(items)}]") | VALUES
    )
    return f'{{"role":"{role}","content":{content},"y":{draw(VALUES)}}}'


SETTINGS = st.sampled_from(
    ["", '"thinking":{"type":"enabled","budget_tokens":1.0},', '"thinking":{"type":"adaptive"},']
)
BODIES = st.builds(
    lambda messages, setting, extra: (
        f'{{"model":"m",{setting}"messages":[{",".join(messages)}],"z":{extra}}}'.encode()
    ),
    st.lists(turns(), max_size=5),
    SETTINGS,
    VALUES,
)


def signature_of(block: Any) -> str | None:
    found = block.get("signature")
    return found if isinstance(found, str) else None


def goes(block: Any, everything: bool) -> bool:
    if not isinstance(block, dict) or block.get("type") not in THINKING:
        return False
    return everything or (
        block["type"] == "thinking" and not looks_like_claudes(signature_of(block))
    )


def expected_messages(messages: list[Any], everything: bool) -> list[Any]:
    kept = []
    for turn in messages:
        content = turn["content"]
        if turn["role"] == "assistant" and isinstance(content, list) and content:
            left = [block for block in content if not goes(block, everything)]
            if not left:
                continue
            turn = {**turn, "content": left}
        kept.append(turn)
    return kept


def raw_blocks(body: bytes) -> list[bytes]:
    """The bytes of every block of every turn, in order."""
    found = []
    for turn in read_items(read_body(body)["messages"]) or []:
        members = read_members(turn) or {}
        found += [bytes(block) for block in read_items(members["content"]) or []]
    return found


@CALM
@given(BODIES, st.booleans())
def test_only_thinking_that_has_to_go_goes(body: bytes, everything: bool) -> None:
    out, count = strip_foreign(body, everything=everything)
    before, after = json.loads(body), json.loads(out)
    assert after["messages"] == expected_messages(before["messages"], everything)
    gone = before.keys() - after.keys()
    assert gone <= {"thinking"}
    if gone:
        assert before["thinking"]["type"] == "enabled"
    assert all(after[name] == before[name] for name in after if name != "messages")
    assert (count == 0) == (out == body)


@CALM
@given(BODIES, st.booleans())
def test_what_stays_is_the_bytes_it_was(body: bytes, everything: bool) -> None:
    out, count = strip_foreign(body, everything=everything)
    before, after = raw_blocks(body), raw_blocks(out)
    remaining = iter(before)
    assert all(block in remaining for block in after), "in order, byte for byte"
    gone = len(before) - len(after)
    assert count == (gone or int("thinking" in read_body(body).keys() - read_body(out).keys()))
    top, out_top = read_body(body), read_body(out)
    assert all(bytes(out_top[name]) == bytes(top[name]) for name in out_top if name != "messages")


@CALM
@given(BODIES, st.booleans())
def test_a_second_time_finds_nothing_more(body: bytes, everything: bool) -> None:
    once, _ = strip_foreign(body, everything=everything)
    assert strip_foreign(once, everything=everything) == (once, 0)


@CALM
@given(BODIES)
def test_a_block_that_may_be_claudes_is_never_left_out_unasked(body: bytes) -> None:
    def claudes(data: bytes) -> list[bytes]:
        return [block for block in raw_blocks(data) if looks_like_claudes(_signed(block))]

    out, _ = strip_foreign(body, everything=False)
    assert claudes(out) == claudes(body)


def _signed(block: bytes) -> str | None:
    parsed = json.loads(block)
    return signature_of(parsed) if isinstance(parsed, dict) else None


@CALM
@given(
    BODIES,
    st.integers(min_value=0, max_value=400),
    st.sampled_from([b"", b'"', b"[", b"}", b"\xff", b"\\ud800", b'"thinking"']),
    st.booleans(),
)
def test_broken_bodies_raise_nothing(body: bytes, at: int, noise: bytes, everything: bool) -> None:
    broken = body[:at] + noise + body[at + 1 :]
    out, count = strip_foreign(broken, everything=everything)
    assert isinstance(out, bytes)
    assert (count == 0) == (out is broken)
