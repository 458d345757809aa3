import pytest

from ccrelay.config.check import PLAIN_TEXT_SECRET, check
from ccrelay.config.model import Auth, Config, Health, Key, Logging, Provider, Routing, Server
from ccrelay.config.problems import path_text

PROVIDER = Provider(name="p", type="ollama")


def findings(config: Config, **placeholders: frozenset) -> list[str]:
    return [f"{path_text(p.path)}: {p.message}" for p in check(config, **placeholders)]


def of_server(**members: object) -> list[str]:
    return findings(Config(server=Server(**members), providers=[PROVIDER]))


def test_a_minimal_configuration_has_no_findings():
    assert findings(Config(providers=[PROVIDER])) == []


def test_listening_on_loopback_needs_no_tokens():
    for listen in ("127.0.0.1:1", "localhost:0", "[::1]:8787"):
        assert of_server(listen=listen) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "10.0.0.5:80", "relay.example:1"])
def test_non_loopback_listen_requires_tokens(listen):
    (finding,) = of_server(listen=listen)
    assert finding.startswith("server.listen: a non-loopback address requires server.auth.tokens")
    assert of_server(listen=listen, auth=Auth(tokens=["relay-token-0001"])) == []


@pytest.mark.parametrize(
    ("listen", "length", "ok"),
    [
        ("127.0.0.1:8787", 8, True),
        ("[::1]:8787", 15, True),
        ("localhost:8787", 8, True),
        ("0.0.0.0:8787", 15, False),
        ("[::]:8787", 8, False),
        ("10.0.0.5:8787", 15, False),
        ("relay.example:8787", 15, False),
        ("0.0.0.0:8787", 16, True),
        ("relay.example:8787", 16, True),
    ],
)
def test_a_token_off_loopback_has_16_characters(listen, length, ok):
    found = of_server(listen=listen, auth=Auth(tokens=["x" * 40, "y" * length]))
    if ok:
        assert found == []
        return
    (finding,) = found
    assert finding.startswith("server.auth.tokens[1]: a token is shorter than 16 characters")
    assert "secrets.token_urlsafe" in finding
    assert "yyyyyyyy" not in finding


def test_an_invalid_listen_address_is_an_error():
    (finding,) = of_server(listen="8787")
    assert finding.startswith('server.listen: invalid listen address "8787": ')


def test_invalid_tokens_are_errors_with_their_path():
    auth = Auth(tokens=["relay-token-1", "short", "", "relay token 2"])
    assert of_server(auth=auth) == [
        "server.auth.tokens[1]: a token is shorter than 8 characters",
        "server.auth.tokens[2]: a token is empty",
        "server.auth.tokens[3]: a token contains whitespace, perhaps a line break",
    ]


@pytest.mark.parametrize(
    ("hosts", "origins", "count"),
    [
        (["relay.example", "relay.example:80", "*"], ["https://a.example", "*"], 0),
        (["", "a b", "http://a.example"], [], 3),
        ([], ["a.example", "https://a.example/", "https://", ""], 4),
    ],
)
def test_allowed_hosts_and_origins_are_validated(hosts, origins, count):
    assert len(of_server(allowed_hosts=hosts, allowed_origins=origins)) == count


def test_at_least_one_provider_must_be_enabled():
    (none,) = findings(Config())
    assert none.startswith("providers: no providers")
    (off,) = findings(Config(providers=[Provider(name="p", type="ollama", enabled=False)]))
    assert off == "providers: every provider is disabled; at least one must be enabled"


def test_provider_names_are_unique():
    assert findings(Config(providers=[PROVIDER, PROVIDER])) == [
        'providers[1].name: duplicate provider name "p", also used by providers[0]'
    ]


def test_routing_and_health_are_checked():
    config = Config(
        providers=[PROVIDER], health=Health(open_s=31), routing=Routing(models_default=["q"])
    )
    assert {finding.partition(":")[0] for finding in findings(config)} == {
        "health.open_s",
        "routing.models_default",
        "routing.models_default[0]",
    }


def test_an_empty_log_file_name_is_an_error():
    config = Config(providers=[PROVIDER], logging=Logging(file=" "))
    assert findings(config) == ["logging.file: must not be empty"]


def test_secrets_in_plain_text_are_warnings():
    config = Config(
        server=Server(auth=Auth(tokens=["relay-token-1", "relay-token-2"])),
        providers=[
            Provider(name="z", type="zai", keys=[Key(key="test-key-1"), Key(key="test-key-2")])
        ],
    )
    expanded = frozenset({("server", "auth", "tokens", 0), ("providers", 0, "keys", 1, "key")})
    problems = check(config, expanded=expanded)
    assert {problem.severity for problem in problems} == {"warning"}
    assert [f"{path_text(p.path)}: {p.message}" for p in problems] == [
        f"server.auth.tokens[1]: {PLAIN_TEXT_SECRET}",
        f"providers[0].keys[0].key: {PLAIN_TEXT_SECRET}",
    ]
    assert check(config) == []


def test_an_invalid_section_is_not_reported_as_missing():
    config = Config(server=Server(listen="0.0.0.0:80"), providers=[])
    invalid = frozenset({("server", "auth", "tokens", 0), ("providers",)})
    assert findings(config, invalid=invalid) == []


def two_with_a_key(first: dict[str, object], second: dict[str, object]) -> list[str]:
    base = {"type": "compatible", "base_url": "https://one.example/api"}
    key = Key(key="canary-key-1")
    providers = [
        Provider(**{"name": name, **base, "keys": [key], **members})
        for name, members in (("one", first), ("two", second))
    ]
    return findings(Config(providers=providers))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, {"base_url": "https://ONE.example/api/"}),
        ({}, {"keys": [Key(key="other-key-1"), Key(key="canary-key-1", rpm_limit=5)]}),
        ({}, {"base_url": "https://one.example:443/api"}),
        ({"base_url": "http://127.0.0.1"}, {"base_url": "http://127.0.0.1:80/"}),
        ({"type": "zai", "base_url": None}, {"type": "zai", "base_url": None}),
        ({"type": "zai", "base_url": None}, {"base_url": "https://api.z.ai/api/anthropic"}),
        (
            {"base_url": None, "preset": "kimi"},
            {"base_url": "https://api.moonshot.ai/anthropic"},
        ),
    ],
)
def test_one_key_at_one_base_url_belongs_to_one_provider(first, second):
    (finding,) = two_with_a_key(first, second)
    assert finding.startswith("providers[1].keys[")
    assert "also a key of providers[0], at the same base_url" in finding
    assert "canary" not in finding


@pytest.mark.parametrize(
    "second",
    [
        {"base_url": "https://two.example/api"},
        {"base_url": "https://one.example:8443/api"},
        {"base_url": "http://127.0.0.1/api"},
        {"keys": [Key(key="other-key-1")]},
        {"enabled": False},
        {"keys": [Key(key="canary-key-1", enabled=False), Key(key="other-key-1")]},
    ],
)
def test_a_key_may_stand_twice_where_it_has_two_limits_or_one_use(second):
    assert two_with_a_key({}, second) == []
