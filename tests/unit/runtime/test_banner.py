from pathlib import Path

import msgspec
import pytest

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.load import demo_config
from ccrelay.config.model import (
    Auth,
    Config,
    Key,
    Management,
    Provider,
    Routing,
    Rule,
    Server,
    Use,
)
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


def printed(*providers, tokens=(), addresses=("127.0.0.1:8787",), workers=1, routing=None, **how):
    server = Server(auth=Auth(tokens=list(tokens)), workers=workers, watch=how.pop("watch", True))
    config = resolve(Config(server=server, providers=list(providers), routing=routing or Routing()))
    return banner(
        config, list(addresses), **{"pid": 4711, "config_file": None, "demo": False, **how}
    )


def test_the_management_plane_with_tls():
    management = Management(listen="127.0.0.1:8443", tls_cert="c", tls_key="k")
    config = resolve(Config(providers=[CLAUDE], management=management))
    text = banner(
        config,
        ["127.0.0.1:8787"],
        pid=1,
        config_file=None,
        demo=False,
        management="127.0.0.1:8443",
    )
    assert "gRPC and /metrics on https://127.0.0.1:8443\n" in text


def test_full_text(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "__version__", "9.9")
    monkeypatch.setenv("HOME", str(tmp_path))
    first, second = fingerprint("test-key-1"), fingerprint("test-key-2")
    text = printed(
        ZAI,
        CLAUDE,
        tokens=["test-token-1"],
        workers=2,
        routing=Routing(strategy="failover", rules=[Rule(name="r", use=Use(providers=["zai"]))]),
        config_file=tmp_path / ".config/ccrelay/config.yaml",
        management="127.0.0.1:8789",
        code="one-time-code",
        ready_s=0.31,
        is_terminal=True,
    )
    assert text == (
        "ccrelay 9.9 (pid 4711), 2 workers, ready in 0.3 s\n"
        "\n"
        "  relay   http://127.0.0.1:8787          2 providers, 2 keys, 1 rule, strategy failover\n"
        "  page    http://127.0.0.1:8789/#k=one-time-code\n"
        "          opens signed in, once; later: ccrelay open\n"
        "  status  ccrelay status                 gRPC and /metrics on http://127.0.0.1:8789\n"
        "  config  ~/.config/ccrelay/config.yaml  watched\n"
        "\n"
        f"  Z zai     main {first}  {second}\n"
        "  C claude  pass-through\n"
        "\n"
        "  Start Claude Code through it:   ccrelay claude\n"
        "\n"
        "  Ctrl-C finishes what runs, then stops."
    )


def test_the_page_without_a_code():
    text = printed(ZAI, management="[::]:8789")
    assert "  page    http://[::1]:8789              sign in: ccrelay open\n" in text


def test_what_is_not_known_is_not_said():
    text = printed(ZAI)
    assert text.splitlines()[0].endswith("(pid 4711), 1 worker")
    assert not any(
        word in text for word in ("ready", "status", "page", "watched", "Ctrl-C", "rule")
    )


def test_a_file_elsewhere_has_its_whole_path_and_is_not_always_watched(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = printed(ZAI, config_file=Path("/etc/ccrelay.yaml"), watch=False)
    assert "  config  /etc/ccrelay.yaml              not watched: SIGHUP reloads it\n" in text


def test_all_addresses_are_shown():
    text = printed(ZAI, addresses=("127.0.0.1:8787", "[::1]:8787"))
    assert "  relay   http://127.0.0.1:8787, http://[::1]:8787  1 provider" in text


def test_one_command_starts_claude_code():
    text = printed(ZAI, tokens=["test-token-1"], management="127.0.0.1:8789")
    assert text.endswith("\n\n  Start Claude Code through it:   ccrelay claude")
    assert "export" not in text


@pytest.mark.parametrize(
    ("management", "address"),
    [(None, "127.0.0.1:8787"), ("127.0.0.1:8789", "0.0.0.0:8787"), ("[::]:1", "192.0.2.1:8787")],
)
def test_where_commands_of_this_machine_do_not_find_it_variables_are_shown(management, address):
    text = printed(ZAI, tokens=["test-token-1"], management=management, addresses=(address,))
    assert text.endswith(
        "  Start Claude Code through it:\n"
        "\n"
        f"    export ANTHROPIC_BASE_URL={local_url(address)}\n"
        "    export ANTHROPIC_AUTH_TOKEN='<your relay token>'\n"
        "    claude"
    )


def test_without_tokens_any_credential_is_shown():
    assert printed(ZAI).endswith("    export ANTHROPIC_AUTH_TOKEN=anything\n    claude")


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


def lines_of_providers(text):
    return [line for line in text.splitlines() if line[:2] == "  " and line[2:3].isupper()]


@pytest.mark.parametrize("names", [[None], ["k"], ["a-name-of-24-columns-----"], ["n" * 200]])
@pytest.mark.parametrize("provider", ["z", "p" * 64])
def test_many_keys_are_cut_at_100_columns_and_counted(provider, names):
    keys = [Key(key=f"test-key-{n}", name=names[n % len(names)]) for n in range(30)]
    text = printed(Provider(name=provider, type="zai", keys=keys))
    line = lines_of_providers(text)[0]
    assert len(line) <= 100
    shown = line.count(":")
    assert shown >= 1
    assert line.endswith(f"  and {30 - shown} more")


def test_keys_that_just_fit_are_not_cut():
    for count in range(1, 8):
        keys = [Key(key=f"test-key-{n}") for n in range(count)]
        line = lines_of_providers(printed(Provider(name="z", type="zai", keys=keys)))[0]
        assert len(line) <= 100
        assert ("more" in line) == (count > 6), line


def test_letters_are_those_that_status_shows():
    names = ("anthropic", "work", "azure", "zai")
    providers = [Provider(name=name, base_url="http://127.0.0.1:1") for name in names]
    providers[0] = msgspec.structs.replace(providers[0], enabled=False)
    shown = [line.split()[:2] for line in lines_of_providers(printed(*providers))[:3]]
    assert shown == [["W", "work"], ["Z", "azure"], ["I", "zai"]]


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


def test_a_first_run_is_told_how_to_make_a_file(tmp_path):
    said = "  config  none: the first run            make one with: ccrelay init"
    assert said in printed(CLAUDE).splitlines()
    assert said not in printed(CLAUDE, config_file=tmp_path / "c.yaml").splitlines()
    assert said not in printed(CLAUDE, demo=True).splitlines()
