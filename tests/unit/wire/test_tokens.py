import json

import pytest

from ccrelay.wire import tokens


def body(**members: object) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def test_text_counts_by_length_plus_a_constant_per_message() -> None:
    count = tokens.estimate(body(messages=[user("x" * 3600)]))
    assert count == 1000 + tokens.MESSAGE_TOKENS


def test_blocks_and_strings_of_the_same_text_count_the_same() -> None:
    text = "words " * 100
    blocks = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    assert tokens.estimate(body(messages=[user(blocks)])) == tokens.estimate(
        body(messages=[user(text)])
    )


def test_system_and_tools_count() -> None:
    empty = tokens.estimate(body(messages=[]))
    assert tokens.estimate(body(messages=[], system="x" * 360)) == 100
    assert tokens.estimate(body(messages=[], system=[{"type": "text", "text": "x" * 360}])) == 100
    assert tokens.estimate(body(messages=[], tools=[{"name": "x" * 400}])) > empty + 100


def test_an_image_counts_a_constant() -> None:
    def with_image(data: str) -> int:
        source = {"type": "base64", "media_type": "image/png", "data": data}
        return tokens.estimate(body(messages=[user([{"type": "image", "source": source}])]))

    assert with_image("A") == with_image("A" * 1_000_000)
    assert with_image("A") == tokens.IMAGE_TOKENS + tokens.MESSAGE_TOKENS


def test_a_document_counts_by_pages_or_by_its_text() -> None:
    def with_document(source: dict[str, str]) -> int:
        return tokens.estimate(body(messages=[user([{"type": "document", "source": source}])]))

    assert with_document({"type": "url"}) == tokens.PAGE_TOKENS + tokens.MESSAGE_TOKENS
    assert with_document({"type": "base64", "data": "A" * 10 * tokens.PAGE_BYTES}) > 10_000
    assert with_document({"type": "text", "data": "x" * 3600}) < 1100


def test_tool_calls_and_results_count_what_they_hold() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"a": "x" * 3600}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x" * 3600}
    nested = {"type": "tool_result", "content": [{"type": "text", "text": "x" * 3600}]}
    thought = {"type": "thinking", "thinking": "x" * 3600, "signature": "s" * 9999}
    for block in (call, result, nested, thought):
        assert 1000 <= tokens.estimate(body(messages=[user([block])])) <= 1010


def test_chinese_text_counts_by_bytes() -> None:
    text = "\u4f60\u597d" * 500
    raw = json.dumps({"messages": [user(text)]}, ensure_ascii=False).encode()
    assert 700 < tokens.estimate(raw) < 1100


def test_one_invalid_turn_does_not_affect_the_others() -> None:
    odd = {"role": "user", "content": [{"type": 5, "text": "x" * 360}]}
    count = tokens.estimate(body(messages=[user("x" * 3600), odd]))
    assert 1100 < count < 1150


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"[]",
        b'{"messages":5,"system":5}',
        b'{"messages":[1,null,"x"]}',
        b"\xff" * 50,
        b"[" * 100_000,
        b'{"messages":[{"content":' + b'[{"content":' * 500 + b'""' + b"}]" * 500 + b"}]}",
        b'{"system":"\\ud800"}',
    ],
)
def test_an_invalid_body_counts_at_least_one_token(garbage: bytes) -> None:
    assert tokens.estimate(garbage) >= 1


def test_the_answer_has_the_apis_shape_and_the_estimate_header() -> None:
    assert json.loads(tokens.answer(42)) == {"input_tokens": 42}
    assert tokens.ESTIMATE_HEADER == (b"x-ccrelay-estimate", b"true")
