"""Which models share a limit."""

from ccrelay._fast.rate_limits import GROUPS
from ccrelay.fleet.model_group import FAMILIES, group_of


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
