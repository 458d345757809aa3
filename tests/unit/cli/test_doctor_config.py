"""Checks that read the configuration: file, port, certificates, clocks, and providers."""

import email.utils
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import doctor_config as doctor
from ccrelay.config.model import Config, Credential, Key, Provider, Server
from ccrelay.config.resolve import resolve
from ccrelay.runtime.credentials_link import CredentialOutcome, entries_of
from ccrelay.v1 import relay_pb2
from tests.unit.cli.fake_provider import fake_provider

SECRET = "test-key-0123456789"
GOOD = 'providers:\n  - {name: a, type: anthropic, keys: [{key: "${DOCTOR_KEY}", name: k}]}\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCTOR_KEY", SECRET)
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    path.chmod(0o600)
    return path


def running(path: Path | str, **members: Any) -> Any:
    return relay_pb2.Status(config_file=str(path), revision=14, **members)


def test_a_file_without_mistakes(file: Path) -> None:
    found = doctor.find_config(file, None)
    assert found.config is not None
    [finding] = found.findings
    assert finding.text == f"{file}: no mistakes, 1 provider"


def test_mistakes_are_told_with_line_and_editor(file: Path) -> None:
    file.write_text("providers:\n  - name: a\n    type: anthropic\n    prioritty: 3\n")
    found = doctor.find_config(file, running(file))
    assert found.config is None
    [finding] = found.findings
    assert finding.verdict == "FAIL"
    assert f"{file}:4:5" in finding.text
    assert finding.meaning == "Number 14 stays in force."
    assert finding.do == f"$EDITOR +4 {file}"


def test_a_secret_that_is_missing_does_not_hide_the_rest(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCTOR_KEY")
    found = doctor.find_config(file, None)
    assert [finding.verdict for finding in found.findings] == ["FAIL"]
    assert found.config is not None
    assert [provider.name for provider in found.config.providers] == ["a"]
    assert ["DOCTOR_KEY" in why for why in found.missing.values()] == [True]


def test_many_mistakes_are_counted(file: Path) -> None:
    file.write_text(GOOD + "".join(f"x{n}: 1\n" for n in range(6)))
    found = doctor.find_config(file, None).findings
    assert len(found) == doctor.SHOWN_MAX + 1
    assert found[-1].text == "and 3 more mistakes"


def test_the_file_of_the_relay_is_checked(file: Path) -> None:
    found = doctor.find_config(None, running(file))
    assert found.findings[0].text.endswith("number 14 in force")


def test_variables_of_the_service_need_not_be_set_here(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCTOR_KEY")
    assert doctor.find_config(file, running(file)).config is not None
    alone = doctor.find_config(file, None)
    assert [finding.verdict for finding in alone.findings] == ["FAIL"]
    assert "DOCTOR_KEY" in alone.findings[0].text


def test_a_command_is_not_run(file: Path, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    file.write_text(GOOD.replace("${DOCTOR_KEY}", f"${{cmd:touch {trace}}}"))
    found = doctor.find_config(file, None)
    assert not trace.exists()
    assert [f.verdict for f in found.findings] == ["ok"]
    assert list(found.missing.values()) == ["the command is not run here"]


def test_the_keychain_is_not_asked(file: Path) -> None:
    file.write_text(GOOD.replace("${DOCTOR_KEY}", "${keyring:zai}"))
    found = doctor.find_config(file, None)
    assert [f.verdict for f in found.findings] == ["ok"]
    assert list(found.missing.values()) == ["the keychain is not asked here"]


def test_no_file_is_no_mistake() -> None:
    [finding] = doctor.find_config(None, running("")).findings
    assert finding.verdict == "ok"
    demo = relay_pb2.Status()
    demo.providers.add(name="demo")
    [finding] = doctor.find_config(None, demo).findings
    assert finding.text.startswith("demo")


def config(url: str = "", **server: Any) -> Config:
    keys = [Key(key=SECRET, name="one")]
    provider = Provider(
        name="p", type="compatible", base_url=url or "http://127.0.0.1:1", models=["m"], keys=keys
    )
    return resolve(Config(server=Server(**server), providers=[provider]))


def test_a_free_port() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{sock.getsockname()[1]}"
    assert doctor.check_port(config(listen=listen), None)[0].verdict == "ok"


def test_a_port_that_is_taken() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listen = f"127.0.0.1:{sock.getsockname()[1]}"
        [finding] = doctor.check_port(config(listen=listen), None)
    assert finding.verdict == "FAIL"
    assert "ss -ltnp" in finding.do


def test_an_address_of_another_machine() -> None:
    [finding] = doctor.check_port(config(listen="192.0.2.1:8787"), None)
    assert finding.verdict == "FAIL"
    assert "cannot be listened on" in finding.text


def test_the_port_of_the_relay_itself() -> None:
    status = running("", listen=["127.0.0.1:8787"])
    assert doctor.check_port(config(listen="127.0.0.1:8787"), status)[0].verdict == "ok"
    assert doctor.check_port(config(listen="127.0.0.1:0"), status)[0].verdict == "ok"
    [finding] = doctor.check_port(config(listen="127.0.0.1:9000"), status)
    assert finding.verdict == "warn"
    assert "after a restart" in finding.meaning


@pytest.mark.parametrize(
    ("env", "verdict", "subject"),
    [
        ({}, "ok", "certificates"),
        ({"SSL_CERT_FILE": "/nonexistent/ca.pem"}, "warn", "certificates"),
        ({"HTTPS_PROXY": f"ftp://u:{SECRET}@p"}, "FAIL", "proxy"),
    ],
)
def test_certificates_and_proxies(env: dict[str, str], verdict: str, subject: str) -> None:
    [finding] = doctor.check_environment(config("https://p.example"), env)
    assert (finding.verdict, finding.subject) == (verdict, subject)
    assert SECRET not in str(finding)


def test_providers_are_asked() -> None:
    with fake_provider() as provider:
        found = doctor.check_providers(config(provider.url), {}, {}, is_paid=True)
        assert [(f.verdict, f.subject) for f in found] == [("ok", "p/one")]
        assert "one token billed" in found[0].text
        provider.status = 401
        [refused] = doctor.check_providers(config(provider.url), {}, {}, is_paid=True)
    assert refused.verdict == "FAIL"
    assert "the key was refused" in refused.text
    assert SECRET not in str(refused)


@pytest.mark.parametrize(
    ("outcome", "verdict", "text", "do"),
    [
        ({"method": "sso"}, "ok", "its credential was obtained (sso); whether it is accepted", ""),
        (
            {"reason": "the session has expired", "hint": "aws sso login --profile dev"},
            "FAIL",
            "no credential: the session has expired",
            "aws sso login --profile dev",
        ),
    ],
)
def test_credentials_of_clouds_are_obtained(
    monkeypatch: pytest.MonkeyPatch, outcome: dict[str, str], verdict: str, text: str, do: str
) -> None:
    def ask_once(config: Config, limit_s: float) -> list[CredentialOutcome]:
        return [
            CredentialOutcome(entry.provider, entry.key, entry.key_name, **outcome)  # type: ignore[arg-type]
            for entry in entries_of(config)
        ]

    monkeypatch.setattr("ccrelay.runtime.credentials_once.ask_once", ask_once)
    with fake_provider() as provider:
        keys = [Key(credential=Credential(profile="dev"))]
        cloud = Provider(
            name="b", type="bedrock", region="us-east-1", base_url=provider.url, keys=keys
        )
        made = resolve(Config(providers=[cloud]))
        [finding] = doctor.check_providers(made, {}, {}, is_paid=True)
        assert provider.asked == []
    assert (finding.verdict, finding.subject, finding.do) == (verdict, "b/dev", do)
    assert text in finding.text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("the command is not run here", "comes from a command"),
        ("the keychain is not asked here", "is in the keychain"),
    ],
)
def test_a_key_that_is_not_looked_for_is_a_warning(problem: str, text: str) -> None:
    with fake_provider() as provider:
        missing = {SECRET: problem}
        [finding] = doctor.check_providers(config(provider.url), {}, missing, is_paid=False)
    assert finding.verdict == "warn"
    assert text in finding.text


def test_a_key_that_is_missing_blames_no_network() -> None:
    with fake_provider() as provider:
        missing = {SECRET: 'environment variable "K" is not set'}
        [finding] = doctor.check_providers(config(provider.url), {}, missing, is_paid=False)
    assert (finding.verdict, finding.do) == ("FAIL", "")
    assert finding.text == 'environment variable "K" is not set'
    assert finding.meaning == "So its key was not tried."


@pytest.mark.parametrize(
    ("off_s", "verdict", "text"),
    [
        (0, "ok", "right to the second"),
        (10, "ok", "10 s off"),
        (90, "warn", "behind"),
        (-90, "warn", "ahead"),
    ],
)
def test_the_clock(off_s: int, verdict: str, text: str) -> None:
    with fake_provider() as provider:
        provider.date = email.utils.formatdate(time.time() + off_s, usegmt=True)
        [finding] = doctor.check_clock(config(provider.url), {})
    assert finding.verdict == verdict
    assert text.split()[-1] in finding.text


def test_no_clock_to_compare_with() -> None:
    [finding] = doctor.check_clock(config(), {})
    assert finding.verdict == "warn"
