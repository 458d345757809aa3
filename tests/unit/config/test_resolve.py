import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import Config, Key, Model, Price, Provider
from ccrelay.config.resolve import auth_of, resolve


def resolved(**members: object) -> Provider:
    config = resolve(Config(providers=[Provider(name="p", **members)]))
    return config.providers[0]


@pytest.mark.parametrize(
    ("members", "base_url", "auth", "models", "system_role", "count_tokens"),
    [
        (
            {"type": "anthropic"},
            "https://api.anthropic.com",
            "x-api-key",
            ["claude-*", "anthropic*"],
            "keep",
            "forward",
        ),
        (
            {"type": "zai"},
            "https://api.z.ai/api/anthropic",
            "bearer",
            ["glm-*", "GLM-*"],
            "keep",
            "forward",
        ),
        ({"type": "ollama"}, "http://localhost:11434", "none", ["*"], "user", "estimate"),
        (
            {"base_url": "https://relay.example"},
            "https://relay.example",
            "bearer",
            ["*"],
            "keep",
            "forward",
        ),
        (
            {"preset": "kimi"},
            "https://api.moonshot.ai/anthropic",
            "bearer",
            ["*"],
            "user",
            "estimate",
        ),
        (
            {"preset": "openrouter"},
            "https://openrouter.ai/api",
            "bearer",
            ["*"],
            "keep",
            "estimate",
        ),
    ],
)
def test_defaults_come_from_type_or_preset(
    members, base_url, auth, models, system_role, count_tokens
):
    provider = resolved(**members)
    assert provider.base_url == base_url
    assert provider.auth == auth
    assert provider.models == models
    assert provider.system_role == system_role
    assert provider.count_tokens == count_tokens


def test_ollama_keys_are_sent_as_bearer():
    assert resolved(type="ollama", keys=[Key(key="test-key-1")]).auth == "bearer"


@pytest.mark.parametrize("kind", ["ollama", "compatible"])
def test_a_mapping_limits_the_models_of_a_catch_all_provider(kind):
    assert resolved(type=kind, model_mapping={"claude-*": "m"}).models == []


def test_a_mapping_does_not_limit_a_provider_with_own_models():
    provider = resolved(type="zai", model_mapping={"claude-*": "glm-5"})
    assert provider.models == ["glm-*", "GLM-*"]


def test_deepseek_drops_betas_and_the_custom_tool_type():
    provider = resolved(preset="deepseek")
    assert provider.drop_betas == ["*"]
    assert provider.tool_type_custom == "drop"
    assert resolved(type="anthropic").drop_betas == []
    assert resolved(type="anthropic").tool_type_custom == "keep"


def test_only_anthropic_checks_claude_signatures():
    assert resolved(type="anthropic").signatures == "claude"
    for members in ({"type": "zai"}, {"type": "ollama"}, {"preset": "openrouter"}):
        assert resolved(**members).signatures == "none"


def test_prices_are_unchanged():
    prices = {"m": Price(input=1, output=2)}
    assert resolved(type="ollama", prices=prices).prices == prices


def test_configured_values_override_defaults():
    given = {
        "base_url": "https://api.minimaxi.com/anthropic",
        "auth": "x-api-key",
        "models": [],
        "drop_betas": [],
        "system_role": "keep",
        "count_tokens": "forward",
        "tool_type_custom": "drop",
        "signatures": "claude",
    }
    provider = resolved(preset="minimax", **given)
    assert {name: getattr(provider, name) for name in given} == given


def test_trailing_slashes_of_base_url_are_removed():
    assert resolved(base_url="https://h.example/api//").base_url == "https://h.example/api"


def test_auth_of_works_before_resolve():
    assert auth_of(Provider(name="p", preset="deepseek")) == "x-api-key"


@given(
    st.builds(
        Provider,
        name=st.just("p"),
        type=st.sampled_from(["anthropic", "zai", "ollama", "compatible"]),
        preset=st.none() | st.sampled_from(["kimi", "deepseek"]),
        base_url=st.none() | st.just("https://h.example/"),
        keys=st.lists(st.just(Key(key="test-key-1")), max_size=1),
        model_mapping=st.sampled_from([{}, {"a": "b"}]),
        models=st.none() | st.lists(st.sampled_from(["x-*", Model(id="m")]), max_size=2),
        drop_betas=st.none() | st.just(["b"]),
    )
)
def test_resolve_is_idempotent(provider):
    once = resolve(Config(providers=[provider]))
    assert resolve(once) == once
