import pytest

from ccrelay.config.problems import path_text
from ccrelay.config.suggest import closest, hint, variable_hint
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
        ("token", ["key", "name"], "key"),
        ("model_list", ["server", "providers"], "providers"),
        ("upstreams", ["server", "providers"], "providers"),
        ("log", ["server", "logging"], "logging"),
        ("fallback", ["failover", "round-robin"], "failover"),
        ("claude", ["anthropic", "zai"], "anthropic"),
        ("class", ["model", "request_class"], "request_class"),
        ("round_robin", ["round-robin", "random"], "round-robin"),
        ("cheapest", ["failover", "cost-based"], "cost-based"),
        ("openai-wset", ["openai-west", "west"], "openai-west"),
        ("htpp-proxy", ["http-proxy"], "http-proxy"),
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


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("openai", ["anthropic", "zai", "ollama", "compatible"]),
        ("openai-compatible", ["anthropic", "zai", "ollama", "compatible"]),
        ("OpenAI_Compatible", ["anthropic", "zai", "ollama", "compatible"]),
        ("http", ["https"]),
        ("https", ["http"]),
        ("socks5", ["socks5h"]),
        ("basic", ["x-api-key", "bearer", "none"]),
        ("workers", ["providers"]),
    ],
)
def test_a_protocol_or_another_setting_is_not_suggested_in_place_of_another(word, options):
    assert closest(word, options) is None


def test_type_openai_says_which_protocol_is_spoken():
    (problem,) = validate({"providers": [{"name": "p", "type": "openai"}]}).problems
    assert 'got "openai"; ccrelay speaks Anthropic\'s Messages API only' in problem.message
    assert "did you mean" not in problem.message


@pytest.mark.parametrize(
    ("member", "value", "note"),
    [
        ("type", "kimi", ' (did you mean "preset: kimi"?)'),
        ("type", "moonshot", ' (did you mean "preset: kimi"?)'),
        ("preset", "glm", ' (did you mean "type: zai"?)'),
        ("preset", "zai", ' (did you mean "type: zai"?)'),
        ("preset", "deepsek", ' (did you mean "deepseek"?)'),
    ],
)
def test_a_preset_in_place_of_a_type_is_told(member, value, note):
    (problem,) = validate({"providers": [{"name": "p", member: value}]}).problems
    assert problem.message.endswith(f'got "{value}"{note}')


@pytest.mark.parametrize(
    ("name", "set_", "meant"),
    [
        ("KEYY", ["KEY"], "KEY"),
        ("ANTHROPC_API_KEY", ["ZAI_API_KEY", "ANTHROPIC_API_KEY"], "ANTHROPIC_API_KEY"),
        ("ANTHROPIC_KEY", ["ANTHROPIC_API_KEY"], "ANTHROPIC_API_KEY"),
        ("OPENAI_API_KEY", ["ZAI_API_KEY"], None),
        ("ZAI_API_KEY", ["XAI_API", "OPENAI_API_KEY", "MINIMAX_API_KEY"], None),
    ],
)
def test_a_variable_of_another_service_is_not_suggested(name, set_, meant):
    assert variable_hint(name, set_) == (f' (did you mean "{meant}"?)' if meant else "")


@pytest.mark.parametrize(
    ("data", "hinted"),
    [
        ({"listen": "x"}, "server.listen"),
        ({"workers": 2}, "server.workers"),
        ({"strategy": "failover"}, "routing.strategy"),
        ({"keys": []}, "providers[].keys"),
        ({"base_url": "x"}, "providers[].base_url"),
        ({"server": {"tokens": []}}, "auth.tokens"),
        ({"providers": [{"name": "p", "rpm_limit": 5}]}, "keys[].rpm_limit"),
    ],
)
def test_a_key_one_level_too_high_is_told_where_it_belongs(data, hinted):
    (problem,) = validate(data).problems
    assert problem.message == f'unknown key (did you mean "{hinted}"?)'


def test_nothing_is_suggested_without_a_similar_name():
    assert closest("banana", ["listen", "workers"]) is None
    assert hint("banana", ["listen"]) == ""


def test_an_alias_is_suggested_only_where_the_name_exists():
    assert closest("url", ["listen"]) is None


def test_hint_format():
    assert hint("worker", ["workers"]) == ' (did you mean "workers"?)'


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("aws", "bedrock"),
        ("amazon-bedrock", "bedrock"),
        ("google", "vertex"),
        ("vertex_ai", "vertex"),
        ("VertexAI", "vertex"),
        ("foundry", "azure"),
        ("azure-foundry", "azure"),
        ("bedrok", "bedrock"),
        ("claude_aws", "claude-aws"),
    ],
)
def test_a_cloud_under_another_name_is_told(value, meant):
    (problem,) = validate({"providers": [{"name": "p", "type": value}]}).problems
    assert problem.message.endswith(f'got "{value}" (did you mean "{meant}"?)')


@pytest.mark.parametrize(
    ("member", "meant"),
    [("aws_region", "region"), ("project_id", "project"), ("workspace-id", "workspace")],
)
def test_members_of_clouds_under_other_names_are_told(member, meant):
    (problem,) = validate({"providers": [{"name": "p", "type": "bedrock", member: "x"}]}).problems
    assert problem.message == f'unknown key (did you mean "{meant}"?)'
