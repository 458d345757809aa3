import base64
import json

import pytest

from ccrelay.wire.thinking import looks_like_claudes, strip_foreign

CLAUDES = base64.b64encode(b"\x12" + bytes(range(100))).decode()
THEIRS = "demo-signature-1"

Block = dict[str, object]


def thinking(signature: str | None = CLAUDES, text: str = "hm") -> Block:
    block: Block = {"type": "thinking", "thinking": text}
    return block if signature is None else {**block, "signature": signature}


REDACTED: Block = {"type": "redacted_thinking", "data": "abc"}
TEXT: Block = {"type": "text", "text": "thinking aloud"}
CALL: Block = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": ""}]}
ASK = {"role": "user", "content": "go"}


def turn(*blocks: Block) -> dict[str, object]:
    return {"role": "assistant", "content": list(blocks)}


def body(*messages: object, **more: object) -> bytes:
    members = {"model": "m", "messages": messages, **more}
    return json.dumps(members, separators=(",", ":")).encode()


def stripped(raw: bytes, *, everything: bool = False) -> tuple[dict[str, object], int]:
    out, count = strip_foreign(raw, everything=everything)
    return json.loads(out), count


# ---- what a signature of Claude's looks like


def test_base64_of_a_message_that_begins_with_0x12_looks_like_claudes() -> None:
    assert looks_like_claudes(CLAUDES)
    for second in range(256):
        assert looks_like_claudes(base64.b64encode(bytes([0x12, second]) + bytes(60)).decode())


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        THEIRS,
        CLAUDES[:40],
        "0123456789abcdef" * 4,
        base64.b64encode(b"\x0a" + bytes(100)).decode(),
        CLAUDES[:-4] + "*" + CLAUDES[-3:],
        "claude#" + CLAUDES,
        CLAUDES + "\n",
    ],
)
def test_other_signatures_do_not_look_like_claudes(signature: str | None) -> None:
    assert not looks_like_claudes(signature)


# ---- blocks


@pytest.mark.parametrize("signature", [None, "", THEIRS])
def test_foreign_thinking_is_removed(signature: str | None) -> None:
    raw = body(ASK, turn(thinking(signature), TEXT), ASK)
    assert stripped(raw) == (json.loads(body(ASK, turn(TEXT), ASK)), 1)


def test_a_non_string_signature_is_foreign() -> None:
    raw = body(ASK, turn({"type": "thinking", "thinking": "x", "signature": 5}, TEXT), ASK)
    assert stripped(raw) == (json.loads(body(ASK, turn(TEXT), ASK)), 1)


def test_a_body_with_claudes_thinking_is_the_same_object() -> None:
    raw = body(ASK, turn(thinking(), REDACTED, TEXT, CALL), RESULT)
    out, count = strip_foreign(raw, everything=False)
    assert out is raw
    assert count == 0


def test_everything_removes_claudes_and_redacted_thinking() -> None:
    raw = body(ASK, turn(thinking(), REDACTED, TEXT), ASK, turn(thinking(THEIRS), TEXT), ASK)
    assert stripped(raw, everything=True) == (
        json.loads(body(ASK, turn(TEXT), ASK, turn(TEXT), ASK)),
        3,
    )


def test_a_turn_of_only_foreign_thinking_is_removed() -> None:
    raw = body(ASK, turn(thinking(THEIRS)), ASK)
    assert stripped(raw) == (json.loads(body(ASK, ASK)), 1)


def test_user_turns_and_tool_contents_are_left_alone() -> None:
    strange = {"role": "user", "content": [thinking(THEIRS)]}
    nested: Block = {"type": "tool_result", "tool_use_id": "t", "content": [thinking(THEIRS)]}
    raw = body(strange, {"role": "system", "content": [thinking(THEIRS)]}, turn(TEXT, nested))
    assert strip_foreign(raw, everything=True) == (raw, 0)


def test_all_other_bytes_stay_unchanged() -> None:
    raw = (
        b'{"model":"m","max_tokens":1e400,"messages":[{"x":[1.0, 2],"role":"assistant","content":['
        b'{"type":"thinking","thinking":"a"},{ "type":"text","text":"\\u00e9\\/","n":0.10}],'
        b'"y":-0},{"role":"user","content":"\\ud83d\\ude00"}],"tools":[ ]}'
    )
    expected = raw.replace(b'{"type":"thinking","thinking":"a"},', b"")
    assert strip_foreign(raw, everything=False) == (expected, 1)


# ---- the setting


ENABLED = {"type": "enabled", "budget_tokens": 31_999}
CLEARING = {"type": "clear_thinking_20251015", "keep": "all"}
CLEARING_TOOLS = {"type": "clear_tool_uses_20250919"}


@pytest.mark.parametrize("everything", [False, True])
def test_a_tool_turn_without_thinking_disables_thinking(everything: bool) -> None:
    raw = body(ASK, turn(thinking(THEIRS), CALL), RESULT, thinking=ENABLED, stream=True)
    expected = json.loads(body(ASK, turn(CALL), RESULT, stream=True))
    assert stripped(raw, everything=everything) == (expected, 1)


@pytest.mark.parametrize(
    ("edits", "left"), [([CLEARING], None), ([CLEARING, CLEARING_TOOLS], [CLEARING_TOOLS])]
)
def test_edits_that_need_thinking_are_removed_with_it(
    edits: list[Block], left: list[Block] | None
) -> None:
    raw = body(
        turn(thinking(THEIRS), CALL), RESULT, thinking=ENABLED, context_management={"edits": edits}
    )
    out, _ = stripped(raw)
    assert out.get("context_management") == (None if left is None else {"edits": left})


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            body(turn(thinking(THEIRS), CALL), RESULT, thinking={"type": "adaptive"}), id="adaptive"
        ),
        pytest.param(body(turn(thinking(THEIRS), TEXT), ASK, thinking=ENABLED), id="no tool"),
        pytest.param(
            body(
                turn(thinking(THEIRS), CALL),
                RESULT,
                turn(thinking(), CALL),
                RESULT,
                thinking=ENABLED,
            ),
            id="an earlier turn",
        ),
        pytest.param(
            body(turn(thinking(THEIRS), thinking(), CALL), RESULT, thinking=ENABLED),
            id="claude's thinking comes next",
        ),
        pytest.param(
            body(turn(TEXT, thinking(THEIRS), CALL), RESULT, thinking=ENABLED),
            id="it did not lead",
        ),
    ],
)
def test_the_thinking_setting_stays_otherwise(raw: bytes) -> None:
    out, count = stripped(raw)
    assert count == 1
    assert out["thinking"] == json.loads(raw)["thinking"]


def test_everything_also_covers_a_tool_turn_without_thinking() -> None:
    raw = body(turn(TEXT, CALL), RESULT, thinking=ENABLED)
    assert strip_foreign(raw, everything=False) == (raw, 0)
    assert stripped(raw, everything=True) == (json.loads(body(turn(TEXT, CALL), RESULT)), 1)


def test_the_last_remaining_turn_decides() -> None:
    raw = body(turn(thinking(THEIRS), CALL), RESULT, turn(thinking(THEIRS)), ASK, thinking=ENABLED)
    assert stripped(raw) == (json.loads(body(turn(CALL), RESULT, ASK)), 2)


# ---- hostile bodies


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"thinking",
        b'["thinking"]',
        b'{"messages":"thinking"}',
        b'{"messages":[7,null,"thinking",{"role":"assistant","content":"thinking"}]}',
        b'{"messages":[{"role":"assistant","content":[7,"thinking",{"type":["thinking"]}]}]}',
        b'{"messages":[{"role":"assistant","content":[' + b"[" * 50_000 + b'"thinking"',
        b'{"messages":[{"role":"assistant","content":[{"type":"thinking"',
        b'{"thinking":7,"messages":[{"role":"assistant","content":[]}]}',
        b'{"messages":[{"role":7,"content":[{"type":"thinking"}]}]}',
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_an_unreadable_body_is_returned_unchanged(raw: bytes, everything: bool) -> None:
    assert strip_foreign(raw, everything=everything) == (raw, 0)
