"""Lists of models: how long they are kept, who waits for them, and whose they are."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay.config.model import Config, Health, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.model_discovery import (
    FAILURE_KEPT_S,
    HOLD_S,
    KEPT_S,
    PAGES_MAX,
    ModelDiscovery,
)
from ccrelay.upstream.fetch import Fields
from ccrelay.upstream.tasks import TaskSet

OWN = [(b"x-api-key", b"own-key-1")]


class _Skips:
    """A selector that passes the time by saying that it has passed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def select(self, timeout: float | None) -> list[Any]:
        assert timeout is not None, "every task waits: the test would hang"
        self.now += timeout
        return []


class TimelessLoop(asyncio.BaseEventLoop):
    """An event loop without sockets whose time is advanced, not waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Skips()

    def time(self) -> float:
        return self._selector.now

    def _process_events(self, events: list[Any]) -> None:
        assert not events


class Sink:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((level, name, fields))

    def exchange(self, record: dict[str, object]) -> None:
        raise AssertionError("a list of models is no exchange")


class Providers:
    """Answers by provider: seconds to take, and the list or the failure at their end."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[float, bytes | UpstreamFailed]] = {}
        self.pages: dict[bytes, bytes | UpstreamFailed] = {}  # by what follows the first query
        self.asked: list[tuple[str, bytes, dict[bytes, bytes]]] = []
        self.given_up = 0

    def says(self, name: str, *models: str, after_s: float = 0.0) -> None:
        rows = [{"id": model} for model in models]
        self.answers[name] = (after_s, json.dumps({"data": rows}).encode())

    def fails(self, name: str, after_s: float = 0.0) -> None:
        self.answers[name] = (after_s, UpstreamFailed("the answer has status 500"))

    async def fetch(self, service: ProviderState, path: bytes, fields: Fields) -> bytes:
        assert len(dict(fields)) == len(fields), "a field is there twice"
        self.asked.append((service.name, path, dict(fields)))
        seconds, answer = self.answers[service.name]
        answer = self.pages.get(path.partition(b"limit=1000")[2], answer)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        if isinstance(answer, UpstreamFailed):
            raise answer
        return answer


class Rig:
    def __init__(self, loop: TimelessLoop, *providers: Provider) -> None:
        self.loop = loop
        self.sink = Sink()
        self.providers = Providers()
        config = resolve(Config(providers=list(providers)))
        self.failures: list[BaseException] = []
        self.discovery = ModelDiscovery(
            [ProviderState(provider, Health()) for provider in config.providers],
            self.providers.fetch,
            loop=loop,
            tasks=TaskSet(loop, lambda _, error: self.failures.append(error)),
            log=self.sink,
        )

    async def models(self, client: Fields = ()) -> list[str]:
        entries = self.discovery.at_once(client)
        if entries is None:
            entries = await self.discovery.gather(client)
        return [entry.id for entry in entries]

    def request(self, client: Fields = ()) -> tuple[list[str], float]:
        """The models, and the seconds it took."""
        began = self.loop.time()
        return self.loop.run_until_complete(self.models(client)), self.loop.time() - began

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))


@pytest.fixture
def loop() -> Iterator[TimelessLoop]:
    made = TimelessLoop()
    yield made
    made.close()


def provider(name: str, *models: str, **fields: Any) -> Provider:
    given: dict[str, Any] = {
        "base_url": "https://api.example.com/base",
        "auth": "bearer",
        "keys": [Key(key="test-key-1"), Key(key="test-key-2")],
        "discover_models": True,
        **fields,
    }
    return Provider(name=name, models=[*models, "*"], **given)


def passing(name: str) -> Provider:
    return provider(name, type="anthropic", keys=[], auth=None)


def head(*fields: bytes) -> Head:
    lines = [b"GET /v1/models HTTP/1.1", b"Host: localhost", *fields, b"", b""]
    return parse_request(b"\r\n".join(lines))[0]


# ---- who has to be asked


def test_without_discovery_the_answer_is_there_at_once(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a", "m-1", discover_models=False))
    entries = rig.discovery.at_once(OWN)
    assert entries is not None
    assert [entry.id for entry in entries] == ["m-1"]


def test_configured_models_of_all_providers_come_first(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a", "m-1"), provider("b", "m-2"))
    rig.providers.says("a", "m-2", "m-3")
    rig.providers.says("b", "m-4", "m-3")
    assert rig.request()[0] == ["m-1", "m-2", "m-3", "m-4"]


def test_the_order_is_that_of_the_configuration_not_of_the_answers(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"), provider("b"))
    rig.providers.says("a", "m-1", after_s=1)
    rig.providers.says("b", "m-2")
    assert rig.request() == (["m-1", "m-2"], pytest.approx(1.0))


def test_a_list_is_kept_for_a_while(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.says("a", "m-1")
    rig.request()
    rig.pass_time(KEPT_S - 1)
    assert rig.request() == (["m-1"], 0.0)
    assert len(rig.providers.asked) == 1
    rig.pass_time(2)
    rig.providers.says("a", "m-2")
    assert rig.request()[0] == ["m-2"]
    assert len(rig.providers.asked) == 2


def test_a_failure_is_cached_for_a_shorter_time_and_logged_once(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a", "m-1"))
    rig.providers.fails("a")
    rig.request()
    rig.pass_time(FAILURE_KEPT_S - 1)
    assert rig.request() == (["m-1"], 0.0)
    told = {"provider": "a", "reason": "the answer has status 500"}
    assert rig.sink.events == [("warning", "models_unknown", told)]
    rig.pass_time(2)
    rig.providers.says("a", "m-2")
    assert rig.request()[0] == ["m-1", "m-2"]


def test_a_list_that_cannot_be_renewed_stays(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.says("a", "m-1")
    rig.request()
    rig.pass_time(KEPT_S + 1)
    rig.providers.fails("a", after_s=1)
    assert rig.request() == (["m-1"], pytest.approx(1.0))


def test_an_empty_list_is_a_list_and_something_else_is_not(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"), provider("b"))
    rig.providers.says("a")
    rig.providers.answers["b"] = (0.0, b"<html>")
    assert rig.request()[0] == []
    assert [fields["provider"] for _, _, fields in rig.sink.events] == ["b"]


# ---- pages


def page(*models: str, more: bool = True, last: str | None = None) -> bytes:
    rows = [{"id": model} for model in models]
    listing = {"data": rows, "has_more": more, "last_id": last or (models or ("",))[-1]}
    return json.dumps(listing).encode()


def test_the_pages_of_a_list_are_followed(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, page("m-1", "org/m 2"))
    rig.providers.pages[b"&after_id=org%2Fm%202"] = page("m-3")
    rig.providers.pages[b"&after_id=m-3"] = page("m-4", more=False)
    assert rig.request()[0] == ["m-1", "org/m 2", "m-3", "m-4"]
    assert rig.request() == (["m-1", "org/m 2", "m-3", "m-4"], 0.0)
    assert len(rig.providers.asked) == 3
    assert {fields[b"authorization"] for _, _, fields in rig.providers.asked} == {
        b"Bearer test-key-1"
    }


def test_a_page_without_a_cursor_is_followed_by_its_last_id(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, b'{"data":[{"id":"m-1"}],"has_more":true,"last_id":null}')
    rig.providers.pages[b"&after_id=m-1"] = page("m-2", more=False)
    assert rig.request()[0] == ["m-1", "m-2"]


def test_an_empty_page_is_the_last(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, page("m-1"))
    rig.providers.pages[b"&after_id=m-1"] = b'{"data":[],"has_more":true,"last_id":"m-9"}'
    assert rig.request()[0] == ["m-1"]
    assert (len(rig.providers.asked), rig.sink.events) == (2, [])


def test_a_clients_own_list_has_all_pages_too(loop: TimelessLoop) -> None:
    rig = Rig(loop, passing("own"))
    rig.providers.answers["own"] = (0.0, page("m-1"))
    rig.providers.pages[b"&after_id=m-1"] = page("m-2", more=False)
    assert rig.request(OWN)[0] == ["m-1", "m-2"]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(page("m-1"), id="the same page again"),
        pytest.param(b'{"data":[{"id":"m-1"}],"has_more":true}', id="the same page, no cursor"),
        pytest.param(b'{"data":[{"id":"m-1"},{}],"has_more":true}', id="no cursor"),
        pytest.param(b'{"data":[{"id":"m-1"}],"has_more":true,"last_id":7}', id="no text"),
        pytest.param(b'{"data":[{"id":"m-1"}],"has_more":"yes","last_id":"m-1"}', id="no flag"),
    ],
)
def test_a_list_whose_pages_lead_nowhere_ends(loop: TimelessLoop, first: bytes) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, first)
    assert rig.request()[0] == ["m-1"]
    assert len(rig.providers.asked) <= 2
    assert rig.sink.events == []


def test_an_endless_list_is_cut_and_logged(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, page("m-0"))
    for n in range(2 * PAGES_MAX):
        rig.providers.pages[b"&after_id=m-%d" % n] = page(f"m-{n + 1}")
    assert rig.request()[0] == [f"m-{n}" for n in range(PAGES_MAX)]
    assert [name for _, name, _ in rig.sink.events] == ["models_unknown"]


def test_the_pages_before_a_failure_are_shown_and_soon_asked_for_again(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.answers["a"] = (0.0, page("m-1"))
    rig.providers.pages[b"&after_id=m-1"] = UpstreamFailed("the answer has status 500")
    assert rig.request()[0] == ["m-1"]
    assert [fields["reason"] for _, _, fields in rig.sink.events] == ["the answer has status 500"]
    rig.pass_time(FAILURE_KEPT_S + 1)
    rig.providers.pages[b"&after_id=m-1"] = page("m-2", more=False)
    assert rig.request()[0] == ["m-1", "m-2"]
    rig.pass_time(KEPT_S + 1)
    rig.providers.pages[b"&after_id=m-1"] = UpstreamFailed("the answer has status 500")
    assert rig.request()[0] == ["m-1", "m-2"], "a whole list is not replaced by a part of it"


# ---- waiting


def test_no_request_waits_longer_than_hold_s(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"), provider("b"))
    rig.providers.says("a", "m-1", after_s=HOLD_S + 1)
    rig.providers.says("b", "m-2", after_s=HOLD_S - 1)
    assert rig.request() == (["m-2"], pytest.approx(HOLD_S))
    assert rig.request() == (["m-1", "m-2"], pytest.approx(1.0)), "the same question is waited for"
    assert rig.request() == (["m-1", "m-2"], 0.0)
    assert len(rig.providers.asked) == 2


def test_concurrent_requests_share_one_fetch(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.says("a", "m-1", after_s=1)

    async def three() -> list[list[str]]:
        return await asyncio.gather(rig.models(), rig.models(), rig.models())

    assert loop.run_until_complete(three()) == [["m-1"]] * 3
    assert len(rig.providers.asked) == 1


def test_a_cancelled_request_does_not_cancel_the_fetch(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    rig.providers.says("a", "m-1", after_s=1)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(rig.models(), 0.5)

    loop.run_until_complete(impatient())
    assert rig.request() == (["m-1"], pytest.approx(0.5))
    assert rig.providers.given_up == 0


def test_a_defect_of_one_list_leaves_the_others(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"), provider("b"), passing("c"))
    rig.providers.says("b", "m-2")
    assert rig.request(OWN)[0] == ["m-2"]
    assert [type(error) for error in rig.failures] == [KeyError, KeyError]


# ---- credentials


def test_the_first_enabled_key_is_sent_in_the_provider_s_way(loop: TimelessLoop) -> None:
    keys = [Key(key="test-key-0", enabled=False), Key(key="test-key-1"), Key(key="test-key-2")]
    headers = {"X-Team": "blue", "anthropic-version": "2099-01-01"}
    rig = Rig(loop, provider("a", keys=keys, headers=headers))
    rig.providers.says("a")
    rig.request(OWN)
    ((_, path, fields),) = rig.providers.asked
    assert path == b"/base/v1/models?limit=1000"
    assert fields[b"authorization"] == b"Bearer test-key-1"
    assert fields[b"host"] == b"api.example.com"
    assert fields[b"x-team"] == b"blue"
    assert fields[b"anthropic-version"] == b"2099-01-01"
    assert b"x-api-key" not in fields


def test_a_provider_whose_keys_are_all_disabled_is_not_fetched(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a", "m-1", keys=[Key(key="test-key-0", enabled=False)]))
    assert rig.request() == (["m-1"], 0.0)


def test_a_provider_without_auth_is_fetched_without_a_key(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a", keys=[], auth="none"))
    rig.providers.says("a", "m-1")
    assert rig.request()[0] == ["m-1"]
    assert not {b"authorization", b"x-api-key"} & set(rig.providers.asked[0][2])


def test_a_clients_own_list_is_fetched_each_time_for_that_client_only(
    loop: TimelessLoop,
) -> None:
    rig = Rig(loop, provider("a"), passing("own"))
    rig.providers.says("a", "m-1")
    rig.providers.says("own", "m-2")
    assert rig.request(OWN)[0] == ["m-1", "m-2"]
    assert rig.request()[0] == ["m-1"]
    assert rig.request([(b"x-api-key", b"own-key-2")])[0] == ["m-1", "m-2"]
    sent = [fields.get(b"x-api-key") for name, _, fields in rig.providers.asked if name == "own"]
    assert sent == [b"own-key-1", b"own-key-2"]


def test_a_client_s_own_credential_goes_to_no_other_provider(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"), passing("own"))
    rig.providers.says("a")
    rig.providers.says("own")
    rig.request(OWN)
    others = [fields for name, _, fields in rig.providers.asked if name != "own"]
    assert others
    assert not any(b"own-key-1" in fields.values() for fields in others)


def test_a_client_s_own_list_that_comes_late_is_given_up(loop: TimelessLoop) -> None:
    rig = Rig(loop, passing("own"))
    rig.providers.says("own", "m-1", after_s=HOLD_S + 1)
    assert rig.request(OWN) == ([], pytest.approx(HOLD_S))
    rig.pass_time(0)
    assert rig.providers.given_up == 1


def test_a_client_s_own_failure_is_no_warning(loop: TimelessLoop) -> None:
    rig = Rig(loop, passing("own"))
    rig.providers.fails("own")
    assert rig.request(OWN)[0] == []
    assert [level for level, _, _ in rig.sink.events] == ["info"]


def test_only_identifying_client_headers_are_sent(loop: TimelessLoop) -> None:
    rig = Rig(loop, passing("own"))
    asked = head(b"Authorization: Bearer b", b"X-Api-Key: k", b"Anthropic-Beta: o", b"Cookie: c")
    own = rig.discovery.credential_of(asked, ClientAuth(False, False, True))
    assert own == [
        (b"authorization", b"Bearer b"),
        (b"x-api-key", b"k"),
        (b"anthropic-beta", b"o"),
    ]


@pytest.mark.parametrize(
    ("passed", "names"),
    [
        (ClientAuth(True, False, True), [b"x-api-key"]),
        (ClientAuth(False, True, True), [b"authorization"]),
        (ClientAuth(True, True, False), []),
    ],
)
def test_a_relay_token_is_held_back(
    loop: TimelessLoop, passed: ClientAuth, names: list[bytes]
) -> None:
    rig = Rig(loop, passing("own"))
    asked = head(b"Authorization: Bearer b", b"X-Api-Key: k")
    assert [name for name, _ in rig.discovery.credential_of(asked, passed)] == names


def test_client_credentials_are_not_read_where_no_provider_gets_them(loop: TimelessLoop) -> None:
    rig = Rig(loop, provider("a"))
    assert rig.discovery.credential_of(head(b"X-Api-Key: k"), ClientAuth(False, False, True)) == ()


def test_headers_that_are_dropped_for_a_provider_do_not_reach_it_here(loop: TimelessLoop) -> None:
    own = provider("own", type="anthropic", keys=[], auth=None, drop_betas=["*"])
    rig = Rig(loop, own)
    rig.providers.says("own")
    rig.request([*OWN, (b"anthropic-beta", b"o")])
    assert b"anthropic-beta" not in rig.providers.asked[0][2]
