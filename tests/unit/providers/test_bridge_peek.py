import pytest
from msgspec import Raw

from ccrelay.providers.bridge_peek import looker


def test_words_and_values() -> None:
    found = looker(("type", "name"), ("class", "x y", "name")).look(
        Raw(b'{"type":"a","name":"b","class": [1,{}] ,"x y":null,"z":1}')
    )
    assert found is not None
    assert found.words == {"type": "a", "name": "b"}
    assert {name: bytes(value) for name, value in found.values.items()} == {
        "class": b"[1,{}]",
        "x y": b"null",
    }


def test_another_type_is_no_word() -> None:
    for wrong in (b"1", b"null", b"[]", b'{"type":"x"}', b"true"):
        found = looker(("type",), ()).look(Raw(b'{"type":%b}' % wrong))
        assert found is not None
        assert found.words == {}


@pytest.mark.parametrize("value", [b"[]", b"1", b'"x"', b"{", b'{"type":"\\ud800"}', b""])
def test_what_is_no_object_or_unreadable(value: bytes) -> None:
    assert looker(("type",), ("a",)).look(Raw(value)) is None


def test_the_same_looker_for_the_same_names() -> None:
    assert looker(("a",), ("b",)) is looker(("a",), ("b",))
