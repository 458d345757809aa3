import pytest

from ccrelay.config.suggest import closest, hint


@pytest.mark.parametrize(
    ("word", "options", "meant"),
    [
        ("wieght", ["weight", "name"], "weight"),
        ("base-url", ["base_url"], "base_url"),
        ("Keys", ["keys"], "keys"),
        ("api_key", ["key", "name"], "key"),
        ("api_key", ["keys", "name"], "keys"),
        ("url", ["base_url"], "base_url"),
        ("antropic", ["anthropic", "zai"], "anthropic"),
        ("warn", ["warning"], "warning"),
        ("class", ["model", "request_class"], "request_class"),
        ("round_robin", ["round-robin", "random"], "round-robin"),
        ("cheapest", ["failover", "cost-based"], "cost-based"),
    ],
)
def test_the_likely_name_is_suggested(word, options, meant):
    assert closest(word, options) == meant


def test_nothing_is_suggested_when_nothing_is_near():
    assert closest("banana", ["listen", "workers"]) is None
    assert hint("banana", ["listen"]) == ""


def test_a_habit_is_suggested_only_where_the_name_exists():
    assert closest("url", ["listen"]) is None


def test_the_hint_is_ready_to_append():
    assert hint("worker", ["workers"]) == ' (did you mean "workers"?)'
