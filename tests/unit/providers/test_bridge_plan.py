import pytest

from ccrelay.providers.bridge_plan import Generation, plan_of
from ccrelay.providers.bridge_rows import ALL


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        ("claude-opus-5-5", ("opus", 5, 5)),
        ("claude-opus-5", ("opus", 5, 0)),
        ("us.anthropic.claude-opus-4-5-20251101-v1:0", ("opus", 4, 5)),
        ("anthropic.claude-opus-4-6-v1", ("opus", 4, 6)),
        ("claude-sonnet-4-20250514", ("sonnet", 4, 0)),
        ("claude-haiku-4-5@20251001", ("haiku", 4, 5)),
        ("claude-sonnet-4@20250514", ("sonnet", 4, 0)),
        ("claude-3-7-sonnet-20250219", ("sonnet", 3, 7)),
        ("anthropic.claude-3-haiku-20240307-v1:0", ("haiku", 3, 0)),
        ("claude-fable-5-1[1m]", ("fable", 5, 1)),
        ("claude-mythos-preview", None),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", None),
        ("my-deployment", None),
        ("glm-5.3", None),
        ("", None),
    ],
)
def test_generations(model: str, wanted: tuple[str, int, int] | None) -> None:
    assert Generation.of(model) == wanted


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("<=4.5", True),
        ("<4.5", False),
        ("<4.6", True),
        ("haiku<=4.5", False),
        ("haiku<=4.5,opus<=4.5", True),
        ("<=4.4", False),
        ("<=5.0", True),
    ],
)
def test_conditions(condition: str, matches: bool) -> None:
    assert Generation("opus", 4, 5).matches(condition) is matches


def test_what_is_no_condition_is_an_error_of_the_table() -> None:
    with pytest.raises(ValueError, match="no condition"):
        Generation("opus", 4, 5).matches(">4.5")


def test_plans_are_kept() -> None:
    new = Generation("opus", 5, 5)
    assert plan_of("vertex", new, "messages", frozenset()) is plan_of(
        "vertex", new, "messages", frozenset()
    )


@pytest.mark.parametrize("surface", ALL)
def test_odd_names_of_dropped_features_do_no_harm(surface: str) -> None:
    names = frozenset(
        {
            *("", ":", "beta:", "member:", "member:messages", "member:.", "member:=", "turn:"),
            *("nothing", "block:text", "source:base64", "tool:", "x" * 56, "member:messages.0"),
        }
    )
    plan = plan_of(surface, None, "messages", names)  # type: ignore[arg-type]
    assert "messages" not in plan.members
