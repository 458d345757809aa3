import pytest

from ccrelay.config.problems import path_text
from ccrelay.config.suggest import closest, hint
from ccrelay.config.validate import validate


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
def test_the_most_similar_name_is_suggested(word, options, meant):
    assert closest(word, options) == meant


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        ("health", "rest_s", "open_s"),
        ("health", "rest_max_s", "open_max_s"),
        ("health", "key_rest_max_s", "key_cooldown_max_s"),
        ("health", "quota_rest_s", "quota_cooldown_s"),
        ("routing", "max_wait_s", "queue_timeout_s"),
        ("routing", "waiting_max", "queue_max"),
    ],
)
def test_the_new_name_of_a_renamed_setting_is_suggested(section, old, new):
    (problem,) = validate({section: {old: 1}}).problems
    assert path_text(problem.path) == f"{section}.{old}"
    assert problem.message == f'unknown key (did you mean "{new}"?)'


def test_nothing_is_suggested_without_a_similar_name():
    assert closest("banana", ["listen", "workers"]) is None
    assert hint("banana", ["listen"]) == ""


def test_an_alias_is_suggested_only_where_the_name_exists():
    assert closest("url", ["listen"]) is None


def test_hint_format():
    assert hint("worker", ["workers"]) == ' (did you mean "workers"?)'
