"""A misspelt section is one error, and hides nothing of its content."""

from collections.abc import Callable

import pytest

ProblemsOf = Callable[..., list[str]]

CONTENT = """
  - name: a
    type: zia
    keys: [{key: "${ZAI_API_KEY}", wieght: 2}]
"""
INSIDE = [
    '3:11: providers[0].type: expected one of "anthropic", "azure", "bedrock", "claude-aws", '
    '"claude-google", "compatible", "ollama", "vertex", "zai", '
    'got "zia" (did you mean "zai"?)',
    '4:36: providers[0].keys[0].wieght: unknown key (did you mean "weight"?)',
]


@pytest.mark.parametrize("name", ["provders", "provider", "Providers", "providres", "PROVIDERS"])
def test_the_content_of_misspelt_providers_is_checked(name: str, problems_of: ProblemsOf) -> None:
    assert problems_of(f"{name}:{CONTENT}") == [
        f'1:1: {name}: unknown key (did you mean "providers"?)',
        *INSIDE,
    ]


@pytest.mark.parametrize(
    ("key", "setting"),
    [("listen: 127.0.0.1:1", "server.listen"), ("workers: 4", "server.workers")],
)
def test_so_it_is_below_a_key_that_stands_one_level_too_high(
    key: str, setting: str, problems_of: ProblemsOf
) -> None:
    name = key.partition(":")[0]
    first, second, *inside = problems_of(f"provders:{CONTENT}{key}\n")
    *inside, last = second, *inside
    assert first.endswith('provders: unknown key (did you mean "providers"?)')
    assert last == f'5:1: {name}: unknown key (did you mean "{setting}"?)'
    assert inside == INSIDE


@pytest.mark.parametrize("key", ["workers: 4", "listen: 127.0.0.1:1"])
def test_missing_providers_are_reported_next_to_another_key(
    key: str, problems_of: ProblemsOf
) -> None:
    assert "no providers" in "".join(problems_of(f"{key}\n"))


def test_misspelt_lists_and_mappings_are_checked_at_every_level(problems_of: ProblemsOf) -> None:
    text = """\
sever: {atuh: {tokns: [short]}, workers: 0}
providers:
  - {name: a, type: zai, kyes: [{key: "${ZAI_API_KEY}", rpm_limit: x}]}
rotuing: {ruls: [{wehn: {images: 1}, use: {strategy: failover}}]}
"""
    assert [line.partition(" ")[2].partition(":")[0] for line in problems_of(text)] == [
        "sever",
        "server.atuh",
        "server.auth.tokns",
        "server.auth.tokens[0]",
        "server.workers",
        "providers[0].kyes",
        "providers[0].keys[0].rpm_limit",
        "rotuing",
        "routing.ruls",
        "routing.rules[0].wehn",
        "routing.rules[0].when.images",
    ]


def test_toml_has_the_same_positions(problems_of: ProblemsOf) -> None:
    text = '[[provders]]\nname = "a"\ntype = "zai"\n[[provders.kyes]]\nkey = 5\n'
    assert problems_of(text, "c.toml") == [
        '1:1: provders: unknown key (did you mean "providers"?)',
        '4:1: providers[0].kyes: unknown key (did you mean "keys"?)',
        "5:7: providers[0].keys[0].key: expected non-empty text, got a number; put it in quotes",
    ]


def test_a_name_next_to_the_right_one_is_not_merged(problems_of: ProblemsOf) -> None:
    text = "providers: [{name: a, type: ollama}]\nproviderss: [{name: 5}]\n"
    assert problems_of(text) == ['2:1: providerss: unknown key (did you mean "providers"?)']


def test_the_number_of_corrections_is_bounded(problems_of: ProblemsOf) -> None:
    entries = ", ".join("{name: a, type: ollama, modles: []}" for _ in range(300))
    assert len(problems_of(f"providers: [{entries}]\n")) > 300
