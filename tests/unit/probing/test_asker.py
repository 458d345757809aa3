"""Requests to one provider, over a real socket."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from ccrelay.cli.providers import PROBE_TIMEOUT_S
from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.first_run import check
from ccrelay.manager import probe
from ccrelay.probing.asker import MESSAGE_LIMIT_S, Asker
from tests.unit.cli.fake_provider import FakeProvider, fake_provider

T = TypeVar("T")
KEY = "test-key-1"


def asking(
    provider: FakeProvider, act: Callable[[Asker], Awaitable[T]], key: str | None = KEY, **more: Any
) -> T:
    members = {"name": "p", "type": "anthropic", "base_url": provider.url + "/sub", **more}
    made = resolve(Config(providers=[Provider(keys=[Key(key=KEY)], **members)])).providers[0]

    async def main() -> T:
        asker = Asker(made, key, {}, connect_s=5.0)
        try:
            return await act(asker)
        finally:
            await asker.close()

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_a_list_is_asked_for_with_a_key_and_without() -> None:
    with fake_provider() as provider:
        response = asking(provider, lambda asker: asker.list_models(KEY))
        assert (response.status, response.body) == (200, provider.body)
        asking(provider, lambda asker: asker.list_models(None), headers={"x-own": "1"})
        first, second = provider.asked
    assert first[:2] == ("GET", "/sub/v1/models?limit=1000")
    assert first[2]["x-api-key"] == KEY
    assert "x-api-key" not in second[2]
    assert second[2]["x-own"] == "1"


def test_a_probe_and_what_was_asked() -> None:
    with fake_provider() as provider:
        asked = asking(provider, lambda asker: _probed(asker))
        [(method, path, fields, body)] = provider.asked
    assert (method, path, fields["x-api-key"]) == ("POST", "/sub/v1/messages", KEY)
    assert b'"max_tokens":1' in body
    host = provider.url.removeprefix("http://")
    assert asked[1:] == (host, "message", "m", KEY)


async def _probed(asker: Asker) -> Any:
    await asker.probe("message", "m")
    return asker.asked("message", "m")


def test_a_connection_and_its_peer() -> None:
    with fake_provider() as provider:
        dialed = asking(provider, lambda asker: asker.connect())
        assert dialed.peer == provider.url.removeprefix("http://")
        assert provider.asked == []


def test_what_cannot_be_asked() -> None:
    made = resolve(Config(providers=[Provider(name="p", type="zai")])).providers[0]
    made = msgspec.structs.replace(made, base_url="nosuch://x")

    async def main() -> None:
        Asker(made, None, {}, connect_s=1.0)

    with pytest.raises(ValueError, match="must begin with http"):
        asyncio.run(main())


def test_a_silent_provider_is_given_up_before_the_face_that_asks_gives_up_the_call() -> None:
    pages = Path(__file__).parents[3] / "ccrelay" / "web" / "src" / "pages"
    calls = [pages / "setup" / "check.tsx", pages / "providers" / "actions.ts"]
    found = [re.search(r"timeoutMs: ([0-9_]+)", one.read_text()) for one in calls]
    limits_s = [int(one[1]) / 1000 for one in found if one is not None]
    assert len(limits_s) == len(calls)
    assert min(*limits_s, PROBE_TIMEOUT_S) > check.LIST_LIMIT_S + MESSAGE_LIMIT_S + probe.PHASE_S
