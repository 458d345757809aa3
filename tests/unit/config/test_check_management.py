import re
from pathlib import Path

import pytest

from ccrelay.config.check import check
from ccrelay.config.model import Config, Ledger, Management, Provider, Server
from ccrelay.config.problems import path_text

TLS = {"tls_cert": "cert.pem", "tls_key": "key.pem"}


def findings(config: Config, **placeholders: frozenset) -> list[str]:
    return [f"{path_text(p.path)}: {p.message}" for p in check(config, **placeholders)]


def management(listen: str | None = None, **members: object) -> list[str]:
    settings = Management(listen=listen, **members)
    return findings(Config(management=settings, providers=[Provider(name="p", type="ollama")]))


def test_the_defaults_have_no_findings():
    assert management() == []


@pytest.mark.parametrize("listen", ["127.0.0.1:8789", "localhost:0", "[::1]:1"])
def test_loopback_needs_no_tls(listen):
    assert management(listen) == []
    assert management(listen, **TLS) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8789", "[::]:8789", "10.0.0.5:80", "relay.example:1"])
def test_off_loopback_needs_certificate_and_key(listen):
    (finding,) = management(listen)
    assert finding.startswith("management.listen: a non-loopback address requires")
    assert "openssl req" in finding
    assert management(listen, **TLS) == []
    assert len(management(listen, tls_cert="cert.pem")) == 2


def test_the_certificate_that_is_recommended_is_one_that_grpc_takes():
    (finding,) = management("0.0.0.0:8789")
    (command,) = re.findall(r"`(openssl [^`]+)`", finding)
    page = Path("docs/management.md").read_text().replace("\\\n", " ")
    assert "ed25519" not in command
    assert " ".join(command.replace("HOST", "relay.example.com").split()) in " ".join(page.split())


def test_certificate_and_key_go_together():
    (finding,) = management(tls_cert="cert.pem")
    assert finding.startswith("management.tls_cert: management.tls_cert needs management.tls_key")
    (finding,) = management(tls_key="key.pem")
    assert finding.startswith("management.tls_key: management.tls_key needs management.tls_cert")
    found = management(tls_cert=" ", tls_key="")
    assert found == [
        "management.tls_cert: must not be empty",
        "management.tls_key: must not be empty",
    ]


@pytest.mark.parametrize(
    "listen", ["8789", ":8789", "http://127.0.0.1:8789", "127.0.0.1:65536", ""]
)
def test_an_invalid_address_is_an_error(listen):
    (finding,) = management(listen)
    assert finding.startswith("management.listen: invalid listen address")
    assert "8787" not in finding


@pytest.mark.parametrize(
    ("server", "own", "ok"),
    [
        ("127.0.0.1:8787", "127.0.0.1:8787", False),
        ("127.0.0.1:8787", "[::1]:8787", False),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("127.0.0.1:8789", None, True),  # the default makes way
        ("8789", "127.0.0.1:8789", True),  # has a finding of its own
    ],
)
def test_the_port_of_the_data_plane_is_taken(server, own, ok):
    config = Config(
        server=Server(listen=server),
        management=Management(listen=own),
        providers=[Provider(name="p", type="ollama")],
    )
    found = [finding for finding in findings(config) if finding.startswith("management")]
    assert (found == []) == ok
    assert ok or "is that of server.listen" in found[0]


def test_an_invalid_value_is_not_reported_twice():
    config = Config(
        management=Management(listen="127.0.0.1:8787"),
        providers=[Provider(name="p", type="ollama")],
    )
    assert findings(config, invalid=frozenset({("management", "listen")})) == []
    assert findings(config, invalid=frozenset({("server", "listen")})) == []


def test_hosts_are_names():
    assert management(allowed_hosts=["relay.example"]) == []
    (finding,) = management(allowed_hosts=["https://relay.example/"])
    assert finding.startswith("management.allowed_hosts[0]: invalid host")


def test_an_empty_path_of_the_ledger_is_an_error():
    config = Config(ledger=Ledger(path=" "), providers=[Provider(name="p", type="ollama")])
    assert findings(config) == ["ledger.path: must not be empty"]
