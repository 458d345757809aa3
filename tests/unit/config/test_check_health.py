import pytest

from ccrelay.config.check_health import check_health
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Health, Key, Model, Provider
from ccrelay.config.problems import path_text

NOTHING: frozenset = frozenset()
KEY = Key(key="test-key-1")
ZAI = Provider(name="zai", type="zai", keys=[KEY])


def findings(
    *providers: Provider, bad: frozenset = NOTHING, unknown: frozenset = NOTHING, **health: object
) -> list[str]:
    collected = Findings(bad | unknown, unknown)
    check_health(Config(providers=list(providers), health=Health(**health)), collected)
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in collected.problems
    ]


def test_the_default_has_no_findings():
    assert findings(ZAI) == []


def test_the_first_rest_is_not_longer_than_the_longest():
    (finding,) = findings(open_s=31)
    assert finding == ("health.open_s: the first rest is longer than the longest, open_max_s: 30")
    assert findings(open_s=30) == []


@pytest.mark.parametrize("probe", ["off", "connect"])
def test_a_probe_without_request_needs_no_model(probe):
    assert findings(ZAI, probe=probe) == []


def test_a_probe_that_asks_something_needs_a_model():
    assert findings(ZAI, ZAI, probe="count_tokens") == [
        "health.probe: which model? providers[0] names none: set health.probe_model, or list one "
        "without * and ? in its models"
    ]


@pytest.mark.parametrize(
    "members",
    [
        {"models": ["glm-*", "glm-5"]},
        {"models": [Model(id="glm-5")]},
        {"model_mapping": {"claude-*": "glm-5"}},
        {"enabled": False},
        {"count_tokens": "estimate"},  # has nothing to ask, so it is only connected to
        {"type": "anthropic", "keys": []},  # no key to ask with
    ],
)
def test_a_provider_that_names_a_model_or_is_not_asked_needs_none(members):
    provider = Provider(**{"name": "p", "type": "zai", "keys": [KEY], **members})
    assert findings(provider, probe="count_tokens") == []


def test_a_message_is_asked_of_those_that_count_no_tokens_too():
    estimating = Provider(name="k", preset="kimi", keys=[KEY])
    assert findings(estimating, probe="count_tokens") == []
    need, cost = findings(estimating, probe="message")
    assert need.startswith("health.probe: which model?")
    assert cost.startswith("warning: health.probe: every probe is paid for")


def test_one_probe_model_is_enough_for_all():
    assert findings(ZAI, probe="count_tokens", probe_model="m") == []
    (finding,) = findings(ZAI, probe="count_tokens", probe_model="m-*")
    assert finding.startswith("health.probe_model: the model must be one name")


def test_a_model_is_not_called_missing_when_it_is_misspelt_or_wrong():
    misspelt = frozenset({("health", "probe_modle")})
    assert findings(ZAI, unknown=misspelt, probe="count_tokens") == []
    for path in (("health", "probe_model"), ("providers", 0, "models", 1)):
        assert findings(ZAI, bad=frozenset({path}), probe="count_tokens") == []
