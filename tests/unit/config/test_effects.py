import pytest

from ccrelay.config.effects import effects, origin, origins
from ccrelay.config.model import (
    Config,
    Credential,
    Key,
    Ledger,
    Logging,
    Management,
    Provider,
    Server,
)
from ccrelay.config.resolve import resolve

DATA = {
    "server": {"listen": "0.0.0.0:1", "auth": {"tokens": ["${RELAY}"]}},
    "providers": [
        {
            "name": "a",
            "keys": [
                {"key": "${cmd:pass a}"},
                {"key": "${A:-${cmd:sh -c 'echo ${B}'}}"},  # a command knows no ${...} inside
                {"key": "${C}${file:~/c.key}-${cmd:pass a}"},
                {"key": "$${cmd:not one}"},
            ],
        }
    ],
}
CONFIG = Config(
    server=Server(listen="0.0.0.0:1"),
    providers=[
        Provider(name="a", base_url="https://me:test-key-1@a.example:8/x?y"),
        Provider(name="b", base_url="http://[::1]:11434"),
        Provider(name="c"),
    ],
    logging=Logging(file="/var/log/l"),
    management=Management(listen="127.0.0.1:2"),
    ledger=Ledger(path="/var/lib/l.db"),
)


def test_everything_that_reaches_outside_is_named_whatever_the_environment():
    found = effects(DATA, CONFIG)
    assert found.commands == ("pass a", "sh -c 'echo ${B}'")
    assert found.files == ("~/c.key",)
    assert found.variables == ("RELAY", "A", "C")
    assert found.listen == "0.0.0.0:1"
    assert dict(found.hosts) == {"a": "https://a.example:8", "b": "http://[::1]:11434", "c": "?"}
    assert found.lines() == [
        "  listens on 0.0.0.0:1",
        "  sends to   https://a.example:8 (provider a)",
        "  sends to   http://[::1]:11434 (provider b)",
        "  sends to   ? (provider c)",
        "  runs       pass a",
        "  runs       sh -c 'echo ${B}'",
        "  reads      ~/c.key",
        "  uses       $RELAY",
        "  uses       $A",
        "  uses       $C",
        "  logs to    /var/log/l",
        "  managed at 127.0.0.1:2",
        "  records to /var/lib/l.db",
    ]


def test_credentials_of_clouds_are_named():
    keys = [
        Key(credential=Credential(profile="dev")),
        Key(credential=Credential(role_arn="arn:aws:iam::111122223333:role/claude")),
        Key(key="test-key-1"),
    ]
    file = Key(credential=Credential(file="/etc/sa.json"))
    config = resolve(
        Config(
            providers=[
                Provider(name="a", type="bedrock", region="us-east-1", keys=keys),
                Provider(name="b", type="vertex", project="p-1", keys=[file]),
                Provider(name="c", type="azure", base_url="https://evil.example"),
            ]
        )
    )
    lines = effects({}, config).lines()
    assert lines == [
        "  listens on 127.0.0.1:8787",
        "  sends to   https://bedrock-mantle.us-east-1.api.aws (provider a)",
        "  sends to   https://aiplatform.googleapis.com (provider b)",
        "  sends to   https://evil.example (provider c)",
        "  reads      /etc/sa.json",
        "  uses       the credential dev of bedrock (provider a)",
        "  uses       the credential claude of bedrock (provider a)",
        "  uses       the credential sa.json of vertex (provider b)",
        "  uses       the credential default chain of azure (provider c)",
    ]


@pytest.mark.parametrize("name", ["base_url", "type", "preset", "region", "resource"])
def test_what_only_a_command_can_tell_is_not_told_by_its_default(name):
    places = {("server", "listen"), ("providers", 0, name), ("logging", "file")}
    places |= {("management", "listen"), ("ledger", "path")}
    found = effects(DATA, CONFIG, places)
    told = (found.listen, found.hosts[0][1], found.log_file, found.management, found.ledger)
    assert told == ("what a command says",) * 5
    assert found.hosts[1][1] == "http://[::1]:11434"


@pytest.mark.parametrize("text", ["\x1b[2J", "\n  runs nothing", "\x9b1m", "\u202e", "\u2028"])
def test_nothing_in_a_file_can_hide_a_line(text):
    data = {"providers": [{"keys": [{"key": f"${{cmd:a{text}b}}"}]}]}
    (line,) = [line for line in effects(data, Config()).lines() if "runs" in line[:8]]
    assert line.startswith("  runs       a\\")
    assert line.isprintable()


def test_a_long_command_is_shown_whole():
    command = "sh -c '" + "true; " * 500 + "rm x'"
    found = effects({"a": f"${{cmd:{command}}}"}, Config())
    assert any(line.endswith("rm x'") for line in found.lines())


@pytest.mark.parametrize("url", [None, "", "http://", "http://a:b:c", "http://a:99999", "x"])
def test_a_url_without_a_host_is_unknown(url):
    assert origin(url) == "?"


def test_origins_are_those_of_all_providers():
    assert origins(CONFIG) == {"https://a.example:8", "http://[::1]:11434", "?"}
