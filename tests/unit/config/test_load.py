import hashlib
import os
from pathlib import Path

import pytest

from ccrelay.config.keychain import KeychainError
from ccrelay.config.load import (
    ConfigError,
    Found,
    Unconfirmed,
    demo_config,
    find,
    load,
    load_found,
    search_paths,
)
from ccrelay.config.model import Key, Price, Rule, UpstreamTimeouts, Use, When
from ccrelay.config.trust import confirm
from tests.child import run_code
from tests.unit.config.conftest import ENV

EXAMPLE = """\
server:   {listen: "127.0.0.1:8787", workers: 1, auth: {tokens: ["${RELAY_TOKEN}"]}}
routing:  {strategy: simple-shuffle}
providers:
  - {name: anthropic, type: anthropic, keys: [{key: "${ANTHROPIC_API_KEY}", rpm_limit: 60}]}
  - name: zai
    type: zai
    base_url: "https://api.z.ai/api/anthropic"
    keys: [{key: "${ZAI_API_KEY}"}]
    model_mapping: {"claude-sonnet-4-5": "GLM-4.7"}
  - name: ollama
    type: ollama
    base_url: "http://localhost:11434"
    model_mapping: {"claude-*": "qwen3:32b"}
health: {open_s: 2}
logging: {level: debug, format: json, file: relay.log}
"""

EXAMPLE_TOML = """\
[server]
listen = "127.0.0.1:8787"
workers = 1
auth.tokens = ["${RELAY_TOKEN}"]
[routing]
strategy = "simple-shuffle"
[[providers]]
name = "anthropic"
type = "anthropic"
keys = [{key = "${ANTHROPIC_API_KEY}", rpm_limit = 60}]
[[providers]]
name = "zai"
type = "zai"
base_url = "https://api.z.ai/api/anthropic"
[[providers.keys]]
key = "${ZAI_API_KEY}"
[providers.model_mapping]
claude-sonnet-4-5 = "GLM-4.7"
[[providers]]
name = "ollama"
type = "ollama"
base_url = "http://localhost:11434"
model_mapping = {"claude-*" = "qwen3:32b"}
[health]
open_s = 2
[logging]
level = "debug"
format = "json"
file = "relay.log"
"""

MINIMAL = "providers: [{name: p, type: ollama}]\n"


def test_the_example_loads_resolved_with_secrets(load_text, tmp_path):
    loaded = load_text(EXAMPLE)
    config = loaded.config
    assert loaded.path == tmp_path / "ccrelay.yaml"
    assert config.server.auth.tokens == ["relay-token-1"]
    assert config.providers[0].keys == [Key(key="test-key-1", rpm_limit=60)]
    assert config.providers[0].base_url == "https://api.anthropic.com"
    assert config.providers[2].models == []
    assert config.providers[2].timeouts is None
    assert config.logging.file == "relay.log"


def test_toml_and_yaml_are_equivalent(load_text):
    yaml = load_text(EXAMPLE)
    toml = load_text(EXAMPLE_TOML, "ccrelay.toml")
    assert toml.config == yaml.config
    assert [p.message for p in toml.warnings] == [p.message for p in yaml.warnings]


def test_json_is_accepted_as_yaml(load_text):
    text = '{"providers": [{"name": "p", "type": "ollama"}]}'
    assert load_text(text, "ccrelay.json").config.providers[0].name == "p"


def test_all_problems_are_reported_in_file_order(problems_of):
    text = """\
server: {listen: "0.0.0.0:80", worker: 1}
providers:
  - name: a
    type: antropic
    keys:
      - key: "${ZAI_API_KY}"
        rpm_limit: sixty
  - name: a
    type: zai
    name: b
    headers: {host: x}
logging: {level: loud}
"""
    assert problems_of(text) == [
        "1:18: server.listen: a non-loopback address requires server.auth.tokens: without them "
        "anyone who can connect can use your API keys",
        '1:32: server.worker: unknown key (did you mean "workers"?)',
        '4:11: providers[0].type: expected one of "anthropic", "azure", "bedrock", "claude-aws", '
        '"claude-google", "compatible", "ollama", "vertex", "zai", '
        'got "antropic" (did you mean "anthropic"?)',
        '6:14: providers[0].keys[0].key: environment variable "ZAI_API_KY" is not set '
        '(did you mean "ZAI_API_KEY"?)',
        "7:20: providers[0].keys[0].rpm_limit: expected an integer from 1 up to "
        "1,000,000,000,000, got text",
        "8:5: providers[1].keys: auth bearer requires at least one key",
        '8:11: providers[1].name: duplicate provider name "a", also used by providers[0]',
        "10:5: providers[1].name: duplicate key (first on line 8)",
        "11:21: providers[1].headers.host: reserved header, set by the relay",
        '12:18: logging.level: expected one of "debug", "error", "info", "warning", got "loud"',
    ]


def test_a_provider_without_a_name_is_checked(problems_of):
    assert problems_of("providers:\n  - {type: zai, headers: {te: x}}\n") == [
        "2:5: providers[0].name: is missing",
        "2:5: providers[0].keys: auth bearer requires at least one key",
        "2:31: providers[0].headers.te: reserved header, set by the relay",
    ]


def test_toml_problems_have_positions(problems_of):
    text = '[[providers]]\nname = "p"\ntype = "zai"\n[[providers.keys]]\nkey = "x"\nrmp_limit = 5\n'
    assert problems_of(text, "c.toml") == [
        '6:1: providers[0].keys[0].rmp_limit: unknown key (did you mean "rpm_limit"?)'
    ]


def test_duplicate_keys_are_errors_in_both_formats(problems_of):
    (yaml,) = problems_of(MINIMAL + "server: {workers: 1, workers: 2}\n")
    assert yaml == "2:22: server.workers: duplicate key (first on line 2)"
    (toml,) = problems_of("[server]\nworkers = 1\nworkers = 2\n", "c.toml")
    assert toml.startswith("3:")
    assert "invalid TOML" in toml


def test_the_report_contains_the_file_name(tmp_path):
    path = tmp_path / "relay.yaml"
    path.write_text("providers: 5\n")
    with pytest.raises(ConfigError) as caught:
        load(path, env={})
    assert str(caught.value) == (
        f"{path}:1:12: providers: expected a list, got 5; write "
        'providers: [{name: "anthropic", type: "anthropic"}]'
    )


def test_an_empty_file_is_an_error_with_a_hint(problems_of):
    (problem,) = problems_of("")
    assert "ccrelay init" in problem


def test_a_secret_cannot_change_the_structure(load_text):
    secret = 'x",admin:[{y}]#${HOME}'
    config = load_text("providers: [{name: p, type: zai, keys: [{key: '${K}'}]}]", K=secret).config
    assert config.providers[0].keys[0].key == secret


def test_the_report_contains_no_secrets(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        'server: {auth: {tokens: ["${T}"]}}\n'
        'providers: [{name: "${T}", type: "${T}", base_url: "${T}", keys: [{key: "${T}"}]}]\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(path, env={"T": "canary secret"})
    assert len(caught.value.problems) == 5
    assert "canary" not in str(caught.value)


def test_secrets_from_files_and_commands(load_text, tmp_path):
    (tmp_path / "k").write_text("test-key-7\n")
    (tmp_path / "k").chmod(0o600)
    text = "providers: [{name: p, type: zai, keys: [{key: '${file:k}'}, {key: '${cmd:echo x}'}]}]"
    keys = load_text(text).config.providers[0].keys
    assert [key.key for key in keys] == ["test-key-7", "x"]


def test_a_readable_file_with_plain_text_secrets_is_a_warning(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("providers: [{name: p, type: zai, keys: [{key: test-key-1}]}]\n")
    path.chmod(0o644)
    messages = [str(problem) for problem in load(path, env={}).warnings]
    assert len(messages) == 2
    assert "chmod 600" in messages[0]
    path.chmod(0o600)
    (message,) = load(path, env={}).warnings
    assert "secret in plain text" in message.message


def test_warnings_have_positions(warnings_of):
    text = "providers:\n  - {name: p, base_url: 'http://h.example', auth: none}\n"
    assert warnings_of(text) == [
        "2:25: warning: providers[0].base_url: plain http to another host: prompts travel "
        "unencrypted"
    ]


BROKEN_RULES = """\
providers:
  - name: zai
    type: zai
    keys: [{key: "${ZAI_API_KEY}"}, {key: "${ZAI_API_KEY}"}]
    prices:
      glm-5: {input: 1, output: 3.2}
      "glm-4*": {input: -1, cache_reed: 0.1}
routing:
  strategy: model-based
  models:
    glm-: [zai]
    claude-: [zia, 7]
  rules:
    - when: {model: [""], headers: {x-team: ""}}
      use: {providers: [zay], strategy: cheapest}
    - when: {tokens_over: 10, tokens_under: 5, class: [main]}
      use:
    - when: {request_class: [mian]}
      use: {model: "glm-*"}
"""


def test_problems_in_rules_prices_and_tables_have_positions(problems_of):
    strategies = (
        'expected one of "cost-based", "failover", "latency-based", "least-busy", "model-based", '
        '"round-robin", "simple-shuffle"'
    )
    classes = '"background", "compaction", "count_tokens", "main", "subagent", "web-search"'
    assert problems_of(BROKEN_RULES) == [
        "4:43: providers[0].keys[1].key: duplicate of keys[0]: its limits would be counted "
        "twice; remove one",
        '7:17: providers[0].prices["glm-4*"].output: is missing',
        '7:25: providers[0].prices["glm-4*"].input: expected a number from 0 up to 100,000, got -1',
        '7:29: providers[0].prices["glm-4*"].cache_reed: unknown key (did you mean "cache_read"?)',
        '12:15: routing.models.claude-[0]: unknown provider "zia" (did you mean "zai"?)',
        "12:20: routing.models.claude-[1]: expected text, got 7; put it in quotes",
        "14:22: routing.rules[0].when.model[0]: empty model name",
        "14:45: routing.rules[0].when.headers.x-team: must not be empty or contain control or "
        "non-ASCII characters ('*': any value)",
        '15:25: routing.rules[0].use.providers[0]: unknown provider "zay" (did you mean "zai"?)',
        f"15:41: routing.rules[0].use.strategy: {strategies}, got "
        '"cheapest" (did you mean "cost-based"?)',
        "16:45: routing.rules[1].when.tokens_under: never matches together with tokens_over 10",
        '16:48: routing.rules[1].when.class: unknown key (did you mean "request_class"?)',
        "17:11: routing.rules[1].use: no effect: set providers, strategy or model (to exempt "
        "requests from later rules, set the strategy that they have without it)",
        f"18:30: routing.rules[2].when.request_class[0]: expected one of {classes}, got "
        '"mian" (did you mean "main"?)',
        "19:20: routing.rules[2].use.model: the model must not contain the wildcards * or ?, "
        'got "glm-*"',
    ]


BROKEN_TOML = """\
[[providers]]
name = "p"
type = "ollama"
[providers.prices."m*"]
input = 1
output = "two"
[routing.models]
"m-*" = ["p", "P"]
[[routing.rules]]
use.providers = ["p"]
[routing.rules.when]
tokens_over = -1
[[routing.rules]]
when = {images = true}
[[routing.rules]]
use = {modle = "x"}
"""


def test_problems_in_nested_toml_sections_have_positions(problems_of):
    assert problems_of(BROKEN_TOML, "c.toml") == [
        '6:10: providers[0].prices["m*"].output: expected a number from 0 up to 100,000, got "two"',
        '8:15: routing.models["m-*"][1]: unknown provider "P" (did you mean "p"?)',
        "12:15: routing.rules[0].when.tokens_over: expected an integer from 0 up to "
        "1,000,000,000,000, got -1",
        "13:1: routing.rules[1].use: no effect: set providers, strategy or model (to exempt "
        "requests from later rules, set the strategy that they have without it)",
        '16:8: routing.rules[2].use.modle: unknown key (did you mean "model"?)',
    ]


ROUTED = """\
providers:
  - {name: a, type: ollama, prices: {"m*": {input: 1, output: 2, cache_read: 0.1}}}
  - {name: b, type: ollama}
routing:
  strategy: model-based
  models: {"m-": [b, a]}
  models_default: [a]
  rules:
    - {name: small, when: {model: ["m*"], request_class: [main, web-search]}, use: {model: m-1}}
    - {when: {headers: {x-team: "red*"}, images: false}, use: {providers: [b], strategy: failover}}
"""

ROUTED_TOML = """\
[[providers]]
name = "a"
type = "ollama"
prices."m*" = {input = 1, output = 2, cache_read = 0.1}
[[providers]]
name = "b"
type = "ollama"
[routing]
strategy = "model-based"
models_default = ["a"]
models = {"m-" = ["b", "a"]}
[[routing.rules]]
name = "small"
when.model = ["m*"]
when.request_class = ["main", "web-search"]
use.model = "m-1"
[[routing.rules]]
[routing.rules.when]
headers = {x-team = "red*"}
images = false
[routing.rules.use]
providers = ["b"]
strategy = "failover"
"""


def test_rules_prices_and_tables_load_from_both_formats(load_text):
    loaded = load_text(ROUTED)
    assert loaded.warnings == []
    routing = loaded.config.routing
    assert routing.models == {"m-": ["b", "a"]}
    assert routing.rules == [
        Rule(
            name="small",
            when=When(model=["m*"], request_class=["main", "web-search"]),
            use=Use(model="m-1"),
        ),
        Rule(
            when=When(headers={"x-team": "red*"}, images=False),
            use=Use(providers=["b"], strategy="failover"),
        ),
    ]
    prices = loaded.config.providers[0].prices
    assert prices == {"m*": Price(input=1, output=2, cache_read=0.1)}
    assert load_text(ROUTED_TOML, "c.toml").config == loaded.config


def test_unset_timeouts_keep_their_defaults(load_text):
    text = "providers: [{name: p, type: ollama, timeouts: {idle_s: 7}}]\n"
    assert load_text(text).config.providers[0].timeouts == UpstreamTimeouts(idle_s=7.0)


def test_without_a_file_environment_variables_are_used(tmp_path):
    loaded = load(env={"ANTHROPIC_API_KEY": "test-key-1"}, cwd=tmp_path)
    (provider,) = loaded.config.providers
    assert loaded.path is None
    assert provider.keys[0].key == "test-key-1"
    assert provider.base_url == "https://api.anthropic.com"


def test_an_invalid_key_in_the_environment_is_an_error_with_the_variable(tmp_path):
    with pytest.raises(ConfigError, match="environment variable ANTHROPIC_API_KEY: the key") as c:
        load(env={"ANTHROPIC_API_KEY": "canary \n"}, cwd=tmp_path)
    assert "canary" not in str(c.value)


def test_files_are_searched_in_order(tmp_path):
    home, xdg, here = tmp_path / "home", tmp_path / "xdg", tmp_path / "here"
    env = {"HOME": str(home), "XDG_CONFIG_HOME": str(xdg)}
    places = search_paths(env, here)
    assert [str(place.relative_to(tmp_path)) for place in places] == [
        "here/ccrelay.yaml",
        "here/ccrelay.yml",
        "here/ccrelay.toml",
        "xdg/ccrelay/config.yaml",
        "xdg/ccrelay/config.yml",
        "xdg/ccrelay/config.toml",
        "home/.config/ccrelay/config.yaml",
        "home/.config/ccrelay/config.yml",
        "home/.config/ccrelay/config.toml",
    ]
    for place in reversed(places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(MINIMAL)
        assert find(env=env, cwd=here) == place
    named = tmp_path / "named.yaml"
    named.write_text(MINIMAL)
    assert find(env={**env, "CCRELAY_CONFIG": str(named)}, cwd=here) == named
    assert find(places[-1], env={**env, "CCRELAY_CONFIG": str(named)}, cwd=here) == places[-1]


def test_a_relative_or_default_xdg_config_home_is_not_searched_twice(tmp_path):
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}
    assert len(search_paths(env, tmp_path)) == 6
    env["XDG_CONFIG_HOME"] = str(tmp_path / ".config")
    assert len(search_paths(env, tmp_path)) == 6


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml: no such file \(--config\)"):
        load(Path("missing.yaml"), env={}, cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"no such file \(CCRELAY_CONFIG\)"):
        load(env={"CCRELAY_CONFIG": "missing.yaml"}, cwd=tmp_path)


def test_an_empty_variable_is_ignored(tmp_path):
    assert find(env={"CCRELAY_CONFIG": ""}, cwd=tmp_path) is None


def test_binary_large_and_unreadable_files_are_errors(tmp_path):
    for content, words in [(b"a: \xff", ":1:4: not UTF-8"), (b" " * (1 << 20) + b" ", "larger")]:
        path = tmp_path / "c.yaml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=words):
            load(path, env={})
    with pytest.raises(ConfigError, match="cannot read the file: Is a directory"):
        load(tmp_path, env={})


def test_a_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(path, env={}).config.providers[0].name == "p"


def test_the_demo_configuration_is_resolved_and_has_no_keys():
    config = demo_config("http://127.0.0.1:9")
    (provider,) = config.providers
    assert (provider.name, provider.type, provider.auth) == ("demo", "compatible", "none")
    assert (provider.models, provider.keys) == (["*"], [])
    assert provider.count_tokens == "forward"
    assert config.server.listen == "127.0.0.1:8787"
    assert demo_config("http://127.0.0.1:9", "127.0.0.1:0").server.listen == "127.0.0.1:0"


def test_the_demo_has_a_ledger_of_its_own():
    def path(env):
        return demo_config("http://127.0.0.1:9", env=env).ledger.path

    assert path({"HOME": "/h"}) == "/h/.local/state/ccrelay/demo-ledger.db"
    assert path({"STATE_DIRECTORY": "/s", "HOME": "/h"}) == "/s/demo-ledger.db"
    assert path({}) is None  # as for the other one, there is no place


def test_load_uses_the_process_environment_by_default(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "CCRELAY_CONFIG", str(tmp_path / "c.yaml"))
    (tmp_path / "c.yaml").write_text(MINIMAL)
    assert load().path == tmp_path / "c.yaml"


def test_importing_the_loader_does_not_import_yaml():
    code = "import sys, ccrelay.config.load; print('yaml' in sys.modules)"
    done = run_code(code)
    assert done.stdout == "False\n"


SECRETS = """
server: {auth: {tokens: ["${T}"]}}
providers:
  - name: a
    base_url: "http://127.0.0.1:1"
    keys: [{key: "${A}"}, {key: "${A}"}, {key: "${B}"}]
    headers: {x-secret: "${file:nowhere}"}
"""


def test_missing_secrets_get_placeholders_when_not_required(tmp_path: Path) -> None:
    file = tmp_path / "ccrelay.yaml"
    file.write_text(SECRETS)
    with pytest.raises(ConfigError):
        load(file, env={"B": "test-key-b"})
    loaded = load(file, env={"B": "test-key-b"}, require_secrets=False)
    (a,) = loaded.config.providers
    one, two, three = (key.key for key in a.keys)
    placeholders = [*loaded.config.server.auth.tokens, one, two, a.headers["x-secret"]]
    assert sorted(loaded.missing_secrets) == sorted(placeholders)
    assert three == "test-key-b"
    assert loaded.missing_secrets[one].path == ("providers", 0, "keys", 0, "key")


def test_values_other_than_secrets_are_always_required(tmp_path: Path) -> None:
    file = tmp_path / "ccrelay.yaml"
    file.write_text(SECRETS.replace("http://127.0.0.1:1", "${URL}"))
    with pytest.raises(ConfigError, match='"URL" is not set'):
        load(file, env={}, require_secrets=False)


# ---- commands


COMMANDS = """
server: {listen: "${cmd:./trap listen}", auth: {tokens: ["${cmd:./trap token}"]}}
providers:
  - name: a
    base_url: "${cmd:./trap url}"
    keys: [{key: "${cmd:./trap key}"}, {key: "${cmd:./trap other}", rpm_limit: 5}]
    headers: {x-a: "Bearer ${A:-${cmd:./trap header}}"}
  - {name: b, type: ollama}
logging: {file: "${cmd:./trap log}", level: debug}
"""


@pytest.fixture
def trap(tmp_path):
    """A program that leaves a trace."""
    (tmp_path / "trap").write_text("#!/bin/sh\ntouch ran\necho 127.0.0.1:1\n")
    (tmp_path / "trap").chmod(0o700)
    return tmp_path / "ran"


def test_commands_can_be_left_out_and_the_rest_is_checked(load_text, trap, tmp_path):
    file = tmp_path / "ccrelay.yaml"
    file.write_text(COMMANDS)
    loaded = load(file, env=ENV, run_commands=False)
    assert not trap.exists()
    key, other = loaded.config.providers[0].keys
    assert key.key != other.key
    assert other.rpm_limit == 5
    secrets = {key.key, other.key, *loaded.config.server.auth.tokens}
    secrets |= {*loaded.config.providers[0].headers.values()}
    assert set(loaded.missing_secrets) == secrets
    assert len(secrets) == 4
    assert loaded.not_run == {
        ("server", "listen"),
        ("server", "auth", "tokens", 0),
        ("providers", 0, "base_url"),
        ("providers", 0, "keys", 0, "key"),
        ("providers", 0, "keys", 1, "key"),
        ("providers", 0, "headers", "x-a"),
        ("logging", "file"),
    }
    assert {p.path for p in loaded.warnings if "not run" in p.message} == loaded.not_run
    assert loaded.config.providers[0].base_url is None
    assert loaded.config.logging.level == "debug"
    file.write_text(COMMANDS.replace("ollama", "olama"))
    with pytest.raises(ConfigError, match=r"providers\[1\]\.type"):
        load(file, env=ENV, run_commands=False)
    assert not trap.exists()


def test_one_command_has_one_output_also_when_it_is_left_out(tmp_path):
    file = tmp_path / "ccrelay.yaml"
    file.write_text(
        "providers: [{name: a, type: zai, keys: [{key: '${cmd:x}'}, {key: '${cmd:x}'}]}]"
    )
    with pytest.raises(ConfigError, match=r"duplicate of keys\[0\]"):
        load(file, env={}, run_commands=False)


def test_commands_that_ran_are_named_and_new_ones_are_refused(trap, tmp_path):
    file = tmp_path / "ccrelay.yaml"
    text = "providers: [{name: a, type: zai, keys: [{key: '${cmd:./trap a}'}]}]"
    file.write_text(text)
    loaded = load(file, env=ENV)
    assert loaded.commands == {"./trap a"}
    assert trap.exists()
    trap.unlink()
    assert load_found(Found(file), env=ENV, known_commands=loaded.commands).config == loaded.config
    trap.unlink()
    file.write_text(text.replace("trap a", "trap b"))
    with pytest.raises(ConfigError, match=r'keys\[0\]\.key: the command "./trap" is new.*SIGHUP'):
        load_found(Found(file), env=ENV, known_commands=loaded.commands)
    assert not trap.exists()


# ---- who can write, and who confirmed


@pytest.mark.parametrize("run_commands", [True, False])
@pytest.mark.parametrize("at", ["ccrelay.yaml", "."])
def test_a_file_that_others_can_write_is_refused_before_anything_runs(
    trap, tmp_path, at, run_commands
):
    file = tmp_path / "ccrelay.yaml"
    file.write_text(COMMANDS)
    (tmp_path / at).chmod(0o777)
    for path, env in ((file, {}), (None, {"CCRELAY_CONFIG": str(file)}), (None, {})):
        with pytest.raises(ConfigError) as caught:
            load(path, env=env, cwd=tmp_path, run_commands=run_commands)
        assert str(caught.value).startswith(f"{file}: refused: ")
        assert "can be written by every user (mode 0777): chmod" in str(caught.value)
    assert not trap.exists()
    file.write_text(MINIMAL)
    assert load(file, env={"CCRELAY_FILE_CHECKS": "off"}).config.providers[0].name == "p"


@pytest.mark.parametrize("name", ["ccrelay.yaml", "ccrelay.yml", "ccrelay.toml"])
def test_a_file_found_in_the_working_directory_needs_a_confirmation(tmp_path, name):
    here = tmp_path / "here"
    here.mkdir()
    file = here / name
    toml = '[[providers]]\nname = "p"\ntype = "ollama"\n'
    file.write_text(toml if name.endswith("toml") else MINIMAL)
    env = {"HOME": str(tmp_path)}
    with pytest.raises(Unconfirmed) as caught:
        load(env=env, cwd=here)
    assert caught.value.path == file
    assert "ccrelay config trust" in str(caught.value)
    assert f"--config ./{name}" in str(caught.value)
    assert load(file, env=env).path == file
    assert load(env={**env, "CCRELAY_CONFIG": name}, cwd=here).path == file
    confirm(file, load(file, env=env).digest, env)
    assert load(env=env, cwd=here).path == file
    file.write_text(file.read_text() + "\n")
    with pytest.raises(Unconfirmed):
        load(env=env, cwd=here)


def test_an_unconfirmed_file_does_not_give_way_to_another(tmp_path):
    here, home = tmp_path / "here", tmp_path / ".config" / "ccrelay"
    for folder in (here, home):
        folder.mkdir(parents=True)
    (home / "config.yaml").write_text(MINIMAL)
    env = {"HOME": str(tmp_path)}
    assert load(env=env, cwd=here).path == home / "config.yaml"  # needs none
    (here / "ccrelay.toml").write_text("")
    with pytest.raises(Unconfirmed):
        load(env=env, cwd=here)
    with pytest.raises(Unconfirmed):
        load(env={}, cwd=here)


def test_a_record_that_others_can_write_is_said(tmp_path):
    file = tmp_path / "ccrelay.yaml"
    file.write_text(MINIMAL)
    env = {"HOME": str(tmp_path)}
    confirm(file, load(file, env=env).digest, env).chmod(0o666)
    with pytest.raises(ConfigError, match="the record of confirmed files is not trusted"):
        load(env=env, cwd=tmp_path)


def test_the_digest_is_of_the_content_that_was_loaded(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(MINIMAL)
    assert load(file, env={}).digest == hashlib.sha256(MINIMAL.encode()).hexdigest()


def test_what_a_file_does_is_told_where_no_command_runs(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(COMMANDS)
    assert load(file, env=ENV, run_commands=False).effects.commands[0] == "./trap listen"


KEYCHAIN = """\
providers:
- {name: zai, type: zai, keys: [{key: "${keyring:zai}"}]}
"""


def test_the_keychain_is_asked_where_commands_run_and_only_there(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ccrelay.config.keychain.read_entry", lambda name, env: asked.append(name) or "test-key-1"
    )
    file = tmp_path / "c.yaml"
    file.write_text(KEYCHAIN)
    loaded = load(file, env={}, run_commands=False)
    assert not asked
    assert [str(warning) for warning in loaded.warnings] == [
        f"{file}:2:39: warning: providers[0].keys[0].key: the keychain is not asked here, so its "
        "value is not checked; `ccrelay config check --run-commands` asks it"
    ]
    (problem,) = loaded.missing_secrets.values()
    assert problem.message == "the keychain is not asked here"
    assert loaded.effects.keychain == ("zai",)
    assert "  reads      the keychain entry zai" in loaded.effects.lines()
    assert load(file, env={}).config.providers[0].keys[0].key == "test-key-1"
    assert asked == ["zai"]


def test_a_keychain_that_fails_is_an_error_at_its_place(tmp_path, monkeypatch):
    def fail(name, env):
        raise KeychainError("the keychain is locked: unlock it, and try again", "locked")

    monkeypatch.setattr("ccrelay.config.keychain.read_entry", fail)
    file = tmp_path / "c.yaml"
    file.write_text(KEYCHAIN)
    with pytest.raises(ConfigError, match=r"2:39: .*the keychain is locked"):
        load(file, env={})
    assert load(file, env={}, require_secrets=False).missing_secrets
