import pytest

from ccrelay.demo import models
from ccrelay.errors import BadRequest, NotFound

IDS = [model["id"] for model in models.MODELS]


def test_pagination_returns_every_model_once():
    result, query = [], {"limit": "4"}
    while True:
        page = models.page(query)
        result += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            break
        query["after_id"] = page["last_id"]
    assert result == IDS


def test_before_id_returns_the_preceding_models():
    page = models.page({"before_id": IDS[3], "limit": "2"})
    assert (page["first_id"], page["last_id"], page["has_more"]) == (IDS[1], IDS[2], True)


def test_a_page_beyond_the_end_is_empty():
    page = models.page({"after_id": IDS[-1]})
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"after_id": "unknown"}]
)
def test_invalid_queries_are_rejected(query):
    with pytest.raises(BadRequest):
        models.page(query)


def test_find_returns_the_model_or_raises():
    assert models.find(IDS[1])["id"] == IDS[1]
    with pytest.raises(NotFound):
        models.find("claude-unknown")
