"""Credentials obtained once, for checks: in this process, and in the child that checks start."""

import asyncio
import threading

import pytest

from ccrelay.config.model import Config, Credential, Key, Provider
from ccrelay.credentials import once
from ccrelay.credentials.calls import Calls
from ccrelay.runtime import credentials_once
from ccrelay.runtime.credentials_link import entries_of
from tests.unit.credentials.services import Answer, container, serving


def config(*sources: str, kind: str = "claude-aws") -> Config:
    providers = [
        Provider(
            name=f"cloud-{number}",
            type=kind,
            region="us-east-1",
            keys=[Key(key="credential:{}", name="team", credential=Credential(source=source))],
        )
        for number, source in enumerate(sources)
    ]
    return Config(providers=providers)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def use(monkeypatch, service) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/c")


def test_a_provider_has_its_credential_or_a_reason(monkeypatch):
    with serving(container()) as service:
        use(monkeypatch, service)
        found = once.obtain(config("container").providers[0])
        assert (found.secret.access_key, found.serial, found.error) == ("ASIAEXAMPLE", 1, "")
    failed = once.obtain(config("env").providers[0])
    assert failed.secret is None
    assert failed.error.startswith("no AWS credentials were found; set AWS_ACCESS_KEY_ID")
    without = Provider(name="x", type="bedrock", keys=[Key(key="test-key-1")])
    assert once.obtain(without).error == "no key of it has a credential"


def test_a_call_that_hangs_is_an_outcome(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(once, "obtain_entry", lambda _: gate.wait(20))
    found = asyncio.run(once.outcomes(entries_of(config("env")), Calls(limit_s=0.05)))
    gate.set()
    assert "no answer" in found[0].reason


def test_a_child_tells_without_secrets(monkeypatch):
    with serving(container()) as service:
        use(monkeypatch, service)
        good, bad = credentials_once.ask_once(config("container", "env"))
    assert (good.provider, good.key_name, good.method) == ("cloud-0", "team", "container-role")
    assert good.expires_at > 0.0
    assert good.reason == ""
    assert (bad.provider, bad.method) == ("cloud-1", "")
    assert bad.reason == "no AWS credentials were found"
    assert "aws sso login" in bad.hint


def test_a_child_that_takes_too_long_is_ended(monkeypatch):
    with serving(lambda _: Answer(wait=service.released)) as service:
        use(monkeypatch, service)
        [outcome] = credentials_once.ask_once(config("container"), 1.0)
    assert outcome.reason == "there was no answer within 1 s"


def test_a_child_that_cannot_start_is_an_outcome(monkeypatch):
    monkeypatch.setattr(credentials_once, "BOOTSTRAP", "import sys; sys.exit(7)  # {}")
    [outcome] = credentials_once.ask_once(config("env"))
    assert outcome.reason == "the process that obtains it failed: CalledProcessError"


def test_without_credentials_there_is_no_child(monkeypatch):
    monkeypatch.setattr("subprocess.run", None)
    assert credentials_once.ask_once(Config(providers=[])) == []
