"""Whatever a dialect edits, everything else comes out of it as the same bytes."""

import json

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import Raw

from ccrelay.config.model import Provider
from ccrelay.providers.registry import dialect_for
from ccrelay.types import RequestClass
from ccrelay.wire import bodies, tokens

# No deadline: how long an example takes says something about the machine, not about the code.
CALM = settings(deadline=None, max_examples=60)

# JSON is generated as text, so that no encoder of ours decides how a number or string is written.
SPACE = st.sampled_from(["", "", "", " ", "\n\t"])
NUMBERS = st.sampled_from(
    ["0", "-0", "1.0", "1e400", "-1E-400", "0.10", "12345678901234567890", "9" * 60]
) | st.integers().map(str)
ESCAPES = st.sampled_from(
    [r"\u0041", r"\/", r"\\", r"\"", r"\n", r"\ud83d\ude00", r"\u0000", "\u20ac", "\x7f"]
)
PLAIN = st.text(st.characters(codec="utf-8", exclude_characters='"\\', min_codepoint=32))
STRINGS = st.lists(ESCAPES | PLAIN, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
KEYS = st.text(st.sampled_from("abcdefgh_"), min_size=1, max_size=4).map(lambda key: f"x_{key}")
SCALARS = NUMBERS | STRINGS | st.sampled_from(["true", "false", "null"])


def _array(items: list[str], gap: str) -> str:
    return "[" + gap + f"{gap},".join(items) + gap + "]"


def _object(members: dict[str, str], gap: str = "") -> str:
    return "{" + ",".join(f'{gap}"{k}"{gap}:{gap}{v}{gap}' for k, v in members.items()) + "}"


VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.builds(_array, st.lists(inner, max_size=3), SPACE)
        | st.builds(_object, st.dictionaries(KEYS, inner, max_size=3), SPACE)
    ),
    max_leaves=12,
)
EXTRAS = st.dictionaries(KEYS, VALUES, max_size=4)


def provider(kind: str, **settings: object) -> Provider:
    resolved: dict[str, object] = {
        "base_url": "http://127.0.0.1:1",
        "auth": "bearer",
        "count_tokens": "estimate",
        "models": ["*"],
        "system_role": "user",
        "drop_betas": [],
        **settings,
    }
    return Provider(name="p", type=kind, **resolved)  # type: ignore[arg-type]


def compact(members: dict[str, str]) -> bytes:
    return _object(members).encode()


@CALM
@given(EXTRAS, SPACE, st.text(max_size=20))
def test_replacing_the_model_keeps_every_other_member(
    extras: dict[str, str], gap: str, model: str
) -> None:
    members = {"model": '"old"', **extras}
    top = bodies.read_body(_object(members, gap).encode())
    top["model"] = bodies.json_string(model)
    written = bytes(bodies.write(top))
    assert written.startswith(b'{"model":')
    rest = compact(extras)[1:]
    assert written == b'{"model":' + bytes(bodies.json_string(model)) + (
        b"," + rest if extras else rest
    )


@CALM
@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), VALUES, EXTRAS), max_size=5))
def test_folding_leaves_turns_that_are_no_system_turns_alone(
    turns: list[tuple[str, str, dict[str, str]]],
) -> None:
    texts = [
        _object({"role": f'"{role}"', "content": content, **extras})
        for role, content, extras in turns
    ]
    messages = Raw(_array(texts, " ").encode())
    assert bodies.fold_system_turns(messages) is messages


@CALM
@given(st.lists(st.sampled_from(["user", "assistant", "system"]), max_size=8), STRINGS, EXTRAS)
def test_folding_keeps_all_text_in_order_and_leaves_no_system_turn(
    roles: list[str], text: str, extras: dict[str, str]
) -> None:
    def turn(i: int, role: str) -> str:
        block = _object({"type": '"text"', "text": text, "x_mark": str(i), **extras})
        return _object({"role": f'"{role}"', "content": f"[{block}]"})

    messages = _array([turn(i, role) for i, role in enumerate(roles)], "").encode()
    folded = bodies.read_items(bodies.fold_system_turns(Raw(messages)))
    assert folded is not None
    marks: list[int] = []
    for raw in folded:
        members = bodies.read_members(raw)
        assert members is not None
        assert bytes(members["role"]) in (b'"user"', b'"assistant"')
        for block in bodies.read_items(members["content"]) or []:
            marks.append(json.loads(bytes(block))["x_mark"])
            tail = compact(extras)[1:-1]
            assert bytes(block).endswith(tail + b"}"), "a block is moved as the bytes it is"
    assert marks == list(range(len(roles)))


UNKNOWN_BLOCKS = st.lists(
    st.builds(lambda extras: _object({"type": '"future_block"', **extras}), EXTRAS), max_size=3
)


@CALM
@given(EXTRAS, EXTRAS, UNKNOWN_BLOCKS)
@pytest.mark.parametrize("kind", ["zai", "compatible", "anthropic"])
def test_unknown_members_and_blocks_survive_a_rewrite(
    kind: str, top: dict[str, str], turn: dict[str, str], blocks: list[str]
) -> None:
    system = '{"role":"system","content":"s"}'
    user = _object({"role": '"user"', "content": _array(blocks, ""), **turn})
    body = _object({"model": '"m"', "messages": f"[{user},{system}]", **top}).encode()
    rewritten = dialect_for(provider(kind)).rewrite(body, "glm-5.3", RequestClass.MESSAGES)
    content = _array([*blocks, '{"type":"text","text":"s"}'], "")
    expected = _object({"role": '"user"', "content": content, **turn})
    assert rewritten == compact({"model": '"glm-5.3"', "messages": f"[{expected}]", **top})


@CALM
@given(EXTRAS, EXTRAS, EXTRAS, UNKNOWN_BLOCKS)
def test_ollama_keeps_unknown_members_and_tells_of_unknown_blocks(
    top: dict[str, str], turn: dict[str, str], block: dict[str, str], unknown: list[str]
) -> None:
    known = _object({"type": '"text"', "text": '"t"', **block})
    user = _object({"role": '"user"', "content": _array([known, *unknown], ""), **turn})
    tool = _object({"name": '"n"', "defer_loading": "true", **block})
    body = compact({"model": '"m"', "messages": f"[{user}]", "tools": f"[{tool}]", **top})
    rewritten = dialect_for(provider("ollama")).rewrite(body, "q", RequestClass.MESSAGES)
    note = (
        '{"type":"text","text":'
        '"\\n[A block of type future_block was left out: it cannot be read here.]\\n"}'
    )
    content = _array([known, *[note for _ in unknown]], "")
    expected = {
        "model": '"q"',
        "messages": "[" + _object({"role": '"user"', "content": content, **turn}) + "]",
        "tools": "[" + _object({"name": '"n"', **block}) + "]",
        **top,
    }
    assert rewritten == compact(expected)


@CALM
@given(VALUES, VALUES, VALUES)
def test_an_estimate_is_found_for_any_json(system: str, messages: str, tools: str) -> None:
    body = _object({"system": system, "messages": messages, "tools": tools}).encode()
    assert 1 <= tokens.estimate(body) <= max(1000, len(body) * 10)


@CALM
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_a_bad_request(junk: bytes) -> None:
    assert tokens.estimate(junk) >= 1
    raw = Raw(junk)
    for result in (bodies.fold_system_turns(raw), bodies.convert_blocks(raw, lambda _, b: b)):
        assert isinstance(result, Raw)
