import json
from typing import Any

import pytest

from ccrelay.config.model import Model, Provider
from ccrelay.wire import models
from ccrelay.wire.matching import ModelMatcher

EVERYTHING = ModelMatcher({}, ["*"])


def page(entries: list[models.ModelEntry], *args: Any) -> Any:
    return json.loads(models.model_list(entries, *args))


def entries(*ids: str) -> list[models.ModelEntry]:
    return models.configured_entries(Provider(name="p", models=list(ids)))


def test_the_list_has_the_discovery_shape() -> None:
    listed = page(entries("claude-opus-5-5", "glm-5.3"))
    assert listed["has_more"] is False
    assert (listed["first_id"], listed["last_id"]) == ("claude-opus-5-5", "glm-5.3")
    assert listed["data"][0] == {
        "type": "model",
        "id": "claude-opus-5-5",
        "display_name": "Claude Opus 5.5",
        "created_at": "2025-01-01T00:00:00Z",
    }


def test_an_empty_list_is_a_list() -> None:
    assert page([]) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_configured_names_are_models_and_mapping_keys_but_no_globs() -> None:
    provider = Provider(
        name="p",
        models=["glm-5.3", "glm-*", Model(id="big", display_name="Big", max_input_tokens=5)],
        model_mapping={"claude-*": "glm-5.3", "my-claude": "glm-5.3", "x[1m]": "glm-5.3"},
    )
    found = {entry.id: json.loads(entry.body) for entry in models.configured_entries(provider)}
    assert set(found) == {"glm-5.3", "big", "my-claude", "x[1m]"}
    assert found["big"]["display_name"] == "Big"
    assert found["big"]["max_input_tokens"] == 5
    assert "max_input_tokens" not in found["glm-5.3"]


def test_a_description_is_shown_when_there_is_one() -> None:
    provider = Provider(name="p", models=[Model(id="m", description="slow, good")])
    (entry,) = models.configured_entries(provider)
    assert json.loads(entry.body)["description"] == "slow, good"


def test_discovered_anthropic_models_keep_every_member() -> None:
    row = b'{"type":"model","id":"claude-x","display_name":"X","created_at":"c","max_tokens":1.0}'
    (entry,) = models.discovered_entries(b'{"data":[%b]}' % row, EVERYTHING)
    assert entry.id == "claude-x"
    assert entry.body == row


def test_missing_members_of_a_discovered_model_are_filled_in() -> None:
    (entry,) = models.discovered_entries(b'{"data":[{"type":"model","id":"a-b"}]}', EVERYTHING)
    shown = json.loads(entry.body)
    assert (shown["display_name"], shown["created_at"]) == ("A B", models.CREATED_AT)


def test_openai_lists_are_understood() -> None:
    listing = b'{"object":"list","data":[{"id":"qwen3:8b","object":"model","created":1}]}'
    (entry,) = models.discovered_entries(listing, EVERYTHING)
    assert json.loads(entry.body)["type"] == "model"
    assert "object" not in json.loads(entry.body)


def test_unserved_models_are_not_listed() -> None:
    listing = b'{"data":[{"id":"glm-5.3"},{"id":"gpt-x"}]}'
    found = models.discovered_entries(listing, ModelMatcher({}, ["glm-*"]))
    assert [entry.id for entry in found] == ["glm-5.3"]


@pytest.mark.parametrize(
    "listing", [b"", b"<html>", b"[]", b'{"data":5}', b'{"data":[5,{"id":7},{"id":""},{}]}']
)
def test_an_invalid_list_has_no_models(listing: bytes) -> None:
    assert models.discovered_entries(listing, EVERYTHING) == []


def test_configured_entries_win_over_discovered_ones() -> None:
    own = models.configured_entries(Provider(name="p", models=[Model(id="m", display_name="Mine")]))
    theirs = models.discovered_entries(b'{"data":[{"id":"m"},{"id":"n"}]}', EVERYTHING)
    merged = models.merge([own, theirs])
    assert [entry.id for entry in merged] == ["m", "n"]
    assert json.loads(merged[0].body)["display_name"] == "Mine"


def test_pages_go_forward_and_backward() -> None:
    five = entries("a", "b", "c", "d", "e")

    def ids(listed: Any) -> tuple[list[str], bool]:
        return [row["id"] for row in listed["data"]], listed["has_more"]

    assert ids(page(five, 2)) == (["a", "b"], True)
    assert ids(page(five, 2, "b")) == (["c", "d"], True)
    assert ids(page(five, 2, "d")) == (["e"], False)
    assert ids(page(five, 2, None, "d")) == (["b", "c"], True)
    assert ids(page(five, 2, None, "b")) == (["a"], False)
    assert ids(page(five, 0)) == (["a"], True)


def test_an_unknown_cursor_gives_an_empty_page() -> None:
    for cursors in (("gone", None), (None, "gone")):
        listed = page(entries("a"), 5, *cursors)
        assert (listed["data"], listed["has_more"]) == ([], False)


def test_find_model_finds_by_id() -> None:
    listed = entries("claude-opus-5-5")
    body = models.find_model(listed, "claude-opus-5-5")
    assert body is not None
    assert json.loads(body)["id"] == "claude-opus-5-5"
    assert models.find_model(listed, "claude-opus-5-5[1m]") == body
    assert models.find_model(listed, "other") is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=5&after_id=a%2Fb", (5, "a/b", None)),
        ("x=1&" * 31 + "limit=5", (5, None, None)),
        ("x=1&" * 32 + "limit=5", (1000, None, None)),
        ("before_id=x", (1000, None, "x")),
        ("limit=-1", (1000, None, None)),
        ("limit=many&limit=7", (7, None, None)),
        ("limit=" + "9" * 5000, (1000, None, None)),
        ("", (1000, None, None)),
        ("&&=;%zz", (1000, None, None)),
    ],
)
def test_page_query_reads_limit_and_cursors(
    query: str, expected: tuple[int, str | None, str | None]
) -> None:
    assert models.page_query(query) == expected


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("claude-haiku-4-5-20251001", "Claude Haiku 4.5"),
        ("claude-sonnet-5[1m]", "Claude Sonnet 5 (1M)"),
        ("glm-5.3-flash", "GLM 5.3 Flash"),
        ("qwen3-coder:30b", "Qwen3 Coder 30B"),
        ("anthropic/claude-opus-5", "Claude Opus 5"),
        ("gpt-oss:120b", "GPT OSS 120B"),
        ("---", "---"),
    ],
)
def test_readable_names_are_made_from_ids(model: str, name: str) -> None:
    assert models.readable(model) == name
