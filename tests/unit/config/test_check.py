import pytest

from ccrelay.config.check import LITERAL_SECRET, check
from ccrelay.config.model import Auth, Config, Health, Key, Logging, Provider, Routing, Server
from ccrelay.config.problems import path_text

PROVIDER = Provider(name="p", type="ollama")


def findings(config: Config, **spoilt: frozenset) -> list[str]:
    return [f"{path_text(p.path)}: {p.message}" for p in check(config, **spoilt)]


def of_server(**members: object) -> list[str]:
    return findings(Config(server=Server(**members), providers=[PROVIDER]))


def test_a_plain_configuration_has_no_findings():
    assert findings(Config(providers=[PROVIDER])) == []


def test_listening_on_loopback_needs_no_tokens():
    for listen in ("127.0.0.1:1", "localhost:0", "[::1]:8787"):
        assert of_server(listen=listen) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "[::]:8787", "10.0.0.5:80", "relay.example:1"])
def test_listening_anywhere_else_without_tokens_is_refused(listen):
    (finding,) = of_server(listen=listen)
    assert finding.startswith("server.listen: anything but loopback needs server.auth.tokens")
    assert of_server(listen=listen, auth=Auth(tokens=["relay-token-1"])) == []


def test_a_listen_address_that_does_not_parse_is_refused():
    (finding,) = of_server(listen="8787")
    assert finding.startswith("server.listen: not a listen address: ")


def test_unusable_tokens_are_refused_each_at_its_place():
    auth = Auth(tokens=["relay-token-1", "short", "", "relay token 2"])
    assert of_server(auth=auth) == [
        "server.auth.tokens[1]: a token is shorter than 8 characters",
        "server.auth.tokens[2]: a token is empty",
        "server.auth.tokens[3]: a token contains white space, a line break perhaps",
    ]


@pytest.mark.parametrize(
    ("hosts", "origins", "count"),
    [
        (["relay.example", "relay.example:80", "*"], ["https://a.example", "*"], 0),
        (["", "a b", "http://a.example"], [], 3),
        ([], ["a.example", "https://a.example/", "https://", ""], 4),
    ],
)
def test_allowed_hosts_and_origins_have_their_form(hosts, origins, count):
    assert len(of_server(allowed_hosts=hosts, allowed_origins=origins)) == count


def test_at_least_one_provider_must_be_enabled():
    (none,) = findings(Config())
    assert none.startswith("providers: no providers")
    (off,) = findings(Config(providers=[Provider(name="p", type="ollama", enabled=False)]))
    assert off == "providers: every provider is disabled; at least one must be enabled"


def test_provider_names_are_unique():
    assert findings(Config(providers=[PROVIDER, PROVIDER])) == [
        "providers[1].name: providers[0] has this name already"
    ]


def test_routing_and_health_are_checked_too():
    config = Config(
        providers=[PROVIDER], health=Health(open_s=31), routing=Routing(models_default=["q"])
    )
    assert {finding.partition(":")[0] for finding in findings(config)} == {
        "health.open_s",
        "routing.models_default",
        "routing.models_default[0]",
    }


def test_an_empty_log_file_name_is_refused():
    config = Config(providers=[PROVIDER], logging=Logging(file=" "))
    assert findings(config) == ["logging.file: the path is empty"]


def test_secrets_in_the_file_are_warned_about_and_expanded_ones_are_not():
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
        f"server.auth.tokens[1]: {LITERAL_SECRET}",
        f"providers[0].keys[0].key: {LITERAL_SECRET}",
    ]
    assert check(config) == []


def test_a_spoilt_section_is_not_called_missing():
    config = Config(server=Server(listen="0.0.0.0:80"), providers=[])
    bad = frozenset({("server", "auth", "tokens", 0), ("providers",)})
    assert findings(config, bad=bad) == []
