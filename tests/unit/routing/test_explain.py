"""Who could get a request and why, by the configuration alone."""

import random
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import (
    Config,
    Key,
    Model,
    Price,
    Provider,
    RequestKind,
    Routing,
    Rule,
    StrategyName,
    Use,
    When,
)
from ccrelay.config.resolve import resolve
from ccrelay.ledger.pricing import expected_micros, price_list
from ccrelay.routing.explain import (
    HOW,
    OUTPUT_TOKENS,
    USUAL,
    Explanation,
    Inside,
    KeyNote,
    PassedOver,
    Question,
    explain,
)
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.strategies import strategy_for

PRICE = Price(input=3, output=15, cache_read=0.3, cache_write_5m=3.75)


def provider(name: str, **settings: Any) -> Provider:
    given = {"base_url": "http://127.0.0.1:1", "keys": [Key(key=f"test-key-{name}")], **settings}
    return Provider(name=name, **given)


def asked(
    *providers: Provider, routing: Routing | None = None, model: str = "m", **question: Any
) -> Explanation:
    config = resolve(Config(providers=list(providers), routing=routing or Routing()))
    return explain(config, Question(model=model, **question))


def inside(explanation: Explanation) -> list[str]:
    return [one.provider for one in explanation.inside]


def outside(explanation: Explanation) -> dict[str, list[str]]:
    return {one.provider: one.reasons for one in explanation.outside}


# ---- in and out


def test_every_provider_of_the_model_is_listed_with_the_name_it_is_sent() -> None:
    found = asked(
        provider("own", models=["claude-*"]),
        provider("maps", model_mapping={"claude-*": "glm-5"}),
        model="claude-x[1m]",
    )
    assert [(one.provider, one.sent, one.why) for one in found.inside] == [
        ("own", "claude-x", "models claude-*"),
        ("maps", "glm-5", "model_mapping claude-*"),
    ]
    assert found.outside == []


MAPPING = {"*": "any", "claude-*[1m]": "wide", "x": "one", "x[1m]": "two", "claude-a*": "wide"}


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("x", "model_mapping x"),
        ("x[1m]", "model_mapping x[1m]"),
        ("claude-a", "model_mapping *"),
        ("own-1", "model_mapping *"),
    ],
)
def test_the_matching_entry_is_shown(model: str, why: str) -> None:
    found = asked(provider("p", model_mapping=MAPPING, models=["own-*"]), model=model)
    assert [one.why for one in found.inside] == [why]
    rest = {name: target for name, target in MAPPING.items() if name != "*"}
    found = asked(provider("p", model_mapping=rest), model="claude-a[1m]")
    assert [one.why for one in found.inside] == ["model_mapping claude-*[1m]"]


def test_own_models_and_the_default_are_shown_like_mappings() -> None:
    found = asked(provider("a", models=["n", Model(id="m")]), provider("b"))
    assert [one.why for one in found.inside] == ["models m", "models *"]


def test_other_providers_are_listed_with_all_reasons() -> None:
    off = [Key(key="test-key-1", enabled=False)]
    found = asked(
        provider("in"),
        provider("disabled", enabled=False, base_url=None),
        provider("keyless", keys=off),
        provider("other", models=["glm-5", Model(id="mm")], keys=off),
        provider("none", models=[]),
    )
    assert inside(found) == ["in"]
    assert outside(found) == {
        "disabled": ["disabled (enabled: false)"],
        "keyless": ["all its keys are disabled"],
        "other": ["all its keys are disabled", "does not serve m; nearest: mm, glm-5"],
        "none": ["does not serve m, nor any other model"],
    }


def test_only_the_nearest_names_are_shown() -> None:
    names = ["glm-5", "qwen", "claude-sonnet-4", "claude-opus-4", "claude-opus-5"]
    found = asked(provider("p", models=names), model="claude-opus-6[1m]")
    assert outside(found)["p"] == [
        "does not serve claude-opus-6[1m]; nearest: claude-opus-4, claude-opus-5, claude-sonnet-4"
    ]


def test_a_provider_without_keys_is_in_when_it_needs_none() -> None:
    found = asked(Provider(name="claude", type="anthropic"), model="claude-x")
    assert [(one.provider, one.keys) for one in found.inside] == [("claude", [])]


def test_keys_are_shown_by_fingerprint_with_their_limits() -> None:
    key = Key(key="test-key-1", name="main", rpm_limit=60, max_concurrent=4, weight=2, priority=1)
    found = asked(provider("p", keys=[key, Key(key="test-key-2", enabled=False)]))
    assert found.inside[0].keys == [
        KeyNote(
            fingerprint("test-key-1"), "main", True, 2, 1, {"rpm_limit": 60, "max_concurrent": 4}
        ),
        KeyNote(fingerprint("test-key-2"), None, False, 1, 0, {}),
    ]
    assert "test-key" not in repr(found)


def test_a_turn_has_a_price_new_and_cached_where_it_is_known() -> None:
    known, unknown = asked(
        provider("known", prices={"m": PRICE}), provider("unknown"), tokens=50_000
    ).inside
    for found, fresh, cached in ((known.new_micros, 50_000, 0), (known.cached_micros, 0, 50_000)):
        assert found == expected_micros(
            price_list(PRICE),
            fresh_tokens=fresh,
            cached_tokens=cached,
            output_tokens=OUTPUT_TOKENS,
            ttl_s=300,
        )
    assert (unknown.new_micros, unknown.cached_micros) == (None, None)


# ---- rules


RULES = [
    Rule(
        name="titles",
        when=When(request_class=["background"], tokens_under=5000, headers={"X-Team": "a*"}),
        use=Use(providers=["b", "a"], strategy="failover", model="small"),
    ),
    Rule(when=When(images=True), use=Use(providers=["b"])),
]


def test_the_rule_that_applies_decides_providers_strategy_and_model() -> None:
    found = asked(
        provider("a", model_mapping={"small": "tiny"}),
        provider("b", models=["*"]),
        provider("c", models=["m"]),
        routing=Routing(rules=RULES),
        kind="background",
        tokens=10,
        headers={"x-team": "abc"},
    )
    assert (found.rule, found.strategy, found.model) == ("titles", "failover", "small")
    assert [(one.provider, one.sent) for one in found.inside] == [("b", "small"), ("a", "tiny")]
    assert outside(found) == {
        "c": ["not among the providers of rule titles", "does not serve small; nearest: m"]
    }
    assert found.passed_over == []


def test_earlier_rules_are_shown_with_the_conditions_that_fail() -> None:
    found = asked(provider("b"), routing=Routing(rules=RULES), images=True, tokens=10)
    assert found.rule == "rules[1]"
    assert found.passed_over == [
        PassedOver("titles", ["request_class: background", "headers: X-Team=a*"])
    ]
    assert (found.strategy, found.model) == ("simple-shuffle", "m")


def test_without_a_rule_that_applies_the_strategy_is_the_configured_one() -> None:
    found = asked(provider("b"), routing=Routing(rules=RULES, strategy="least-busy"))
    assert (found.rule, found.strategy) == (None, "least-busy")
    assert found.passed_over[1] == PassedOver("rules[1]", ["images: true"])


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ({}, "main"),
        ({"headers": {"X-Claude-Code-Agent-Id": "a1"}}, "subagent"),
        ({"headers": {"x-claude-code-request-class": "auxiliary"}}, "background"),
        ({"headers": {"x-claude-code-agent-id": "a1"}, "kind": "web-search"}, "web-search"),
    ],
)
def test_the_class_is_given_or_read_from_the_headers(question: dict[str, Any], kind: str) -> None:
    assert asked(provider("p"), **question).asked.kind == kind


AGENT = {"x-claude-code-agent-id": "a1"}
FROM_HEAD = [Rule(name="agents", when=When(request_class=["subagent"]), use=Use(providers=["b"]))]
FROM_BODY = [*FROM_HEAD, Rule(when=When(tools=True), use=Use(providers=["b"]))]


@pytest.mark.parametrize(
    ("rules", "kind", "headers", "seen_as"),
    [
        (FROM_HEAD, "web-search", AGENT, "subagent"),
        (FROM_BODY, "web-search", AGENT, "web-search"),
        (FROM_HEAD, "background", {}, "main"),
        (FROM_BODY, "background", {}, "background"),
        (FROM_BODY, "background", {"x-claude-code-request-class": "main"}, "main"),
        (FROM_HEAD, "subagent", {}, "subagent"),
        (FROM_HEAD, "count_tokens", AGENT, "count_tokens"),
        ([], "compaction", {}, "main"),
    ],
)
def test_the_class_that_rules_see_is_the_one_that_the_relay_sees(
    rules: list[Rule], kind: RequestKind, headers: dict[str, str], seen_as: str
) -> None:
    found = asked(provider("b"), routing=Routing(rules=rules), kind=kind, headers=headers)
    assert (found.asked.kind, found.seen_as) == (kind, seen_as)
    assert found.reads_body == (rules is FROM_BODY)
    assert (found.rule == "agents") == (seen_as == "subagent")


def test_every_missing_header_is_shown_with_its_expected_value() -> None:
    rule = Rule(when=When(headers={"x-a": "1", "x-b": "2*"}), use=Use(providers=["b"]))
    found = asked(provider("b"), routing=Routing(rules=[rule]), headers={"x-a": "1", "X-B": "3"})
    assert found.passed_over == [PassedOver("rules[0]", ["headers: x-b=2*"])]


def test_a_secret_that_could_not_be_had_has_no_fingerprint() -> None:
    config = resolve(Config(providers=[provider("p")]))
    found = explain(config, Question(model="m"), not_had={"test-key-p": None})
    assert found.inside[0].keys[0].fingerprint == "unknown"


def test_unspecified_facts_are_typical_of_the_class() -> None:
    assert set(USUAL) == set(get_args(RequestKind))
    titles = asked(provider("p"), kind="background").asked
    assert (titles.images, titles.thinking, titles.tools) == (False, False, False)
    said = asked(provider("p"), kind="background", thinking=True, tools=True, images=True).asked
    assert (said.images, said.thinking, said.tools) == (True, True, True)
    assert asked(provider("p")).asked.thinking


# ---- order and shares


def test_shares_go_by_weight() -> None:
    providers = [provider("a", weight=3), provider("b"), provider("c", weight=0)]
    for strategy in ("simple-shuffle", "round-robin"):
        found = asked(*providers, routing=Routing(strategy=strategy))
        assert [one.share for one in found.inside] == [0.75, 0.25, 0.0]
    idle = asked(provider("a", weight=0), provider("b", weight=0))
    assert [one.share for one in idle.inside] == [0.5, 0.5]
    busy = asked(*providers, routing=Routing(strategy="least-busy"))
    assert [one.share for one in busy.inside] == [None, None, None]


def test_every_strategy_is_described() -> None:
    assert set(HOW) == set(get_args(StrategyName))
    for strategy in get_args(StrategyName):
        found = asked(provider("a"), routing=Routing(strategy=strategy))
        assert (found.strategy, found.how) == (strategy, HOW[strategy])


FOUR = [
    provider("a", prices={"m": PRICE}),
    provider("b", priority=5),
    provider("c", prices={"m": Price(input=1, output=1)}, priority=5),
    provider("d", prices={"m": Price(input=0, output=0)}),
]


def stand_in(one: Inside, model: str) -> Any:
    """As much of a candidate as the ordered strategies look at."""
    [config] = [provider for provider in FOUR if provider.name == one.provider]
    price = config.prices.get("m")
    return SimpleNamespace(
        asked=model,
        price=price_list(price) if price is not None else None,
        provider=SimpleNamespace(
            name=one.provider, priority=one.priority, key_pool=SimpleNamespace(room=1.0)
        ),
    )


@pytest.mark.parametrize(
    ("strategy", "order"),
    [("failover", "bcad"), ("cost-based", "dcab"), ("model-based", "dbac")],
)
def test_the_order_is_the_one_in_which_the_strategy_itself_would_choose(
    strategy: StrategyName, order: str
) -> None:
    routing = Routing(strategy=strategy, models={"m": ["d"], "x": ["a"]}, models_default=["b"])
    found = asked(*FOUR, routing=routing, tokens=1000)
    assert inside(found) == list(order)
    left = [stand_in(one, "m") for one in sorted(found.inside, key=lambda one: one.provider)]
    chooser = strategy_for(routing)
    ask = RoutingRequest(tokens_in=1000, tokens_out=OUTPUT_TOKENS)
    chosen = []
    while left:
        best = chooser.choose(left, ask, random.Random(0))
        left.remove(best)
        chosen.append(best.provider.name)
    assert chosen == list(order)
