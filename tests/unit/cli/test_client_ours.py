"""Variables of an earlier `ccrelay env` in the same shell are not taken for the user's."""

import pytest

from ccrelay.cli.client_ours import VARIABLE, changes, marked, without_ours
from ccrelay.cli.client_project import with_project

HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
OWN = {"PATH": "/bin", HEADERS: "x-a: 1", "ENABLE_TOOL_SEARCH": "auto"}
NEW = {
    "ANTHROPIC_AUTH_TOKEN": "test-token-1",
    HEADERS: "x-a: 1\nx-ccrelay-project: shop",
    "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "131072",
}


def test_what_was_set_is_known_again() -> None:
    shell = {**OWN, **marked(OWN, NEW)}
    assert without_ours(shell) == OWN
    assert "test-token-1" not in shell[VARIABLE]


def test_what_the_user_changed_since_is_the_users() -> None:
    shell = {**OWN, **marked(OWN, NEW), "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "200000"}
    shell[HEADERS] += "\nx-b: 2"
    assert without_ours(shell) == {
        **OWN, HEADERS: "x-a: 1\nx-b: 2", "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "200000"
    }  # fmt: skip


def test_a_value_that_the_user_had_set_alike_stays_the_users() -> None:
    own = {"ENABLE_TOOL_SEARCH": "true"}
    assert without_ours({**own, **marked(own, own)}) == own


@pytest.mark.parametrize("own", ["x-a: 1 ", " x-a: 1\n", "x-a: 1\r\nx-b: 2\r", "x-a: \u2028 1"])
def test_headers_of_the_user_stay_as_they_are(own: str) -> None:
    before = {HEADERS: own}
    new = {HEADERS: with_project(own, "shop")}
    assert new[HEADERS].endswith("\nx-ccrelay-project: shop")
    assert without_ours(marked(before, new)) == {HEADERS: own.strip("\n")}


def test_what_is_not_wanted_any_more_goes() -> None:
    shell = {**OWN, **marked(OWN, NEW)}
    wanted = {"ANTHROPIC_AUTH_TOKEN": "test-token-2"}
    found = changes(shell, wanted)
    assert found.pop(VARIABLE) == marked(OWN, wanted)[VARIABLE]
    assert found == {
        "ANTHROPIC_AUTH_TOKEN": "test-token-2",
        HEADERS: "x-a: 1",
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": None,
    }
    assert changes(OWN, {}) == {VARIABLE: ""}


def test_bytes_that_are_no_text_have_a_digest() -> None:
    assert without_ours(marked({}, {"NO_PROXY": "a\udcff"})) == {}
