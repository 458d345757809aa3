import pytest

from ccrelay.demo import catalogue
from ccrelay.errors import BadRequest, NotFound

IDS = [model["id"] for model in catalogue.MODELS]


def test_pages_walked_forward_give_every_model_once():
    seen, query = [], {"limit": "4"}
    while True:
        page = catalogue.page(query)
        seen += [model["id"] for model in page["data"]]
        if not page["has_more"]:
            break
        query["after_id"] = page["last_id"]
    assert seen == IDS


def test_before_id_gives_the_models_just_before_it():
    page = catalogue.page({"before_id": IDS[3], "limit": "2"})
    assert (page["first_id"], page["last_id"], page["has_more"]) == (IDS[1], IDS[2], True)


def test_a_page_beyond_the_end_is_empty():
    page = catalogue.page({"after_id": IDS[-1]})
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"after_id": "nobody"}]
)
def test_a_query_without_meaning_is_refused(query):
    with pytest.raises(BadRequest):
        catalogue.page(query)


def test_a_model_is_found_by_its_id():
    assert catalogue.find(IDS[1])["id"] == IDS[1]
    with pytest.raises(NotFound):
        catalogue.find("claude-nobody")
