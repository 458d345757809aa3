import pytest

from ccrelay.config.check_provider import check_provider
from ccrelay.config.findings import Findings
from ccrelay.config.model import Key, Model, Price, Provider
from ccrelay.config.problems import path_text

KEY = Key(key="test-key-1")


def findings(bad: frozenset = frozenset(), **members: object) -> list[str]:
    collected = Findings(bad, frozenset())
    check_provider(Provider(**{"name": "p", **members}), (), collected)
    return [
        f"{'warning: ' * (p.severity == 'warning')}{path_text(p.path)}: {p.message}"
        for p in collected.problems
    ]


def only(words: str, **members: object) -> None:
    (finding,) = findings(**members)
    assert words in finding


@pytest.mark.parametrize(
    "members",
    [
        {"type": "anthropic"},
        {"type": "anthropic", "keys": [KEY]},
        {"type": "anthropic", "keys": [KEY], "base_url": "https://relay.example"},
        {"type": "anthropic", "base_url": "http://127.0.0.1:9/x"},
        {"type": "anthropic", "base_url": "https://API.anthropic.com/"},
        {"type": "zai", "keys": [KEY]},
        {"type": "ollama"},
        {"type": "ollama", "keys": [KEY], "base_url": "https://ollama.com"},
        {"preset": "kimi", "keys": [KEY]},
        {"base_url": "http://localhost:1", "auth": "none"},
        {"base_url": "http://10.0.0.9:11434", "auth": "none"},
        {"base_url": "http://[::1]:80/a/b", "auth": "none"},
    ],
)
def test_usable_providers_have_no_findings(members):
    assert findings(**members) == []


def test_a_preset_goes_with_type_compatible_only():
    only("a preset goes with type compatible", type="zai", preset="kimi", keys=[KEY])


def test_compatible_needs_a_base_url_or_a_preset():
    only("needs a base_url or a preset", keys=[KEY])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://h.example", "must be http://HOST"),
        ("h.example", "must be http://HOST"),
        ("https://", "must be http://HOST"),
        ("https:///path", "must be http://HOST"),
        ("https://h\\.example", "must be http://HOST"),
        ("https://user:pw@h.example", "user or password"),
        ("https://h.example?x=1", "query or a fragment"),
        ("https://h.example/#", "query or a fragment"),
        ("https://h.example/v1", 'leave "/v1" out'),
        ("https://h.example/api/v1/messages/", 'leave "/v1/messages/" out'),
        ("https://h.example:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://[::1]x", "must be http://HOST"),
        ("https://h.example:", "must be http://HOST"),
        ("https://h.example/a b", "not a URL"),
        ("https://h.example\n", "not a URL"),
        ("", "must be http://HOST"),
    ],
)
def test_a_base_url_that_cannot_be_used_is_refused(url, words):
    only(words, base_url=url, keys=[KEY])


def test_plain_http_to_another_host_is_warned_about():
    only("warning: base_url: plain http", base_url="http://h.example", keys=[KEY])
    only("warning: base_url: plain http", base_url="http://10.0.0.1", keys=[KEY])
    only("warning: base_url: plain http", base_url="http://h.example", auth="none")


def test_auth_and_keys_must_fit():
    only("auth none sends no key", type="ollama", auth="none", keys=[KEY])
    only("auth bearer needs at least one key", type="zai")
    only("auth x-api-key needs at least one key", preset="deepseek")
    only("auth bearer needs at least one key", type="ollama", auth="bearer")


def test_a_clients_own_login_goes_to_anthropic_or_loopback_only():
    only("add keys", type="anthropic", base_url="https://relay.example")
    only("add keys", type="anthropic", base_url="https://api.anthropic.com.evil.example")
    only("add keys", type="anthropic", base_url="https://10.0.0.1")
    only("needs https", type="anthropic", base_url="http://api.anthropic.com")
    for auth in ("x-api-key", "bearer", "none"):
        only("leave auth out, or add keys", type="anthropic", auth=auth)


def test_keys_must_be_sendable():
    only("keys[1].key: the key contains white space", type="zai", keys=[KEY, Key(key="a b")])
    only("keys[0].name: ", type="zai", keys=[Key(key="test-key-1", name="a\nb")])


@pytest.mark.parametrize("name", ["itpm_limit", "otpm_limit"])
def test_a_limit_beyond_that_of_all_tokens_is_warned_about(name):
    keys = [Key(key="test-key-1", tpm_limit=1000, **{name: 1001})]
    only(f"warning: keys[0].{name}: never reached: tpm_limit", type="zai", keys=keys)
    assert findings(type="zai", keys=[Key(key="test-key-1", tpm_limit=9, **{name: 9})]) == []
    assert findings(type="zai", keys=[Key(key="test-key-1", **{name: 9})]) == []


def test_limits_are_no_findings():
    limits = {"rpm_limit": 1, "tpm_limit": 2, "max_concurrent": 3, "weight": 0, "priority": 1}
    assert findings(type="zai", keys=[Key(key="test-key-1", **limits), Key(key="x")]) == []


def test_the_same_key_twice_is_refused_and_not_shown():
    keys = [Key(key="other"), Key(key="canary"), Key(key="canary", name="again", rpm_limit=5)]
    (finding,) = findings(type="zai", keys=keys)
    assert finding.startswith("keys[2].key: the same key as keys[1]")
    assert "canary" not in finding


def test_a_key_may_stand_twice_when_only_one_of_them_is_used():
    keys = [Key(key="test-key-1"), Key(key="test-key-1", enabled=False)]
    assert findings(type="zai", keys=keys) == []


def test_keys_that_could_not_be_read_are_not_the_same_key():
    bad = frozenset({("keys", 0, "key"), ("keys", 1, "key")})
    assert findings(bad, type="zai", keys=[Key(key=""), Key(key="")]) == []


def test_keys_of_which_none_has_a_weight_are_warned_about():
    none = [Key(key="a", weight=0), Key(key="b", weight=0), Key(key="c", enabled=False)]
    only("warning: keys: every key has weight 0", type="zai", keys=none)
    assert findings(type="zai", keys=none, enabled=False) == []
    assert findings(type="zai", keys=[*none, Key(key="d")]) == []


def test_prices_are_named_by_models_or_globs():
    price = Price(input=1, output=2)
    assert findings(type="ollama", prices={"m": price, "glm-*": price, "*": price}) == []
    only('prices["a b"]: a model name has no white space', type="ollama", prices={"a b": price})
    only("never used", type="ollama", prices={"glm-*": price, "glm-4*": price})


def test_a_provider_of_which_every_key_is_disabled_is_warned_about():
    keys = [Key(key="test-key-1", enabled=False)]
    only("warning: keys: every key is disabled", type="zai", keys=keys)
    assert findings(type="zai", keys=keys, enabled=False) == []


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"": "m"}, "the model name is empty"),
        ({"a b": "m"}, "no white space"),
        ({"a": ""}, "is empty, or has white space"),
        ({"a": " m"}, "is empty, or has white space"),
        ({"a": "m-*"}, "must be one name"),
        ({"a[12]": "m"}, "warning: "),
        ({"claude-*": "m", "claude-opus-*": "n"}, 'warning: model_mapping["claude-opus-*"]: never'),
        ({"*": "m", "a?": "n"}, "never used"),
    ],
)
def test_a_mapping_that_cannot_work_is_found(mapping, words):
    only(words, type="ollama", model_mapping=mapping)


@pytest.mark.parametrize(
    "mapping",
    [
        {"claude-opus-*": "m", "claude-*": "n"},
        {"claude-*": "m", "claude-opus-4-5": "n"},  # an exact name wins
        {"claude-?": "m", "claude-*": "n"},
        {"claude-*[1m]": "m", "claude-*": "n"},
        {"claude-opus-4-5[1M]": "m[1m]"},
    ],
)
def test_a_mapping_that_works_is_no_finding(mapping):
    assert findings(type="ollama", model_mapping=mapping) == []


def test_models_are_names_or_globs_and_listed_ones_are_names():
    assert findings(type="ollama", models=["a-*", "b:32b", Model(id="c")]) == []
    only("models[0]: the model name is empty", type="ollama", models=[""])
    only("models[0].id: must be one name", type="ollama", models=[Model(id="c-*")])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Host", "x", "the relay writes this header"),
        ("transfer-encoding", "x", "the relay writes this header"),
        ("X-Api-Key", "x", "the relay writes this header"),
        ("a:b", "x", "not a header name"),
        ("", "x", "not a header name"),
        ("x-a", "a\r\nx-b: c", "control or non-ASCII"),
        ("x-a", " a", "white space around"),
        ("x-a", "\u00e9", "non-ASCII"),
    ],
)
def test_headers_that_would_break_the_request_are_refused(name, value, words):
    only(words, type="ollama", headers={name: value})


def test_plain_headers_are_taken_and_doubled_ones_refused():
    assert findings(type="ollama", headers={"X-Title": "my relay", "x-empty": ""}) == []
    only("given twice", type="ollama", headers={"X-A": "1", "x-a": "2"})


def test_names_of_betas_are_checked():
    assert findings(type="ollama", drop_betas=["*", "context-1m-2025-08-07"]) == []
    only("drop_betas[0]: not the name of a beta", type="ollama", drop_betas=["a,b"])


def test_a_name_with_a_line_break_is_refused():
    only("control characters", type="ollama", name="p\n")


def test_nothing_is_called_missing_when_its_reason_is_wrong():
    assert findings(frozenset({("type",)})) == []
    assert findings(frozenset({("preset",)}), base_url="https://h.example") == []
    assert findings(frozenset({("keys",)}), type="anthropic", auth="x-api-key") == []
