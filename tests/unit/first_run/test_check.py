"""Asks a provider: what each answer means, in words; over real sockets."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.demo.server import start_demo
from ccrelay.first_run import check as module
from ccrelay.first_run.check import Checked, check, is_billed, price_of_check
from ccrelay.first_run.choice import Choice, SetupProblem
from ccrelay.probing.asker import Asker
from tests.unit.cli.fake_provider import FakeProvider, fake_provider

KEY = "test-key-of-a-check"
LIST = json.dumps({"data": [{"id": "claude-haiku-4-5", "type": "model"}, {"id": "b"}]}).encode()


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with fake_provider() as one:
        one.body = LIST
        yield one


def asked(choice: Choice, model: str = "", **env: str) -> Checked:
    return asyncio.run(asyncio.wait_for(check(choice, env, model=model), 30))


def anthropic(provider: FakeProvider, key: str = KEY) -> Choice:
    return Choice(type="anthropic", base_url=provider.url, key=key)


@pytest.fixture
def private(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """A service that shows its list to the right key only."""
    real = Asker.list_models

    async def get(self: Asker, key: str | None) -> Any:
        provider.status = 200 if key == KEY else 401
        return await real(self, key)

    monkeypatch.setattr(Asker, "list_models", get)
    return provider


def test_a_list_that_is_refused_without_a_key_proves_it(private: FakeProvider) -> None:
    checked = asked(anthropic(private))
    assert checked.ok
    assert checked.models == ("claude-haiku-4-5", "b")
    assert checked.message.endswith("accepts the key, and has 2 models.")
    methods = [method for method, *_ in private.asked]
    assert methods == ["GET", "GET"]
    assert [fields.get("x-api-key") for _, _, fields, _ in private.asked] == [KEY, None]


def test_a_wrong_key_is_refused_in_words(private: FakeProvider) -> None:
    private.body = b'{"error": {"message": "invalid x-api-key"}}'
    checked = asked(anthropic(private, "test-key-wrong"), "claude-haiku-4-5")
    assert (checked.ok, checked.status) == (False, 401)
    assert "refuses the key: look whether it was copied whole" in checked.message
    assert 'It says: "invalid x-api-key"' in checked.message
    assert len(private.asked) == 1  # nothing that is billed


def test_a_list_for_everybody_proves_nothing(provider: FakeProvider) -> None:
    choice = Choice(
        type="compatible", base_url=provider.url, key=KEY, settings={"count_tokens": "estimate"}
    )
    checked = asked(choice)
    assert not checked.ok
    assert checked.is_unproven
    assert "only a request for one token" in checked.message
    assert checked.models == ("claude-haiku-4-5", "b")


@pytest.mark.parametrize("status", [401, 403])
def test_elsewhere_a_refused_list_is_not_the_last_word(provider: FakeProvider, status: int) -> None:
    provider.by_path["/v1/models?limit=1000"] = status
    provider.body = b'{"type": "message", "usage": {"input_tokens": 9, "output_tokens": 1}}'
    choice = Choice(type="zai", base_url=provider.url, key=KEY)
    assert not asked(choice).ok
    checked = asked(choice, "glm-5.3")
    assert checked.ok
    assert "answered with glm-5.3." in checked.message


@pytest.mark.parametrize(("status", "ok"), [(429, True), (402, False), (500, False)])
def test_a_key_that_is_limited_now_is_accepted(
    provider: FakeProvider, status: int, ok: bool
) -> None:
    provider.by_path["/v1/messages"] = status
    provider.body = b"{}"
    checked = asked(Choice(type="zai", base_url=provider.url, key=KEY), "glm-5.3")
    assert (checked.ok, checked.status) == (ok, status)


def test_a_page_of_something_else_is_no_provider(provider: FakeProvider) -> None:
    """As a login to a network answers everything."""
    provider.body = b"<html>welcome</html>"
    for choice in (anthropic(provider), Choice(type="azure", base_url=provider.url, key=KEY)):
        checked = asked(choice)
        assert (checked.ok, checked.is_unproven) == (False, False)
        assert "is not of this API, in spite of status 200" in checked.message


def test_a_message_that_is_none_is_no_answer(provider: FakeProvider) -> None:
    checked = asked(anthropic(provider), "claude-haiku-4-5")
    assert not checked.ok
    assert "is not of this API" in checked.message


def test_a_provider_that_is_not_there(provider: FakeProvider) -> None:
    checked = asked(Choice(type="zai", base_url="http://127.0.0.1:1", key=KEY))
    assert (checked.ok, checked.status) == (False, 0)
    assert "Connection refused" in checked.message
    assert "Check the base URL" in checked.message


def test_plain_text_where_tls_was_asked_for(provider: FakeProvider) -> None:
    url = provider.url.replace("http", "https")
    checked = asked(Choice(type="zai", base_url=url, key=KEY))
    assert not checked.ok
    assert "TLS" in checked.message


def test_a_provider_that_says_nothing_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> Checked:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await check(Choice(type="zai", base_url=f"http://127.0.0.1:{port}", key=KEY), {})
        finally:
            server.close()

    monkeypatch.setattr(module, "LIST_LIMIT_S", 0.2)
    checked = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert not checked.ok
    assert "does not answer in time" in checked.message


def test_a_login_can_only_be_connected(provider: FakeProvider) -> None:
    checked = asked(Choice(type="anthropic", base_url=provider.url, pass_through=True), "m")
    assert checked.ok
    assert "passes through" in checked.message
    assert provider.asked == []


def test_a_variable_that_is_not_set(provider: FakeProvider) -> None:
    choice = Choice(type="zai", base_url=provider.url, variable="MY_KEY")
    assert asked(choice).message == "The variable MY_KEY is not set or empty here."
    provider.status = 401
    asked(choice, MY_KEY=KEY)
    assert provider.asked[0][2]["authorization"] == f"Bearer {KEY}"


def test_local_models_need_no_key(provider: FakeProvider) -> None:
    checked = asked(Choice(type="ollama", base_url=provider.url, model="a:1"))
    assert checked.ok
    assert checked.message.endswith("answers, and has 2 models.")


def test_a_cloud_with_a_key_is_asked_for_a_message(provider: FakeProvider) -> None:
    choice = Choice(type="azure", base_url=provider.url, key=KEY)
    provider.body = b'{"type": "message", "usage": {"input_tokens": 9, "output_tokens": 1}}'
    assert asked(choice, "claude-haiku-4-5").ok
    assert provider.asked[-1][1].endswith("/v1/messages")


def test_a_cloud_is_asked_by_the_name_that_it_has_for_a_model(provider: FakeProvider) -> None:
    choice = Choice(
        type="bedrock",
        base_url=provider.url,
        key=KEY,
        settings={"region": "us-east-1", "api": "invoke"},
    )
    provider.body = b'{"type": "message", "usage": {"input_tokens": 9, "output_tokens": 1}}'
    checked = asked(choice, "claude-haiku-4-5")
    assert checked.ok, checked.message
    assert "us.anthropic.claude-haiku-4-5" in provider.asked[-1][1]


def test_a_cloud_with_a_credential_is_connected(provider: FakeProvider) -> None:
    choice = Choice(type="bedrock", base_url=provider.url, settings={"region": "eu-west-1"})
    checked = asked(choice, "claude-haiku-4-5")
    assert checked.ok
    assert "when it starts" in checked.message
    assert provider.asked == []


@pytest.mark.parametrize(
    "choice",
    [
        Choice(type="nosuch"),
        Choice(type="compatible", key=KEY),
        Choice(type="zai", base_url="nosuch://x", key=KEY),
        Choice(type="zai", key="a b"),
    ],
)
def test_what_could_not_be_set_up_is_not_asked(choice: Choice) -> None:
    with pytest.raises(SetupProblem):
        asked(choice)


@pytest.mark.parametrize("model", ["m" * 300, "a\nb"])
def test_what_is_no_model_is_not_asked_for(provider: FakeProvider, model: str) -> None:
    with pytest.raises(SetupProblem, match="A model has 1 to 256"):
        asked(anthropic(provider), model)
    assert provider.asked == []


def test_a_real_answer_has_its_price() -> None:
    async def scenario() -> Checked:
        demo = await start_demo()
        try:
            choice = Choice(type="anthropic", base_url=demo.url, key=KEY)
            return await check(choice, {}, model="claude-haiku-4-5")
        finally:
            await demo.close()

    checked = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert checked.ok
    assert checked.models
    assert 0 < checked.cost_micros < 1000
    assert checked.latency_ms > 0


def test_what_a_check_costs() -> None:
    known = Choice(type="anthropic", key=KEY)
    assert price_of_check(known, "claude-haiku-4-5", {}).startswith("It is billed: <$0.0")
    assert "not known" in price_of_check(known, "nosuch-1", {})
    assert price_of_check(Choice(type="ollama"), "a:1", {}) == "It is free of charge."
    assert not is_billed(Choice(type="zai", settings={"billing": "plan"}))


def test_nothing_is_left_on_disk(tmp_path: Path, provider: FakeProvider) -> None:
    asked(anthropic(provider), HOME=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
