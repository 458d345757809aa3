import pytest

from ccrelay.config.check_provider import check_provider
from ccrelay.config.findings import Findings
from ccrelay.config.model import Key, Model, Price, Provider
from ccrelay.config.problems import path_text

KEY = Key(key="test-key-1")


def findings(invalid: frozenset = frozenset(), **members: object) -> list[str]:
    collected = Findings(invalid, frozenset())
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
def test_valid_providers_have_no_findings(members):
    assert findings(**members) == []


def test_a_preset_requires_type_compatible():
    only("a preset requires type compatible", type="zai", preset="kimi", keys=[KEY])


def test_type_compatible_requires_a_base_url_or_a_preset():
    only("requires a base_url or a preset", keys=[KEY])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://h.example", "must be http://HOST"),
        ("h.example", "must be http://HOST"),
        ("https://", "must be http://HOST"),
        ("https:///path", "must be http://HOST"),
        ("https://h\\.example", "invalid URL"),
        ("https://a..example", "must be http://HOST"),
        ("https://-a.example", "must be http://HOST"),
        ("https://h.example:0", "must not have port 0"),
        ("https://user:pw@h.example", "user name or password"),
        ("https://h.example?x=1", "query or a fragment"),
        ("https://h.example/#", "query or a fragment"),
        ("https://h.example/v1", 'remove "/v1"'),
        ("https://h.example/api/v1/messages/", 'remove "/v1/messages/"'),
        ("https://h.example:99999", "invalid URL: use http://HOST:PORT, or http://[IPV6]:PORT"),
        ("https://[::1", "invalid URL"),
        ("https://h.example/chat/completions", "a URL of OpenAI's API"),
        ("https://h.example/v1/chat/completions/", "a URL of OpenAI's API"),
        ("https://h.example/v1/responses", "a URL of OpenAI's API"),
        ("https://h.example/v1/messages/count_tokens", "before /v1/messages"),
        ("https://[::1]x", "must be http://HOST"),
        ("https://h.example:", "must be http://HOST"),
        ("https://h.example/a b", "invalid URL"),
        ("https://h.example\n", "invalid URL"),
        ("", "must be http://HOST"),
    ],
)
def test_invalid_base_urls_are_errors(url, words):
    only(words, base_url=url, keys=[KEY])


def test_plain_http_to_another_host_is_a_warning():
    only("warning: base_url: plain http", base_url="http://h.example", keys=[KEY])
    only("warning: base_url: plain http", base_url="http://10.0.0.1", keys=[KEY])
    only("warning: base_url: plain http", base_url="http://h.example", auth="none")


def test_auth_must_match_the_presence_of_keys():
    only("auth none sends no key", type="ollama", auth="none", keys=[KEY])
    only("auth bearer requires at least one key", type="zai")
    only("auth x-api-key requires at least one key", preset="deepseek")
    only("auth bearer requires at least one key", type="ollama", auth="bearer")


def test_pass_through_is_limited_to_anthropic_and_loopback():
    only("add keys", type="anthropic", base_url="https://relay.example")
    only("add keys", type="anthropic", base_url="https://api.anthropic.com.evil.example")
    only("add keys", type="anthropic", base_url="https://10.0.0.1")
    only("requires https", type="anthropic", base_url="http://api.anthropic.com")
    for auth in ("x-api-key", "bearer", "none"):
        only("remove auth, or add keys", type="anthropic", auth=auth)


def test_keys_must_be_valid_header_values():
    only("keys[1].key: the key contains whitespace", type="zai", keys=[KEY, Key(key="a b")])
    only("keys[0].name: ", type="zai", keys=[Key(key="test-key-1", name="a\nb")])


@pytest.mark.parametrize("name", ["itpm_limit", "otpm_limit"])
def test_a_limit_above_tpm_limit_is_a_warning(name):
    keys = [Key(key="test-key-1", tpm_limit=1000, **{name: 1001})]
    only(f"warning: keys[0].{name}: never reached: tpm_limit", type="zai", keys=keys)
    assert findings(type="zai", keys=[Key(key="test-key-1", tpm_limit=9, **{name: 9})]) == []
    assert findings(type="zai", keys=[Key(key="test-key-1", **{name: 9})]) == []


def test_limits_have_no_findings():
    limits = {"rpm_limit": 1, "tpm_limit": 2, "max_concurrent": 3, "weight": 0, "priority": 1}
    assert findings(type="zai", keys=[Key(key="test-key-1", **limits), Key(key="x")]) == []


def test_a_duplicate_key_is_an_error_without_its_value():
    keys = [Key(key="other"), Key(key="canary"), Key(key="canary", name="again", rpm_limit=5)]
    (finding,) = findings(type="zai", keys=keys)
    assert finding.startswith("keys[2].key: duplicate of keys[1]")
    assert "canary" not in finding


def test_a_duplicate_of_a_disabled_key_is_valid():
    keys = [Key(key="test-key-1"), Key(key="test-key-1", enabled=False)]
    assert findings(type="zai", keys=keys) == []


def test_invalid_keys_are_not_duplicates():
    invalid = frozenset({("keys", 0, "key"), ("keys", 1, "key")})
    assert findings(invalid, type="zai", keys=[Key(key=""), Key(key="")]) == []


def test_all_keys_with_weight_0_are_a_warning():
    none = [Key(key="a", weight=0), Key(key="b", weight=0), Key(key="c", enabled=False)]
    only("warning: keys: all keys have weight 0", type="zai", keys=none)
    assert findings(type="zai", keys=none, enabled=False) == []
    assert findings(type="zai", keys=[*none, Key(key="d")]) == []


def test_price_patterns_are_checked():
    price = Price(input=1, output=2)
    assert findings(type="ollama", prices={"m": price, "glm-*": price, "*": price}) == []
    only('prices["a b"]: model name contains whitespace', type="ollama", prices={"a b": price})
    only("never used", type="ollama", prices={"glm-*": price, "glm-4*": price})


def test_all_keys_disabled_is_a_warning():
    keys = [Key(key="test-key-1", enabled=False)]
    only("warning: keys: all keys are disabled", type="zai", keys=keys)
    assert findings(type="zai", keys=keys, enabled=False) == []


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"": "m"}, "empty model name"),
        ({"a b": "m"}, "contains whitespace"),
        ({"a": ""}, "is empty, or has leading or trailing whitespace"),
        ({"a": " m"}, "is empty, or has leading or trailing whitespace"),
        ({"a": "m-*"}, "must not contain the wildcards"),
        ({"a[12]": "m"}, "warning: "),
        ({"claude-*": "m", "claude-opus-*": "n"}, 'warning: model_mapping["claude-opus-*"]: never'),
        ({"*": "m", "a?": "n"}, "never used"),
    ],
)
def test_invalid_model_mappings_are_reported(mapping, words):
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
def test_valid_model_mappings_have_no_findings(mapping):
    assert findings(type="ollama", model_mapping=mapping) == []


def test_models_are_checked():
    assert findings(type="ollama", models=["a-*", "b:32b", Model(id="c")]) == []
    only("models[0]: empty model name", type="ollama", models=[""])
    only("models[0].id: must not contain", type="ollama", models=[Model(id="c-*")])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Host", "x", "reserved header, set by the relay"),
        ("transfer-encoding", "x", "reserved header, set by the relay"),
        ("X-Api-Key", "x", "reserved header, set by the relay"),
        ("a:b", "x", "invalid header name"),
        ("", "x", "invalid header name"),
        ("x-a", "a\r\nx-b: c", "control or non-ASCII"),
        ("x-a", " a", "leading or trailing whitespace"),
        ("x-a", "\u00e9", "non-ASCII"),
    ],
)
def test_invalid_and_reserved_headers_are_errors(name, value, words):
    only(words, type="ollama", headers={name: value})


def test_valid_headers_pass_and_duplicates_are_errors():
    assert findings(type="ollama", headers={"X-Title": "my relay", "x-empty": ""}) == []
    only("duplicate header", type="ollama", headers={"X-A": "1", "x-a": "2"})


def test_beta_names_are_checked():
    assert findings(type="ollama", drop_betas=["*", "context-1m-2025-08-07"]) == []
    only("drop_betas[0]: invalid beta name", type="ollama", drop_betas=["a,b"])


def test_a_name_with_a_line_break_is_an_error():
    only("control characters", type="ollama", name="p\n")


def test_nothing_is_reported_as_missing_when_its_cause_is_invalid():
    assert findings(frozenset({("type",)})) == []
    assert findings(frozenset({("preset",)}), base_url="https://h.example") == []
    assert findings(frozenset({("keys",)}), type="anthropic", auth="x-api-key") == []


def test_dropped_headers_are_names() -> None:
    assert findings(type="ollama", drop_headers=["x-team", "X_Team"]) == []
    only("drop_headers[0]: invalid header name", type="ollama", drop_headers=["a:b"])


def test_only_anthropic_has_endpoints_that_pass_through() -> None:
    groups = ["batches", "files", "skills"]
    assert findings(type="anthropic", passthrough=groups) == []
    only(
        "passthrough: passthrough requires type anthropic, not ollama",
        type="ollama",
        passthrough=["files"],
    )
