from pathlib import Path

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.load import demo_config
from ccrelay.config.model import Auth, Config, Key, Provider, Server
from ccrelay.config.resolve import resolve
from ccrelay.runtime import banner as module
from ccrelay.runtime.banner import banner, local_url

ZAI = Provider(
    name="zai",
    type="zai",
    keys=[Key(key="test-key-1", name="main"), Key(key="test-key-2"), Key(key="off", enabled=False)],
    model_mapping={"claude-*": "glm-5.3"},
)
CLAUDE = Provider(name="claude", type="anthropic")


def printed(*providers, tokens=(), addresses=("127.0.0.1:8787",), workers=1, **how):
    server = Server(auth=Auth(tokens=list(tokens)), workers=workers)
    config = resolve(Config(server=server, providers=list(providers)))
    return banner(
        config, list(addresses), **{"pid": 4711, "config_file": None, "demo": False, **how}
    )


def test_full_text(monkeypatch):
    monkeypatch.setattr(module, "__version__", "9.9")
    first, second = fingerprint("test-key-1"), fingerprint("test-key-2")
    text = printed(
        ZAI, CLAUDE, tokens=["test-token-1"], workers=2, config_file=Path("/etc/ccrelay.yaml")
    )
    assert text == (
        "ccrelay 9.9 listening on http://127.0.0.1:8787 (2 workers, pid 4711)\n"
        "configuration: /etc/ccrelay.yaml\n"
        "\n"
        f"  zai     zai        https://api.z.ai/api/anthropic  main {first}, {second}  "
        "claude-* -> glm-5.3, glm-*, GLM-*\n"
        "  claude  anthropic  https://api.anthropic.com       pass-through"
        "                       claude-*, anthropic*\n"
        "\n"
        "To use it with Claude Code:\n"
        "\n"
        "  export ANTHROPIC_BASE_URL=http://127.0.0.1:8787\n"
        "  export ANTHROPIC_AUTH_TOKEN='<your relay token>'"
    )


def test_without_tokens_any_credential_is_shown():
    assert printed(ZAI).endswith("  export ANTHROPIC_AUTH_TOKEN=anything")


def test_with_pass_through_no_token_is_shown():
    text = printed(ZAI, CLAUDE)
    assert "ANTHROPIC_AUTH_TOKEN" not in text
    assert text.endswith("Claude Code's own credential is passed through to claude.")


def test_no_secret_is_shown():
    text = printed(ZAI, tokens=["test-token-1"])
    assert not any(secret in text for secret in ("test-key-1", "test-key-2", "test-token-1"))


def test_a_disabled_provider_is_not_listed():
    text = printed(ZAI, Provider(name="other", base_url="http://127.0.0.1:1", enabled=False))
    assert "other" not in text


def test_a_long_list_of_models_is_cut():
    many = Provider(name="many", base_url="http://127.0.0.1:1", models=[f"m{n}" for n in range(9)])
    assert "m5 and 3 more" in printed(many)


def test_the_demo_shows_a_curl_command():
    config = demo_config("http://127.0.0.1:9")
    text = banner(config, ["127.0.0.1:8787"], pid=4711, config_file=None, demo=True)
    assert "without API key or network" in text
    assert "curl http://127.0.0.1:8787/v1/messages" in text
    assert '"model":"claude-' in text


def test_local_url_replaces_wildcard_addresses():
    assert local_url("0.0.0.0:80") == "http://127.0.0.1:80"
    assert local_url("[::]:80") == "http://[::1]:80"
    assert local_url("[fd00::1]:80") == "http://[fd00::1]:80"
    assert local_url("localhost:80") == "http://localhost:80"
