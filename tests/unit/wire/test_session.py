import json

import pytest
from hypothesis import given, strategies as st

from ccrelay.wire.session import SYSTEM_BYTES, USER_BYTES, conversation_id, conversation_key

UUID = "0b2a4ee1-8c1d-4f11-a4d3-3b4f3e5a7d11"


def metadata(user_id: object) -> bytes:
    return json.dumps({"user_id": user_id}).encode()


MODERN = metadata(json.dumps({"device_id": "d", "account_uuid": "", "session_id": UUID}))
LEGACY = metadata(f"user_abc_account_def_session_{UUID}")


def test_the_header_takes_precedence() -> None:
    assert conversation_id(b"from-header", MODERN) == "from-header"


@pytest.mark.parametrize("raw", [MODERN, LEGACY])
def test_both_forms_of_user_id_are_read(raw: bytes) -> None:
    assert conversation_id(None, raw) == UUID


@pytest.mark.parametrize("header", [b"", b"a\x00b", b"a b", b"\xff", b"x" * 200])
def test_a_header_with_unsafe_characters_is_ignored(header: bytes) -> None:
    assert conversation_id(header, MODERN) == UUID
    assert conversation_id(header, None) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        metadata(None),
        metadata(5),
        metadata("alice"),
        metadata("{broken"),
        metadata('{"session_id":7}'),
        metadata('{"session_id":"a\\nb"}'),
        metadata("user_session_"),
        b'{"user_id":"\\ud800"}',
    ],
)
def test_metadata_without_a_session_gives_none(raw: bytes) -> None:
    assert conversation_id(None, raw) is None


# ---- a key for affinity

ATTRIBUTION = "x-anthropic-billing-header: cc_version=2.1.330.d01; cc_entrypoint=cli;"


def key_of(body: object, **layout: object) -> bytes | None:
    return conversation_key(None, json.dumps(body, **layout).encode())  # type: ignore[arg-type]


def conversation(
    content: object, system: object = "You help.", **more: object
) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}], "system": system, **more}


def blocks(*texts: str) -> list[dict[str, object]]:
    return [{"type": "text", "text": text} for text in texts]


def test_with_a_header_the_body_is_not_read() -> None:
    assert conversation_key(UUID.encode(), None) == UUID.encode()
    assert conversation_key(UUID.encode(), b"{broken") == UUID.encode()


def test_the_session_of_the_metadata_is_the_same_key_as_the_header() -> None:
    body = b'{"messages":[],"metadata":%b}' % MODERN
    assert conversation_key(None, body) == conversation_key(b"not plain", body) == UUID.encode()


def test_without_an_id_the_beginning_of_the_conversation_is_the_key() -> None:
    first = conversation("Mend the boiler.")
    assert key_of(first) != key_of(conversation("Mend the roof."))
    assert key_of(first) != key_of(conversation("Mend the boiler.", system="You joke."))
    grown = conversation("Mend the boiler.")
    grown["messages"] += [  # type: ignore[operator]
        {"role": "assistant", "content": "How?"},
        {"role": "user", "content": "Well."},
    ]
    assert key_of(grown) == key_of(first)


def test_without_any_text_there_is_no_key() -> None:
    picture = [{"type": "image", "source": {"data": "AAAA"}}]
    for body in ({}, {"system": "s"}, conversation([]), conversation(""), conversation(picture)):
        assert key_of(body) is None
    for raw in (None, b"", b"[]", b"{", b'{"messages":5}', b'{"messages":[{"role":5}]}'):
        assert conversation_key(None, raw) is None
    assert conversation_key(b"not plain", None) is None


def test_the_version_of_the_client_does_not_change_the_key() -> None:
    new = blocks(ATTRIBUTION, "You help.")
    old = blocks(ATTRIBUTION.replace("330", "329"), "You help.")
    assert key_of(conversation("Hi", new)) == key_of(conversation("Hi", old))
    assert key_of(conversation("Hi", new)) == key_of(conversation("Hi", blocks("You help.")))


def test_leading_system_turns_are_skipped() -> None:
    body = conversation("Hi")
    body["messages"] = [{"role": "system", "content": "It is noon."}, *body["messages"]]  # type: ignore[misc]
    assert key_of(body) == key_of(conversation("Hi"))


def test_only_the_beginning_of_the_text_counts() -> None:
    long = "u" * USER_BYTES
    assert key_of(conversation(long + "a")) == key_of(conversation(blocks(long, "b")))
    clock = "s" * SYSTEM_BYTES
    assert key_of(conversation("Hi", clock + "9:00")) == key_of(conversation("Hi", clock + "9:01"))
    key = key_of(conversation(blocks(*["u" * 1000] * 100), blocks(*["s" * 1000] * 100)))
    assert key is not None
    assert len(key) == SYSTEM_BYTES + 1 + USER_BYTES


def test_a_key_made_of_text_is_never_an_id() -> None:
    key = key_of(conversation("a", system="b"))
    assert key == b"b\0a"


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=4).filter(any),
    st.booleans(),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_blocks_and_plain_text_give_the_same_key(
    texts: list[str], cached: bool, indent: int | None, escaped: bool
) -> None:
    content = blocks(*texts)
    if cached:
        content[-1]["cache_control"] = {"type": "ephemeral"}
    first = key_of(conversation(content), indent=indent, ensure_ascii=escaped)
    later = key_of(conversation("".join(texts)), ensure_ascii=escaped)
    assert first == later is not None


@given(st.binary(max_size=60))
def test_any_bytes_give_a_key_or_none(body: bytes) -> None:
    for raw in (body, b'{"messages":' + body, b'{"messages":[{"role":"user","content":' + body):
        key = conversation_key(None, raw)
        assert key is None or len(key) <= SYSTEM_BYTES + 1 + USER_BYTES
