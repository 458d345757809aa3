"""Facts are read from the configuration as the relay tells it."""

import yaml

from ccrelay.cli.client_facts import RouteProvider, facts_of, local_url
from ccrelay.config.load import load_text
from ccrelay.config.show import redacted

CONFIG = """\
server: {listen: "127.0.0.1:8787"}
providers:
  - {name: login, type: anthropic}
  - name: zai
    type: zai
    keys: [{key: test-key-1}]
    model_mapping: {"claude-haiku-*": glm-4.6}
    models: ["glm-*", {id: glm-4.6, max_input_tokens: 131072}]
  - {name: aws, type: bedrock, region: us-east-1, keys: [{key: test-key-2}]}
  - {name: kimi, preset: kimi, keys: [{key: test-key-3}], drop_headers: [x-a]}
  - {name: off, type: anthropic, enabled: false}
"""


def effective(text: str = CONFIG) -> dict[str, object]:
    """As `Config.Get` tells it."""
    from pathlib import Path

    told = yaml.safe_dump(redacted(load_text(text.encode(), Path("/c.yaml")).config))
    whole: dict[str, object] = yaml.safe_load(told)
    return whole


def test_the_routes_are_those_of_the_configuration() -> None:
    facts = facts_of(effective(), "http://127.0.0.1:8787")
    login, zai, aws, kimi = facts.providers
    assert login.is_anthropic
    assert login.passes_through
    assert zai == RouteProvider(
        "zai",
        "zai",
        "https://api.z.ai/api/anthropic",
        mapping={"claude-haiku-*": "glm-4.6"},
        models=["glm-*", "glm-4.6"],
        windows={"glm-4.6": 131_072},
    )
    assert (aws.type, aws.api) == ("bedrock", "mantle")
    assert not aws.passes_through
    assert kimi.drops("advanced-tool-use-2025-11-20")
    assert kimi.drops_headers
    assert not facts.wants_token


def test_one_that_is_off_by_an_override_counts() -> None:
    facts = facts_of(effective(), "http://h:1", switchable=frozenset({"off"}))
    assert [one.name for one in facts.providers][-1] == "off"


def test_a_token_is_told_where_one_is_wanted() -> None:
    text = CONFIG.replace('8787"}', '8787", auth: {tokens: [test-token-1]}}')
    facts = facts_of(effective(text), "http://h:1", "test-token-1")
    assert facts.wants_token
    assert facts.token == "test-token-1"
    assert facts_of(effective(), "http://h:1", "test-token-1").token is None


def test_the_address_is_one_that_can_be_connected_to() -> None:
    assert local_url(["127.0.0.1:8787", "h:1"]) == "http://127.0.0.1:8787"
    assert local_url(["0.0.0.0:1"]) == "http://127.0.0.1:1"
    assert local_url(["[::]:1"]) == "http://[::1]:1"
    assert local_url(["[::1]:1"]) == "http://[::1]:1"
