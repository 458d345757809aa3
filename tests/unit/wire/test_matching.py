import pytest

from ccrelay.config.model import Model
from ccrelay.wire.matching import MEMO_MAX, MEMO_NAME_MAX, ModelMatcher, is_glob, strip_window


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("claude-opus-5-5", "glm-5.3"),
        ("claude-opus-5-5[1m]", "glm-5.3"),
        ("claude-sonnet-5[1m]", "glm-5.3-long"),
        ("claude-sonnet-5[1M]", "glm-5.3-long"),
        ("claude-sonnet-5", "glm-5.3-flash"),
        ("claude-haiku-5-5", "glm-4.7"),
        ("glm-5.2", "glm-5.2"),
        ("glm-5.2[1m]", "glm-5.2"),
        ("own", "own"),
        ("tagged", "tagged"),
        ("GLM-5.2", None),
        ("other", None),
        ("", None),
        ("[1m]", None),
    ],
)
def test_exact_mappings_come_before_globs_and_globs_before_own_models(
    asked: str, sent: str | None
) -> None:
    matcher = ModelMatcher(
        {
            "claude-haiku-*": "glm-4.7",
            "claude-*": "glm-5.3",
            "claude-sonnet-5": "glm-5.3-flash",
            "claude-sonnet-5[1m]": "glm-5.3-long[1m]",
        },
        ["glm-*", Model(id="own"), "tagged[1m]"],
    )
    assert matcher.resolve(asked) == sent
    assert matcher.resolve(asked) == sent, "the remembered answer is the same"


def test_globs_are_tried_in_the_order_they_are_written() -> None:
    matcher = ModelMatcher({"a*": "first", "ab*": "second"}, [])
    assert matcher.resolve("abc") == "first"


def test_a_glob_with_the_window_suffix_wants_the_suffix() -> None:
    matcher = ModelMatcher({"claude-*[1m]": "long", "claude-*": "short"}, [])
    assert matcher.resolve("claude-x[1m]") == "long"
    assert matcher.resolve("claude-x") == "short"
    assert matcher.resolve("claude-1") == "short", "the suffix is no character class"


def test_brackets_are_plain_characters() -> None:
    matcher = ModelMatcher({}, ["x[ab]y*"])
    assert matcher.resolve("x[ab]yz") == "x[ab]yz"
    assert matcher.resolve("xayz") is None


def test_a_question_mark_is_one_character() -> None:
    matcher = ModelMatcher({}, ["glm-4.?"])
    assert matcher.resolve("glm-4.7") == "glm-4.7"
    assert matcher.resolve("glm-4.75") is None


def test_a_star_serves_everything_that_has_a_name() -> None:
    matcher = ModelMatcher({}, ["*"])
    assert matcher.resolve("qwen3-coder:30b") == "qwen3-coder:30b"
    assert matcher.resolve("") is None


def test_the_memo_is_bounded() -> None:
    matcher = ModelMatcher({}, ["m*"])
    for i in range(3 * MEMO_MAX):
        assert matcher.resolve(f"m{i}") == f"m{i}"
    assert len(matcher._memo) <= MEMO_MAX
    long = "m" * (MEMO_NAME_MAX + 1)
    assert matcher.resolve(long) == long
    assert long not in matcher._memo


def test_a_hostile_glob_matches_in_bounded_time() -> None:
    matcher = ModelMatcher({}, ["*a" * 40 + "b"])
    assert matcher.resolve("a" * 5000) is None


@pytest.mark.parametrize(("name", "glob"), [("a*", True), ("a?", True), ("a[1m]", False)])
def test_only_star_and_question_mark_make_a_glob(name: str, glob: bool) -> None:
    assert is_glob(name) is glob


def test_strip_window_removes_only_a_trailing_suffix_in_any_case() -> None:
    assert [strip_window(n) for n in ("a[1m]", "a[1M]", "a[1m]b")] == ["a", "a", "a[1m]b"]
