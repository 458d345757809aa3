"""Ordered rules: what each condition asks, and that the first one wins."""

from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import RequestKind, Routing, Rule, Use, When
from ccrelay.routing.features import Features
from ccrelay.routing.rules import CLASSES, compile_rules
from ccrelay.types import TrafficClass


def named(name: str, **conditions: Any) -> Rule:
    return Rule(name=name, when=When(**conditions))


def chosen(
    *rules: Rule,
    model: str = "claude-opus-5-5",
    traffic: TrafficClass = TrafficClass.MAIN,
    tokens: int = 1000,
    features: Features | None = None,
    headers: dict[bytes, bytes] | None = None,
) -> str | None:
    found = compile_rules(Routing(rules=list(rules))).match(
        model, traffic, tokens, features, (headers or {}).get
    )
    return found.name if found is not None else None


def test_without_rules_there_is_nothing_to_ask() -> None:
    rules = compile_rules(Routing())
    assert rules.empty
    assert not rules.needs_body
    assert rules.match("m", TrafficClass.MAIN, 0, None, {}.get) is None


def test_the_first_rule_that_holds_wins() -> None:
    rules = [named("no", model=["glm-*"]), named("first"), named("second")]
    assert chosen(*rules) == "first"
    assert chosen(*rules, model="glm-5") == "no"


def test_a_rule_without_conditions_holds_for_every_request() -> None:
    assert chosen(Rule(name="all")) == "all"


def test_a_rule_without_a_name_is_named_by_its_number() -> None:
    assert chosen(named("x", model=["never"]), Rule()) == "rules[1]"


def test_a_rule_overrides_only_what_it_sets() -> None:
    (full, bare) = compile_rules(
        Routing(rules=[Rule(use=Use(providers=["b", "a"], strategy="failover", model="m")), Rule()])
    ).rules
    assert (full.providers, full.strategy, full.model) == (("b", "a"), "failover", "m")
    assert (bare.providers, bare.strategy, bare.model) == ((), None, None)
    assert (full.number, bare.number) == (0, 1)
    assert repr(bare) == "<CompiledRule 1 rules[1]>"


@pytest.mark.parametrize(
    ("pattern", "model", "holds"),
    [
        ("claude-opus-5-5", "claude-opus-5-5", True),
        ("claude-opus-5-5", "claude-opus-5-5-20260101", False),
        ("claude-opus-5-5", "Claude-opus-5-5", False),
        ("claude-*", "claude-opus-5-5", True),
        ("*opus*", "claude-opus-5-5", True),
        ("claude-opus-?-5", "claude-opus-5-5", True),
        ("claude.opus*", "claude-opus-5-5", False),
        ("m[12]", "m1", False),
        ("m[12]", "m[12]", True),
        ("claude-opus-5-5", "claude-opus-5-5[1m]", True),
        ("claude-*", "claude-opus-5-5[1M]", True),
        ("claude-*[1m]", "claude-opus-5-5[1m]", True),
        ("claude-*[1m]", "claude-opus-5-5", False),
        ("claude-opus-5-5[1m]", "claude-opus-5-5[1M]", True),
    ],
)
def test_a_model_matches_by_name_or_glob(pattern: str, model: str, holds: bool) -> None:
    assert (chosen(named("r", model=["other", pattern]), model=model) == "r") is holds


def test_a_class_matches_one_of_those_listed() -> None:
    rule = named("r", request_class=["background", "web-search"])
    assert chosen(rule, traffic=TrafficClass.BACKGROUND) == "r"
    assert chosen(rule, traffic=TrafficClass.WEB_SEARCH) == "r"
    assert chosen(rule, traffic=TrafficClass.MAIN) is None


def test_every_class_of_the_configuration_is_a_class_of_traffic() -> None:
    assert set(CLASSES) == set(get_args(RequestKind))
    assert set(CLASSES.values()) == set(TrafficClass)


def test_bounds_of_tokens_are_outside() -> None:
    rule = named("r", tokens_over=100, tokens_under=200)
    assert [n for n in (100, 101, 199, 200) if chosen(rule, tokens=n)] == [101, 199]
    assert chosen(named("r", tokens_over=0), tokens=0) is None
    assert chosen(named("r", tokens_under=1), tokens=0) == "r"


@pytest.mark.parametrize("flag", ["images", "thinking", "tools"])
def test_features_hold_as_wanted_and_not_where_the_body_is_unknown(flag: str) -> None:
    having, lacking = Features(**{flag: True}), Features()
    assert chosen(named("r", **{flag: True}), features=having) == "r"
    assert chosen(named("r", **{flag: True}), features=lacking) is None
    assert chosen(named("r", **{flag: False}), features=lacking) == "r"
    assert chosen(named("r", **{flag: False}), features=having) is None
    assert chosen(named("r", **{flag: False}), features=None) is None


@pytest.mark.parametrize(
    ("pattern", "value", "holds"),
    [
        ("*", b"", True),
        ("*", None, False),
        ("relays", b"relays", True),
        ("relays", b"Relays", False),
        ("relay?", b"relays", True),
        ("team-*", b"team-\xc3\xbc", True),
        ("ü", "ü".encode(), True),
        ("?", b"\xff", True),
    ],
)
def test_a_header_matches_by_glob(pattern: str, value: bytes | None, holds: bool) -> None:
    headers = {b"x-team": value} if value is not None else {}
    assert (chosen(named("r", headers={"X-Team": pattern}), headers=headers) == "r") is holds


def test_all_conditions_must_hold() -> None:
    rule = named(
        "r",
        model=["claude-*"],
        request_class=["main"],
        tokens_over=10,
        images=True,
        headers={"x-a": "1", "x-b": "2"},
    )
    good: dict[str, Any] = {
        "tokens": 11,
        "features": Features(images=True),
        "headers": {b"x-a": b"1", b"x-b": b"2"},
    }
    assert chosen(rule, **good) == "r"
    for worse in (
        {"model": "glm-5"},
        {"traffic": TrafficClass.SUBAGENT},
        {"tokens": 10},
        {"features": Features()},
        {"headers": {b"x-a": b"1"}},
        {"headers": {b"x-a": b"1", b"x-b": b"3"}},
    ):
        assert chosen(rule, **{**good, **worse}) is None


@pytest.mark.parametrize(
    ("conditions", "needs"),
    [
        ({}, False),
        ({"model": ["m"], "tokens_over": 1, "headers": {"x": "*"}}, False),
        ({"request_class": ["subagent", "count_tokens"]}, False),
        ({"request_class": ["subagent", "main"]}, True),
        ({"request_class": ["background"]}, True),
        ({"request_class": ["compaction"]}, True),
        ({"request_class": ["web-search"]}, True),
        ({"images": False}, True),
        ({"thinking": True}, True),
        ({"tools": True}, True),
    ],
)
def test_only_conditions_on_the_body_need_it(conditions: dict[str, Any], needs: bool) -> None:
    rules = compile_rules(Routing(rules=[Rule(), named("r", **conditions)]))
    assert rules.needs_body is needs
    assert repr(rules) == f"<Rules 2 needs_body={needs}>"


@given(st.text("ab*?[]", max_size=30), st.text("ab[]", max_size=200))
def test_no_pattern_is_an_error_and_a_star_reaches_over_any_text(pattern: str, text: str) -> None:
    chosen(named("r", model=[pattern]), model=text)
    assert chosen(named("r", model=["*" + pattern + "*"]), model=f"x{pattern}x") == "r"
