import pytest
import yaml

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import (
    Auth,
    Config,
    Credential,
    Key,
    Model,
    Price,
    Provider,
    Routing,
    Rule,
    Server,
    Use,
    When,
)
from ccrelay.config.resolve import resolve
from ccrelay.config.show import redacted, shown_url

CONFIG = Config(
    server=Server(auth=Auth(tokens=["canary-token"])),
    providers=[
        Provider(
            name="p",
            keys=[Key(key="canary-key", name="mine")],
            headers={"x-team": "canary-header"},
            base_url="https://h.example/canary-path/v1",
            models=["a", Model(id="b")],
            prices={"m": Price(input=1, output=2)},
        )
    ],
    routing=Routing(
        models={"m": ["p"]},
        rules=[Rule(when=When(headers={"x-a": "*", "x-b": "canary-*"}), use=Use(providers=["p"]))],
    ),
)


def test_secrets_are_shown_as_fingerprints():
    data = redacted(CONFIG)
    assert "canary" not in str(data)
    assert data["server"]["auth"]["tokens"] == [fingerprint("canary-token")]
    assert data["providers"][0]["keys"][0]["key"] == fingerprint("canary-key")
    assert data["providers"][0]["headers"] == {"x-team": fingerprint("canary-header")}


def test_a_credential_is_shown_without_its_secret():
    credential = Credential(tenant_id="t", client_id="c", client_secret="test-secret-1")
    provider = Provider(
        name="p",
        type="claude-google",
        project="test-project-1",
        workspace="wrkspc_test1",
        keys=[Key(credential=credential), Key(credential=Credential(file="/x/sa.json"))],
    )
    (shown,) = redacted(resolve(Config(providers=[provider])))["providers"]
    assert "test-secret-1" not in str(shown)
    first, second = shown["keys"]
    assert first["credential"] == {
        "tenant_id": "t",
        "client_id": "c",
        "client_secret": fingerprint("test-secret-1"),
    }
    assert first["key"] == fingerprint('credential:{"client_id":"c","tenant_id":"t"}')
    assert second["credential"] == {"file": "/x/sa.json"}
    assert second["name"] == "sa.json"
    assert shown["base_url"].startswith("https://claude.googleapis.com/v1/projects/hmac:")


def test_defaults_are_shown_and_none_is_omitted():
    data = redacted(CONFIG)
    assert data["server"]["workers"] == 1
    assert data["routing"]["timeouts"]["connect_s"] == 10.0
    assert data["providers"][0]["keys"][0]["name"] == "mine"
    assert "rpm_limit" not in data["providers"][0]["keys"][0]
    assert data["providers"][0]["models"] == ["a", {"id": "b"}]


def test_the_result_round_trips_through_yaml():
    assert yaml.safe_load(yaml.safe_dump(redacted(CONFIG))) == redacted(CONFIG)


def test_sections_in_lists_and_mappings_are_shown():
    data = redacted(CONFIG)
    assert data["providers"][0]["prices"] == {"m": {"input": 1, "output": 2}}
    assert data["routing"]["models"] == {"m": ["p"]}
    (rule,) = data["routing"]["rules"]
    assert rule["when"] == {
        "model": [],
        "request_class": [],
        "headers": {"x-a": "*", "x-b": fingerprint("canary-*")},
    }
    assert rule["use"] == {"providers": ["p"]}


def test_values_of_commands_that_did_not_run_are_named_instead():
    provider = Provider(name="p", keys=[Key(key="placeholder")], headers={"x-a": "placeholder"})
    places = [("providers", 0, "base_url"), ("providers", 0, "keys", 0, "key")]
    places += [("providers", 0, "headers", "x-a"), ("logging", "file")]
    plain = redacted(Config(providers=[provider]), not_run=places)
    (shown,) = plain["providers"]
    values = [shown["base_url"], shown["keys"][0]["key"], shown["headers"]["x-a"]]
    assert {*values, plain["logging"]["file"]} == {"(of a command or the keychain, not asked here)"}


@pytest.mark.parametrize(
    ("url", "shown", "hidden"),
    [
        ("https://api.z.ai/api/anthropic", "https://api.z.ai/api/anthropic", ""),
        ("http://localhost:11434", "http://localhost:11434", ""),
        ("http://[::1]:8080/", "http://[::1]:8080/", ""),
        ("https://h.example/canary/v1", "https://h.example/{}/v1", "canary"),
        ("https://me:canary@h.example/api", "https://h.example/api", ""),
        ("https://h.example/API", "https://h.example/{}", "API"),
    ],
)
def test_of_a_base_url_only_known_words_of_its_path_are_shown(url, shown, hidden):
    assert shown_url(url) == shown.format(fingerprint(hidden))
