"""Providers are asked with real requests, against one that answers what it is told."""

import asyncio
import email.utils
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ccrelay.config.model import Config, Credential, Health, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.runtime.credentials_link import CredentialOutcome, entries_of
from ccrelay.runtime.provider_check import Answer, ask_clocks, ask_providers
from tests.unit.cli.fake_provider import fake_provider

SECRET = "test-key-0123456789"


def config(url: str, **members: Any) -> Config:
    members = {
        "name": "p",
        "type": "compatible",
        "base_url": url,
        "models": ["m-1"],
        "keys": [Key(key=SECRET, name="one")],
        **members,
    }
    return resolve(Config(providers=[Provider(**members)], health=Health()))


def ask(made: Config, *, is_paid: bool = False, missing: Any = None) -> list[Answer]:
    return asyncio.run(ask_providers(made, {}, 5.0, is_paid=is_paid, missing=missing or {}))


def test_a_key_is_shown_to_the_provider_for_free() -> None:
    with fake_provider() as provider:
        [answer] = ask(config(provider.url, count_tokens="forward"))
        [(method, path, headers, body)] = provider.asked
    assert (answer.ok, answer.kind, answer.status) == (True, "count_tokens", 200)
    assert (answer.provider, answer.key, answer.model) == ("p", "one", "m-1")
    assert answer.latency_ms > 0
    assert (method, path) == ("POST", "/v1/messages/count_tokens")
    assert SECRET in headers.values() or f"Bearer {SECRET}" in headers.values()
    assert json.loads(body)["model"] == "m-1"


def test_a_message_is_sent_only_when_it_may_cost() -> None:
    with fake_provider() as provider:
        [answer] = ask(config(provider.url), is_paid=True)
        assert [path for _, path, _, _ in provider.asked] == ["/v1/messages"]
        assert json.loads(provider.asked[0][3])["max_tokens"] == 1
    assert answer.kind == "message"


@pytest.mark.parametrize("members", [{"count_tokens": "estimate"}, {"models": ["qwen-*"]}])
def test_what_cannot_be_asked_for_free_is_connected_to(members: dict[str, Any]) -> None:
    with fake_provider() as provider:
        [answer] = ask(config(provider.url, **members))
        assert provider.asked == []
    assert (answer.ok, answer.kind) == (True, "connect")


@pytest.mark.parametrize("is_paid", [False, True])
def test_a_key_is_shown_also_where_no_model_is_served_by_name(is_paid: bool) -> None:
    with fake_provider() as provider:
        provider.status = 401
        [answer] = ask(config(provider.url, type="anthropic", models=None), is_paid=is_paid)
        [(_, path, _, body)] = provider.asked
    assert path == "/v1/messages/count_tokens"  # a message needs a model that exists
    assert json.loads(body)["model"].startswith("claude-")
    assert (answer.ok, answer.status) == (False, 401)


@pytest.mark.parametrize(
    "body", [b"<html>Log in</html>", b"{}", b'{"type":"message"}', b"[" * 9000]
)
def test_an_answer_of_something_else_accepts_no_key(body: bytes) -> None:
    with fake_provider() as provider:
        provider.body = body
        [answer] = ask(config(provider.url, count_tokens="forward"))
    assert (answer.ok, answer.status) == (False, 200)
    assert answer.problem == "200: what it answers is not of this API"


def test_the_clients_own_login_is_not_guessed() -> None:
    with fake_provider() as provider:
        [answer] = ask(config(provider.url, type="anthropic", keys=[]), is_paid=True)
        assert provider.asked == []
    assert (answer.ok, answer.kind, answer.key) == (True, "connect", "client")


@pytest.mark.parametrize(
    ("status", "ok"),
    [(200, True), (400, True), (429, True), (401, False), (403, False), (402, False), (529, False)],
)
def test_a_status_says_whether_the_key_was_accepted(status: int, ok: bool) -> None:
    with fake_provider() as provider:
        provider.status = status
        if status != 200:
            provider.body = b'{"type":"error","error":{"type":"x","message":"told so"}}'
        [answer] = ask(config(provider.url, count_tokens="forward"))
    assert (answer.ok, answer.status) == (ok, status)
    assert answer.problem == ("" if status == 200 else f"{status}: told so")


def test_a_provider_that_does_not_count_is_reached() -> None:
    with fake_provider() as provider:
        provider.status = 404
        [answer] = ask(config(provider.url, count_tokens="forward"))
    assert (answer.ok, answer.kind, answer.status) == (True, "connect", 404)


def test_a_provider_that_repeats_the_key_shows_no_key() -> None:
    with fake_provider() as provider:
        provider.status = 401
        told = {"error": {"message": f"bad key {SECRET}x7Qz9LmP2 \x1b[31m{'y' * 900}"}}
        provider.body = json.dumps(told).encode()
        [answer] = ask(config(provider.url, count_tokens="forward"))
    assert SECRET not in answer.problem
    assert len(answer.problem) < 300


def test_a_secret_that_is_not_known_is_not_sent() -> None:
    with fake_provider() as provider:
        made = config(provider.url, keys=[Key(key="missing-secret-0", name="one")])
        [answer] = ask(made, missing={"missing-secret-0": "the command is not run here"})
        assert provider.asked == []
    assert (answer.ok, answer.problem) == (False, "the command is not run here")


def test_nobody_there_is_told() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        [answer] = ask(config(f"http://127.0.0.1:{sock.getsockname()[1]}"))
    assert not answer.ok
    assert "Connection refused" in answer.problem


def test_silence_ends_with_the_time() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        made = config(f"http://127.0.0.1:{sock.getsockname()[1]}", count_tokens="forward")
        [answer] = asyncio.run(ask_providers(made, {}, 0.2, is_paid=False, missing={}))
    assert answer.problem == "no answer within 0.2 s"


def test_disabled_providers_and_keys_are_left_alone() -> None:
    keys = [Key(key="a" * 9, name="on"), Key(key="b" * 9, name="off", enabled=False)]
    with fake_provider() as provider:
        answers = ask(config(provider.url, keys=keys))
        assert [answer.key for answer in answers] == ["on"]
        assert ask(config(provider.url, enabled=False)) == []


@pytest.mark.parametrize("off_s", [0, 600, -600])
def test_clocks_are_compared_without_a_credential(off_s: int) -> None:
    with fake_provider() as provider:
        provider.status = 404
        provider.date = email.utils.formatdate(time.time() + off_s, usegmt=True)
        [clock] = asyncio.run(ask_clocks(config(provider.url), {}, 5.0))
        [(method, path, headers, _)] = provider.asked
    assert (method, path) == ("GET", "/")
    assert SECRET not in str(headers)
    assert clock.ahead_s == pytest.approx(off_s, abs=2)


@pytest.mark.parametrize("date", [None, "junk", "Mon, 99 Foo 2026 99:99:99 GMT"])
def test_a_host_that_tells_no_time_is_left_out(date: str | None) -> None:
    with fake_provider() as provider:
        provider.date = date
        assert asyncio.run(ask_clocks(config(provider.url), {}, 5.0)) == []


# ---- clouds


class Asked:
    """In place of the process that obtains credentials."""

    def __init__(self, **outcome: str) -> None:
        self.entries: list[tuple[str, str]] = []
        self._outcome = outcome

    def __call__(self, config: Config, limit_s: float) -> list[CredentialOutcome]:
        entries = entries_of(config)
        self.entries += [(entry.provider, entry.key_name) for entry in entries]
        return [
            CredentialOutcome(entry.provider, entry.key, entry.key_name, **self._outcome)
            for entry in entries
        ]


@pytest.fixture
def obtains(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    def make(**outcome: str) -> Asked:
        asked = Asked(**outcome)
        monkeypatch.setattr("ccrelay.runtime.credentials_once.ask_once", asked)
        return asked

    return make


def cloud(url: str, **members: Any) -> Config:
    members = {"type": "bedrock", "region": "us-east-1", "models": ["claude-opus-5-5"]} | members
    return config(url, **members)


@pytest.mark.parametrize("is_paid", [False, True])
def test_a_credential_is_obtained_and_nothing_is_sent_with_it(obtains, is_paid: bool) -> None:
    process = obtains(method="profile")
    with fake_provider() as provider:
        made = cloud(provider.url, keys=[Key(credential=Credential(profile="dev"))])
        [answer] = ask(made, is_paid=is_paid)
        assert provider.asked == []
    assert process.entries == [("p", "dev")]
    assert (answer.ok, answer.kind, answer.key) == (True, "credential", "dev")
    assert answer.method == "profile"


def test_why_a_credential_is_not_obtained_is_told_with_what_to_do(obtains) -> None:
    obtains(reason="the SSO session has expired", hint="aws sso login --profile dev")
    with fake_provider() as provider:
        [answer] = ask(cloud(provider.url, keys=[]))
    assert (answer.ok, answer.kind, answer.key) == (False, "credential", "default chain")
    assert answer.problem == "the SSO session has expired"
    assert answer.hint == "aws sso login --profile dev"


def test_a_cloud_that_is_not_reached_is_told_before_its_credential(obtains) -> None:
    obtains(method="env")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    [answer] = ask(cloud(url, keys=[]))
    assert (answer.ok, answer.kind) == (False, "connect")


@pytest.mark.parametrize(
    ("members", "path", "field"),
    [
        (
            {"api": "invoke"},
            "/model/us.anthropic.claude-opus-5-5/invoke",
            ("authorization", f"Bearer {SECRET}"),
        ),
        ({"api": "mantle"}, "/v1/messages?beta=true", ("authorization", f"Bearer {SECRET}")),
        ({"type": "azure", "region": None}, "/v1/messages?beta=true", ("x-api-key", SECRET)),
    ],
)
def test_an_api_key_of_a_cloud_is_shown_in_its_own_form(members, path, field, obtains) -> None:
    process = obtains()
    with fake_provider() as provider:
        [answer] = ask(cloud(provider.url, **members), is_paid=True)
        [(method, asked, headers, body)] = provider.asked
    sent = {name.lower(): value for name, value in headers.items()}
    assert (method, asked.partition("?")[0]) == ("POST", path.partition("?")[0])
    assert sent[field[0]] == field[1]
    assert json.loads(body)["max_tokens"] == 1
    assert answer.ok
    assert answer.kind == "message"
    assert process.entries == []


def test_keys_and_credentials_of_one_cloud_are_asked_each_for_itself(obtains) -> None:
    process = obtains(method="env")
    keys = [Key(key=SECRET, name="one"), Key(credential=Credential(source="env"))]
    with fake_provider() as provider:
        answers = ask(cloud(provider.url, keys=keys))
        sent = [str(headers) for _, _, headers, _ in provider.asked]
    assert [answer.key for answer in answers] == ["one", "env"]
    assert [answer.kind for answer in answers] == ["count_tokens", "credential"]
    assert process.entries == [("p", "env")]
    assert not any("credential:" in headers for headers in sent)


def test_a_secret_of_an_application_that_is_not_known_is_not_tried(obtains) -> None:
    process = obtains(method="secret")
    secret = Credential(tenant_id="t", client_id="c", client_secret="missing-secret-0")
    with fake_provider() as provider:
        made = cloud(provider.url, type="azure", region=None, keys=[Key(credential=secret)])
        [answer] = ask(made, missing={"missing-secret-0": "the command is not run here"})
        assert provider.asked == []
    assert process.entries == []
    assert (answer.ok, answer.problem) == (False, "the command is not run here")


def test_without_credentials_no_process_is_asked(obtains) -> None:
    process = obtains()
    with fake_provider() as provider:
        ask(config(provider.url))
    assert process.entries == []
