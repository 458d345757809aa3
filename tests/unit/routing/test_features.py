"""What is read from heads and bodies; json.loads is the judge of bodies."""

import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from ccrelay.routing.features import (
    COMPACTION,
    Features,
    read_features,
    traffic_of,
    traffic_of_head,
)
from ccrelay.types import RequestClass, TrafficClass

MESSAGES = RequestClass.MESSAGES
MAIN, SUBAGENT, SEARCH = TrafficClass.MAIN, TrafficClass.SUBAGENT, TrafficClass.WEB_SEARCH
COMPACTING, BACKGROUND = TrafficClass.COMPACTION, TrafficClass.BACKGROUND

# Short forms of what the client sends (client reference, section 5).
COMPACT_TEXT = COMPACTION.decode() + ". Do NOT call any tools."
TEXT = {"type": "text", "text": "Hello"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
BASH = {"name": "Bash", "description": 'Says "type": "image".', "input_schema": {"type": "object"}}
SEARCH_TOOL = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
ADAPTIVE = {"type": "adaptive", "display": "updates"}
FORMAT = {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}}


def attribution(more: str = "") -> dict[str, object]:
    text = f"x-anthropic-billing-header: cc_version=2.1.330.d01; cc_entrypoint=cli;{more}"
    return {"type": "text", "text": text}


def turn(*content: object, role: str = "user") -> dict[str, object]:
    return {"role": role, "content": list(content)}


def result(*content: object) -> dict[str, object]:
    return {"tool_use_id": "toolu_1", "type": "tool_result", "content": list(content)}


def request(**members: object) -> dict[str, object]:
    """A main turn, with members replaced."""
    body = {
        "model": "claude-opus-5-5",
        "messages": [turn(TEXT), {"role": "system", "content": "Environment"}],
        "system": [attribution(), {"type": "text", "text": "You are Claude Code."}],
        "tools": [BASH, {**BASH, "name": "Read"}],
        "metadata": {"user_id": '{"session_id":"0b2a"}'},
        "max_tokens": 128000,
        "thinking": ADAPTIVE,
        "output_config": {"effort": "medium"},
        "stream": True,
        **members,
    }
    return {name: value for name, value in body.items() if value is not ...}


SUBAGENT_SYSTEM = [attribution(" cc_is_subagent=true;"), TEXT]
USE = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
TALK = [turn(TEXT), turn(USE, role="assistant")]
CORPUS: dict[str, tuple[dict[str, object], Features]] = {
    "main": (request(), Features(False, True, True, True, MAIN)),
    "an image": (request(messages=[turn(TEXT, IMAGE)]), Features(True, True, True, True, MAIN)),
    "an image in a tool result": (
        request(messages=[*TALK, turn(result(TEXT, IMAGE))]),
        Features(True, True, True, True, MAIN),
    ),
    "sub-agent": (request(system=SUBAGENT_SYSTEM), Features(False, True, True, True, SUBAGENT)),
    "title": (
        request(tools=[], thinking=..., output_config=FORMAT),
        Features(False, False, False, True, BACKGROUND),
    ),
    "compaction": (
        request(messages=[*TALK, turn(result(TEXT), {"type": "text", "text": COMPACT_TEXT})]),
        Features(False, True, True, True, COMPACTING),
    ),
    "compaction as plain text": (
        request(messages=[*TALK, {"role": "user", "content": COMPACT_TEXT}]),
        Features(False, True, True, True, COMPACTING),
    ),
    "compaction before a system turn": (
        request(
            messages=[
                {"role": "user", "content": COMPACT_TEXT},
                {"role": "system", "content": "Environment"},
            ]
        ),
        Features(False, True, True, True, COMPACTING),
    ),
    "compaction of a sub-agent": (
        request(system=SUBAGENT_SYSTEM, messages=[turn({"type": "text", "text": COMPACT_TEXT})]),
        Features(False, True, True, True, SUBAGENT),
    ),
    "web search": (
        request(tools=[SEARCH_TOOL], thinking=..., output_config=...),
        Features(False, False, True, True, SEARCH),
    ),
    "not streamed": (request(stream=False), Features(False, True, True, False, MAIN)),
    "thinking off": (
        request(thinking={"type": "disabled"}),
        Features(False, False, True, True, MAIN),
    ),
    "nothing but a question": (
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        Features(False, False, False, False, MAIN),
    ),
}


@pytest.mark.parametrize("name", CORPUS)
def test_every_kind_of_request_is_known_by_its_body(name: str) -> None:
    body, expected = CORPUS[name]
    assert read_features(json.dumps(body, separators=(",", ":")).encode()) == expected
    assert read_features(json.dumps(body, indent=1).encode()) == expected


OTHERWISE = {
    "a compaction that is over": [
        turn({"type": "text", "text": COMPACT_TEXT}),
        turn(TEXT, role="assistant"),
        turn(TEXT),
    ],
    "words in the middle of a text": [turn({"type": "text", "text": f"It says {COMPACT_TEXT}"})],
    "words in a tool result": [*TALK, turn(result({"type": "text", "text": COMPACT_TEXT}))],
    "words of the assistant": [turn(TEXT), turn({"type": "text", "text": COMPACT_TEXT}, role="a")],
    "words before the last text": [turn({"type": "text", "text": COMPACT_TEXT}, TEXT)],
    "an image that is only spoken of": [
        turn({"type": "text", "text": '{"type":"image"}'}, {"type": "text", "text": '"image"'})
    ],
    "an image as a key": [turn({**USE, "input": {"image": 1, "kind": "image", 'x"type': "image"}})],
    "a sub-agent that is only spoken of": [turn({"type": "text", "text": "cc_is_subagent=true"})],
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_words_elsewhere_tell_nothing(name: str) -> None:
    body = request(messages=OTHERWISE[name])
    for separators in ((",", ":"), (" , ", " : ")):
        raw = json.dumps(body, separators=separators).encode()
        assert read_features(raw) == Features(False, True, True, True, MAIN)


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [BASH], "thinking": ..., "output_config": FORMAT},  # it has tools
        {"tools": [], "output_config": FORMAT},  # it thinks
        {"tools": [], "thinking": ..., "output_config": {"effort": "low"}},
        {"tools": [], "thinking": ..., "output_config": {"format": None}},
        {"tools": [SEARCH_TOOL, BASH], "thinking": ...},
        {"tools": [BASH, SEARCH_TOOL], "thinking": ...},
        {"tools": [{**SEARCH_TOOL, "type": "web_fetch_20250910"}], "thinking": ...},
        {"system": "cc_is_subagent=true"},
        {"system": [TEXT, attribution("cc_is_subagent=true;")]},
        {"system": [{"type": "text", "text": "Look for cc_is_subagent=true;"}]},
    ],
)
def test_half_a_tell_is_none(members: dict[str, object]) -> None:
    assert read_features(json.dumps(request(**members)).encode()).traffic is MAIN


# ---- any body


def walk(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def last_user_text(messages: object) -> str:
    turns = messages if isinstance(messages, list) else []
    content = next((t.get("content") for t in reversed(turns) if t.get("role") == "user"), None)
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content or () if block.get("type") == "text"]
    return texts[-1] if texts else ""


def judged(raw: bytes) -> Features:
    """The same answers by decoding everything."""
    body = json.loads(raw)
    messages, tools, thinking = body.get("messages"), body.get("tools"), body.get("thinking")
    output = body.get("output_config")
    has_tools = isinstance(tools, list) and bool(tools)
    thinks = isinstance(thinking, dict) and thinking.get("type") != "disabled"
    system = body.get("system")
    first = system[0].get("text", "") if isinstance(system, list) and system else ""
    if has_tools and len(tools) == 1 and str(tools[0].get("type")).startswith("web_search_"):
        traffic = SEARCH
    elif first.startswith("x-anthropic-billing-header:") and "cc_is_subagent=true" in first:
        traffic = SUBAGENT
    elif last_user_text(messages).startswith(COMPACTION.decode()):
        traffic = COMPACTING
    elif not has_tools and not thinks and isinstance(output, dict) and output.get("format"):
        traffic = BACKGROUND
    else:
        traffic = MAIN
    return Features(
        images=any(found.get("type") == "image" for found in walk(messages)),
        thinking=thinks,
        tools=has_tools,
        stream=body.get("stream") is True,
        traffic=traffic,
    )


WORDS = st.sampled_from(
    ['"type":"image"', "image", COMPACT_TEXT, "cc_is_subagent=true", "\\", '\\"', "\u0085é😀", ""]
)
TEXTS = st.lists(WORDS, max_size=3).map(" ".join)
TEXT_BLOCKS = TEXTS.map(lambda text: {"type": "text", "text": text})
PLAIN_BLOCKS = st.just(IMAGE) | TEXT_BLOCKS
BLOCKS = (
    PLAIN_BLOCKS
    | st.lists(PLAIN_BLOCKS, max_size=3).map(lambda inner: result(*inner))
    | TEXTS.map(lambda text: {**USE, "input": {text: text, "image": ["image", {"kind": "image"}]}})
)
CONTENTS = TEXTS | st.lists(BLOCKS, max_size=3)
TURNS = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": CONTENTS}
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.integers()},
    optional={
        "messages": st.lists(TURNS, max_size=4) | st.none(),
        "system": TEXTS
        | st.just(SUBAGENT_SYSTEM)
        | st.lists(TEXT_BLOCKS | st.just(attribution()), max_size=2),
        "tools": st.lists(st.sampled_from([BASH, SEARCH_TOOL]), max_size=2) | st.none(),
        "thinking": st.sampled_from([ADAPTIVE, {"type": "disabled"}, {}, None, 5, "on"]),
        "output_config": st.sampled_from([FORMAT, {"effort": "low"}, {}, None]),
        "stream": st.sampled_from([True, False, None, "true"]),
        "metadata": st.fixed_dictionaries({"messages": st.just([turn(IMAGE)])}),
    },
)
LAYOUTS = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 2]),
        "separators": st.sampled_from([(",", ":"), (" ,\n", "\t:\r\n ")]),
        "ensure_ascii": st.booleans(),
    }
)


@given(BODIES, LAYOUTS, st.randoms(use_true_random=False))
def test_features_are_those_of_the_decoded_body(body, layout, rng) -> None:  # type: ignore[no-untyped-def]
    order = list(body)
    rng.shuffle(order)
    raw = json.dumps({name: body[name] for name in order}, **layout).encode()
    assert read_features(raw) == judged(raw)


@given(BODIES, st.randoms(use_true_random=False))
def test_members_may_be_spelt_with_escapes(body, rng) -> None:  # type: ignore[no-untyped-def]
    def spelt(name: str) -> str:
        return "".join(f"\\u{ord(c):04x}" if rng.random() < 0.5 else c for c in name)

    members = (f'"{spelt(name)}":{json.dumps(value)}' for name, value in body.items())
    raw = ("{" + ",".join(members) + "}").encode()
    assert read_features(raw) == judged(raw)


@given(BODIES, st.data())
def test_a_body_that_breaks_off_is_read_as_far_as_it_goes(body, data) -> None:  # type: ignore[no-untyped-def]
    raw = json.dumps(body).encode()
    cut = data.draw(st.integers(0, len(raw)))
    assert isinstance(read_features(raw[:cut]), Features)


@given(st.binary(max_size=40))
def test_any_bytes_have_features(raw: bytes) -> None:
    for body in (raw, b'{"thinking":' + raw, b'{"tools":[' + raw, b'{"messages":[{' + raw):
        assert isinstance(read_features(body), Features)


HOSTILE = {
    "objects": b'{"messages":[{"x":"%b"}' % COMPACTION + b",{}" * 1_000_000 + b"]}",
    "words": b'{"messages":["a"' + b',"image"' * 400_000 + b"]}",
    "types": b'{"messages":["image"' + b',"type"  ' * 400_000 + b"]}",
    "depth": b'{"messages":' + b"[" * 3_000_000,
    "spaces": b'{"messages":[{"x":"%b"' % COMPACTION + b" " * 3_000_000 + b"}]}",
    "tools": b'{"tools":[' + b"{}," * 1_000_000 + b"{}]}",
    "deep thinking": b'{"thinking":' + b'{"a":' * 9000 + b"1" + b"}" * 9000 + b"}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_costs_no_more_than_its_length(name: str) -> None:
    # Three megabytes take some 10 ms; the bound leaves room for a busy machine.
    began = time.process_time()
    read_features(HOSTILE[name])
    assert time.process_time() - began < 0.5


# ---- heads


@pytest.mark.parametrize(
    ("agent", "hint", "kind", "expected"),
    [
        (None, None, MESSAGES, None),
        (None, b"main", MESSAGES, MAIN),
        (None, b"subagent", MESSAGES, SUBAGENT),
        (None, b"workflow", MESSAGES, SUBAGENT),
        (None, b"compaction", MESSAGES, COMPACTING),
        (None, b"auxiliary", MESSAGES, BACKGROUND),
        (None, b"something new", MESSAGES, None),
        (b"a0123456789abcdef", None, MESSAGES, SUBAGENT),
        (b"a0123456789abcdef", b"main", MESSAGES, SUBAGENT),
        (b"", None, MESSAGES, None),
        (b"a0", b"main", RequestClass.COUNT_TOKENS, TrafficClass.COUNT_TOKENS),
    ],
)
def test_path_agent_and_hint_give_the_traffic_class(
    agent: bytes | None, hint: bytes | None, kind: RequestClass, expected: TrafficClass | None
) -> None:
    assert traffic_of_head(agent, hint, kind) is expected


def test_the_body_gives_the_traffic_class_where_the_head_does_not() -> None:
    assert traffic_of(None, None) is MAIN
    assert traffic_of(SUBAGENT, None) is SUBAGENT
    assert traffic_of(None, Features(traffic=BACKGROUND)) is BACKGROUND
    assert traffic_of(MAIN, Features(traffic=BACKGROUND)) is MAIN


def test_a_search_is_one_whoever_asks_for_it_but_counting_is_counting() -> None:
    search = Features(traffic=SEARCH)
    assert traffic_of(SUBAGENT, search) is SEARCH
    assert traffic_of(TrafficClass.COUNT_TOKENS, search) is TrafficClass.COUNT_TOKENS
