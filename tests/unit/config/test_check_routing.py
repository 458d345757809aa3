import itertools

import pytest

from ccrelay.config.check_routing import check_routing
from ccrelay.config.findings import Findings
from ccrelay.config.model import (
    Affinity,
    Config,
    Provider,
    RetryBudget,
    Routing,
    Rule,
    Use,
    When,
)
from ccrelay.config.problems import Path, path_text
from ccrelay.routing.features import Features
from ccrelay.routing.rules import compile_rules
from ccrelay.types import TrafficClass

NOTHING: frozenset[Path] = frozenset()
PROVIDERS = [Provider(name="a", type="ollama"), Provider(name="b", type="ollama")]
FAILOVER = Use(strategy="failover")


def findings(invalid: frozenset = NOTHING, unknown: frozenset = NOTHING, **routing: object) -> list:
    collected = Findings(invalid | unknown, unknown)
    check_routing(Config(providers=PROVIDERS, routing=Routing(**routing)), collected)
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in collected.problems
    ]


def only(words: str, **routing: object) -> None:
    (finding,) = findings(**routing)
    assert words in finding


def when(**conditions: object) -> Rule:
    return Rule(when=When(**conditions), use=FAILOVER)


def test_the_default_has_no_findings():
    assert findings() == []


def test_a_valid_model_table_has_no_findings():
    assert findings(strategy="model-based", models={"glm-": ["a"], "x-*": ["b", "a"]}) == []
    assert findings(strategy="model-based", models_default=["a"]) == []
    assert findings(models={"m": ["a"]}, rules=[Rule(use=Use(strategy="model-based"))]) == []


def test_model_table_patterns_and_providers_are_checked():
    found = findings(
        strategy="model-based",
        models={"a b": ["a"], "x": [], "y": ["a", "c"]},
        models_default=["d"],
    )
    assert [finding.partition(": ")[0] for finding in found] == [
        'routing.models["a b"]',
        "routing.models.x",
        "routing.models.y[1]",
        "routing.models_default[0]",
    ]


@pytest.mark.parametrize(
    "routing", [{"models": {"m": ["a"]}}, {"models": {"m": ["a"]}, "strategy": "failover"}]
)
def test_an_unused_model_table_is_a_warning(routing):
    only("warning: routing.models: never used", **routing)
    only("warning: routing.models_default: never used", models_default=["a"])


def test_a_table_is_not_unused_when_the_strategy_is_invalid():
    for path in (("routing", "strategy"), ("routing", "rules", 0, "use", "strategy")):
        assert findings(frozenset({path}), models={"m": ["a"]}) == []


def test_model_based_without_a_table_is_a_warning():
    only("warning: routing.strategy: no routing.models", strategy="model-based")
    only(
        "warning: routing.rules[0].use.strategy: no routing.models",
        rules=[Rule(use=Use(strategy="model-based"))],
    )


def test_a_misspelt_or_invalid_table_is_not_reported_as_missing():
    misspelt = frozenset({("routing", "model")})
    assert findings(unknown=misspelt, strategy="model-based") == []
    assert findings(frozenset({("routing", "models")}), strategy="model-based") == []


@pytest.mark.parametrize(
    "rule",
    [
        when(),
        when(model=["claude-*", "m"], request_class=["main"], images=True),
        when(tokens_over=0),
        when(tokens_over=10, tokens_under=12),
        when(headers={"x-team": "red*", "x-claude-code-agent-id": "*"}),
        Rule(use=Use(providers=["b", "a"])),
        Rule(use=Use(model="m[1m]"), name="small things"),
    ],
)
def test_valid_rules_have_no_findings(rule):
    assert findings(rules=[rule]) == []


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            Rule(use=Use(providers=["A"])),
            '.use.providers[0]: unknown provider "A" (did you me',
        ),
        (Rule(use=Use(model="m-*")), ".use.model: the model must not contain the wildcards"),
        (Rule(use=Use(model="")), ".use.model: the model is empty"),
        (Rule(use=FAILOVER, name=" "), ".name: must not be empty"),
        (Rule(when=When(images=True)), ".use: no effect: set providers, strategy or model"),
        (when(model=["", "m"]), ".when.model[0]: empty model name"),
        (when(tokens_over=10, tokens_under=11), ".when.tokens_under: never matches together"),
        (when(tokens_over=10, tokens_under=5), ".when.tokens_under: never matches together"),
        (when(headers={"x team": "*"}), '.when.headers["x team"]: invalid header name'),
        (when(headers={"x-team": ""}), ".when.headers.x-team: must not be empty"),
        (
            when(headers={"x-team": "a\n"}),
            ".when.headers.x-team: must not be empty or contain control",
        ),
        (when(headers={"X-A": "*", "x-a": "*"}), ".when.headers.x-a: duplicate header"),
        (when(headers={"Authorization": "*"}), "rules must not match credentials"),
        (when(headers={"x-api-key": "*"}), "rules must not match credentials"),
    ],
)
def test_invalid_rules_are_errors(rule, words):
    (finding,) = findings(rules=[rule])
    assert finding.startswith("routing.rules[0].")
    assert words in finding


def test_a_misspelt_or_invalid_use_is_not_reported_as_empty():
    use: Path = ("routing", "rules", 0, "use")
    assert findings(unknown=frozenset({(*use, "modle")}), rules=[Rule()]) == []
    assert findings(unknown=frozenset({(*use[:-1], "uses")}), rules=[Rule()]) == []
    assert findings(frozenset({(*use, "providers")}), rules=[Rule()]) == []


def test_a_rule_after_one_without_conditions_is_shadowed():
    rules = [when(images=True), when(), when(tools=True), when()]
    assert findings(rules=rules) == [
        "warning: routing.rules[2]: never used: routing.rules[1] has no conditions",
        "warning: routing.rules[3]: never used: routing.rules[1] has no conditions",
    ]


def test_a_rule_with_equal_conditions_is_shadowed():
    rules = [when(images=True), when(tools=True), when(images=True)]
    assert findings(rules=rules) == [
        "warning: routing.rules[2]: never used: routing.rules[0] has the same conditions",
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"images": True}, {"images": True, "tools": True}),
        ({"tokens_over": 100}, {"tokens_over": 200, "tokens_under": 300}),
        ({"tokens_under": 300}, {"tokens_under": 300, "thinking": False}),
        ({"request_class": ["main", "subagent"]}, {"request_class": ["subagent"]}),
        (
            {"model": ["claude-opus-*"], "tokens_over": 5},
            {"model": ["claude-opus-5-5"], "tokens_over": 5},
        ),
        ({"model": ["m", "claude-*"]}, {"model": ["claude-opus-*", "claude-?[1m]", "m[1M]"]}),
        ({"model": ["m*[1m]"]}, {"model": ["mm[1m]"]}),
        ({"headers": {"X-Team": "re*"}}, {"headers": {"x-team": "red", "x-b": "*"}}),
        ({"headers": {"x-team": "*"}}, {"headers": {"x-team": "re*"}, "model": ["m"]}),
    ],
)
def test_a_rule_with_narrower_conditions_is_shadowed(earlier, later):
    assert findings(rules=[when(**earlier), when(**later)]) == [
        "warning: routing.rules[1]: never used: routing.rules[0] matches all of its requests",
    ]
    assert findings(rules=[when(**later), when(**earlier)]) == []


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"images": True}, {"images": False}),
        ({"images": False}, {"tools": True}),
        ({"tokens_over": 100}, {"tokens_under": 300}),
        ({"tokens_over": 200}, {"tokens_over": 100, "images": True}),
        ({"tokens_under": 100}, {"tokens_under": 101}),
        ({"request_class": ["main"]}, {"request_class": ["main", "subagent"]}),
        ({"model": ["claude-opus-*"]}, {"model": ["claude-*"]}),
        ({"model": ["a?"]}, {"model": ["a*"]}),
        ({"model": ["a*"]}, {"model": ["ab", "b"]}),
        ({"model": ["m*[1m]"]}, {"model": ["mm"]}),
        ({"model": ["m"]}, {"headers": {"x-a": "m"}}),
        ({"headers": {"x-a": "1", "x-b": "*"}}, {"headers": {"x-a": "1"}}),
        ({"headers": {"x-a": "RE*"}}, {"headers": {"x-a": "red"}}),
    ],
)
def test_a_rule_that_is_not_shadowed_has_no_findings(earlier, later):
    assert findings(rules=[when(**earlier), when(**later)]) == []


def test_rules_reported_as_shadowed_never_match_first():
    """By every request of a small world, asked of the rules as they are compiled."""
    conditions = [
        {**dict(pair), "headers": headers}
        for pair in itertools.product(
            [("model", []), ("model", ["a*"]), ("model", ["a?", "b"]), ("model", ["ab[1m]"])],
            [("tokens_over", None), ("tokens_over", 1), ("tokens_over", 2)],
            [("images", None), ("images", True)],
        )
        for headers in ({}, {"x-a": "1*"}, {"x-a": "12"})
    ]
    requests = list(
        itertools.product(
            ["a", "ab", "abc", "b", "ab[1m]", "b[1m]"],
            [2, 3],
            [Features(images=True), Features()],
            [None, b"1", b"12"],
        )
    )
    shadowed = 0
    for earlier, later in itertools.product(conditions, repeat=2):
        rules = [when(**earlier), when(**later)]
        if findings(rules=rules):
            shadowed += 1
            first, second = compile_rules(Routing(rules=rules)).rules
            for model, tokens, features, value in requests:
                asked = (model, TrafficClass.MAIN, tokens, features, {b"x-a": value}.get)
                assert first.applies(*asked) or not second.applies(*asked), (earlier, later, asked)
    assert shadowed > 300


def test_a_rule_with_invalid_conditions_shadows_no_other():
    rules = [when(), when(images=True), when()]
    invalid = frozenset({("routing", "rules", 0, "when", "modle")})
    assert findings(invalid, rules=rules) == []
    invalid |= {("routing", "rules", 2, "when", "tools")}
    assert findings(invalid, rules=[*rules, when(tools=True)]) == []


def test_affinity_wait_above_queue_timeout_is_a_warning():
    only(
        "warning: routing.affinity.wait_s: no effect above routing.queue_timeout_s (20)",
        affinity=Affinity(wait_s=30),
    )
    assert findings(affinity=Affinity(wait_s=30, enabled=False)) == []
    assert findings(affinity=Affinity(wait_s=30), queue_timeout_s=30) == []


def test_a_lower_queue_timeout_alone_has_no_findings():
    assert findings(queue_timeout_s=0) == []


def test_an_empty_retry_budget_is_a_warning():
    nothing = RetryBudget(ratio=0, minimum=0)
    only("warning: routing.retry_budget: ratio 0 and minimum 0", retry_budget=nothing)
    assert findings(retry_budget=nothing, attempts_max=1) == []
    assert findings(retry_budget=RetryBudget(ratio=0)) == []
