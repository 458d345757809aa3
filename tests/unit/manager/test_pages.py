import grpc
import pytest

from ccrelay.manager.errors import Refused
from ccrelay.manager.pages import page


def test_pages_join_without_gap_though_the_list_grows() -> None:
    items = list(range(10, 0, -1))
    first, token = page(items, 4, "", int)
    assert (list(first), token) == ([10, 9, 8, 7], "before-7")
    grown = [12, 11, *items]
    second, token = page(grown, 4, token, int)
    assert list(second) == [6, 5, 4, 3]
    last, token = page(grown, 4, token, int)
    assert (list(last), token) == ([2, 1], "")


def test_a_whole_page_that_is_the_last_has_no_token() -> None:
    assert page([2, 1], 2, "", int) == ([2, 1], "")
    assert page([], 2, "", int) == ([], "")
    assert page([5], 2, "before-1", int) == ([], "")


@pytest.mark.parametrize("token", ["7", "before-", "before-x", "before-1\n", "before-\u0661", " "])
def test_tokens_of_elsewhere(token: str) -> None:
    with pytest.raises(Refused) as caught:
        page([1], 2, token, int)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
