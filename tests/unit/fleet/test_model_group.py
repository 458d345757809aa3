"""Which models share a limit."""

from ccrelay._fast.rate_limits import GROUPS
from ccrelay.fleet.model_group import FAMILIES, group_at, group_of, is_per_model


def test_families_have_groups_of_their_own() -> None:
    assert len({group_of(family) for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        for name in (f"claude-{family}-4-5", f"us.anthropic.claude-{family}-5-v1:0", family):
            assert group_of(name) == group_of(family)
    assert group_of("glm-4.7") not in {group_of(family) for family in FAMILIES}


def test_every_model_has_a_group() -> None:
    names = ["", "m", "glm-4.7", "KIMI-K3", *(f"model-{n}" for n in range(100))]
    assert {1 <= group_of(name) <= GROUPS for name in names} == {True}
    assert group_of("KIMI-K3") == group_of("kimi-k3")


def test_clouds_limit_each_model_for_itself() -> None:
    opus, newer = "us.anthropic.claude-opus-4-6-v1", "us.anthropic.claude-opus-5-5"
    assert group_at("anthropic", "claude-opus-4-6") == group_at("anthropic", "claude-opus-5-5")
    assert group_at("claude-aws", "claude-opus-5-5") == group_of("claude-opus-5-5")
    for kind in ("bedrock", "vertex", "azure"):
        assert is_per_model(kind)
        assert group_at(kind, opus) != group_at(kind, newer)
        assert group_at(kind, opus) == group_at(kind, "claude-opus-4-6")
        assert len(FAMILIES) < group_at(kind, newer) <= GROUPS
    assert not is_per_model("anthropic")


def test_names_of_one_model_share_its_group() -> None:
    ids = [
        "claude-haiku-4-5@20251001",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic.claude-haiku-4-5",
    ]
    assert len({group_at("bedrock", one) for one in ids}) == 1
