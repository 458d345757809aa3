import pytest

from ccrelay.config.check_health import check_health
from ccrelay.config.findings import Findings
from ccrelay.config.model import Config, Health, Key, Model, Provider
from ccrelay.config.problems import path_text

NOTHING: frozenset = frozenset()
KEY = Key(key="test-key-1")
ZAI = Provider(name="zai", type="zai", keys=[KEY])


def findings(
    *providers: Provider,
    invalid: frozenset = NOTHING,
    unknown: frozenset = NOTHING,
    **health: object,
) -> list[str]:
    collected = Findings(invalid | unknown, unknown)
    check_health(Config(providers=list(providers), health=Health(**health)), collected)
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in collected.problems
    ]


def test_the_default_has_no_findings():
    assert findings(ZAI) == []


def test_open_s_must_not_exceed_open_max_s():
    (finding,) = findings(open_s=31)
    assert finding == ("health.open_s: must not be greater than open_max_s (30)")
    assert findings(open_s=30) == []


@pytest.mark.parametrize("probe", ["off", "connect"])
def test_a_probe_without_request_needs_no_model(probe):
    assert findings(ZAI, probe=probe) == []


def test_a_request_probe_needs_a_model():
    assert findings(ZAI, ZAI, probe="count_tokens") == [
        "health.probe: providers[0] has no model to probe with: set health.probe_model, or list a "
        "model without wildcards"
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
def test_a_provider_with_a_model_or_without_request_probes_needs_no_probe_model(members):
    provider = Provider(**{"name": "p", "type": "zai", "keys": [KEY], **members})
    assert findings(provider, probe="count_tokens") == []


def test_message_probes_are_also_sent_to_providers_without_count_tokens():
    estimating = Provider(name="k", preset="kimi", keys=[KEY])
    assert findings(estimating, probe="count_tokens") == []
    need, cost = findings(estimating, probe="message")
    assert need.startswith("health.probe: providers[0] has no model")
    assert cost.startswith("warning: health.probe: every probe is billed")


def test_probe_model_applies_to_all_providers():
    assert findings(ZAI, probe="count_tokens", probe_model="m") == []
    (finding,) = findings(ZAI, probe="count_tokens", probe_model="m-*")
    assert finding.startswith("health.probe_model: the model must not contain the wildcards")


def test_a_misspelt_or_invalid_probe_model_is_not_reported_as_missing():
    misspelt = frozenset({("health", "probe_modle")})
    assert findings(ZAI, unknown=misspelt, probe="count_tokens") == []
    for path in (("health", "probe_model"), ("providers", 0, "models", 1)):
        assert findings(ZAI, invalid=frozenset({path}), probe="count_tokens") == []
