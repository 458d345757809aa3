"""Names of targets in lists that are taken apart at spaces and `=`."""

import pytest

from ccrelay.routing.target_names import LIST_CHARS_MAX, listed, plain, target_name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("team-a", "team-a"),
        ("team a/b=c", "team_a_b_c"),
        ("a\tb\n\x1b[31m\x7f", "a_b__[31m_"),
        ("\u2028\u00a0x", "__x"),
        ("schl\u00fcssel", "schl\u00fcssel"),
        ("a\ud800", "a_"),
        ("x" * 100, "x" * 64),
        ("", ""),
    ],
)
def test_what_would_separate_names_is_replaced(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_a_target_is_named_by_provider_and_key() -> None:
    assert target_name("zai", "sha256:1f/2e") == "zai/sha256:1f_2e"


def test_a_list_ends_with_a_whole_item() -> None:
    assert listed(iter([])) == ""
    assert listed(["a/b", "c/d"]) == "a/b c/d"
    long = listed("x" * 50 for _ in range(100))
    assert LIST_CHARS_MAX - 52 < len(long) <= LIST_CHARS_MAX
    assert set(long.split()) == {"x" * 50}
    assert len(listed("\u20ac" * 50 for _ in range(100)).encode()) <= LIST_CHARS_MAX
