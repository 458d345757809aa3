"""Which endpoints are probed, when and how. Over real sockets: loopback/relay/test_breaker.py."""

import asyncio
import errno
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay.config.model import Config, Health, Model
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.breaker import State
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay import health_checks as module
from ccrelay.relay.health_checks import LOOK_EVERY_S, HealthChecks
from ccrelay.upstream.exhaustion import exhausted
from ccrelay.upstream.fetch import FetchFailed
from tests.unit.relay.fakes import FakeRelay, keys, provider


class Dialer:
    """Answers a dial with a socket, or with the error it is given."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.dials = self.closed = 0

    async def dial(self) -> Any:
        self.dials += 1
        if self.error is not None:
            raise self.error
        return SimpleNamespace(sock=SimpleNamespace(close=self._close))

    def _close(self) -> None:
        self.closed += 1


class Lab(FakeRelay):
    """A relay with one provider whose breaker can be opened, and its health checks."""

    def __init__(self, health: Health, **settings: Any) -> None:
        super().__init__(provider("one", **settings), config=Config(health=health))
        self.dialer = Dialer()
        self.pools["one"].dialer = self.dialer
        self.spawned: list[Coroutine[Any, Any, None]] = []
        self.checks = HealthChecks(self.context, self.loop, self)  # type: ignore[arg-type]
        self.checks.start()

    @property
    def provider(self) -> ProviderState:
        return self.providers[0]

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.spawned.append(work)

    def open_breaker(self, *, answered: bool = False) -> None:
        breaker = self.provider.endpoint.breaker
        while breaker.available(self.reactor.now):
            breaker.settle(breaker.force(self.reactor.now), self.reactor.now, self.rng, ok=False)
        self.provider.endpoint.stats.answers = answered

    def open_time_ends(self) -> None:
        """Pass the open time of the breaker, and one look of the health checks."""
        self.pass_time(self.provider.endpoint.breaker.resumes_at - self.reactor.now + LOOK_EVERY_S)

    def run_checks(self) -> None:
        while self.spawned:
            asyncio.run(self.spawned.pop(0))


def close(lab: Lab) -> None:
    for work in lab.spawned:
        work.close()


def test_a_closed_breaker_is_never_probed() -> None:
    lab = Lab(Health())
    lab.pass_time(100.0)
    assert lab.spawned == []


def test_an_open_breaker_is_probed_after_its_open_time_and_closed_by_a_success() -> None:
    lab = Lab(Health(open_s=5.0))
    lab.open_breaker()
    lab.pass_time(3.0)
    assert lab.spawned == []
    lab.open_time_ends()
    lab.run_checks()
    assert (lab.dialer.dials, lab.dialer.closed) == (1, 1)
    assert lab.provider.endpoint.breaker.state is State.CLOSED
    ((level, _, fields),) = [entry for entry in lab.log.entries if entry[1] == "probe"]
    assert (level, fields["good"], fields["kind"]) == ("info", True, "connect")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (UpstreamFailed("Provider one cannot be reached."), "cannot be reached"),
        (TimeoutError(), "no answer within 5 s"),
    ],
)
def test_a_failed_probe_lengthens_the_open_time_and_releases_the_lease(
    error: BaseException, says: str
) -> None:
    lab = Lab(Health(open_s=5.0))
    lab.open_breaker()
    lab.dialer.error = error
    lab.open_time_ends()
    lab.run_checks()
    breaker = lab.provider.endpoint.breaker
    assert breaker.state is State.OPEN
    assert breaker.resumes_at > lab.reactor.now + 5.0
    assert says in lab.log.members("probe")[0]["reason"]
    assert lab.provider.endpoint.stats.lease(lab.reactor.now, 1.0)
    lab.provider.endpoint.stats.unlease()
    lab.open_time_ends()
    assert len(lab.spawned) == 1
    close(lab)


@pytest.mark.parametrize("kind", ["connect", "message"])
def test_a_probe_this_machine_cannot_make_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    lab = Lab(Health(open_s=5.0, probe=kind, probe_model="m"))
    lab.open_breaker()
    lab.dialer.error = exhausted(errno.EMFILE)
    lab.open_time_ends()
    before = lab.provider.endpoint.breaker.resumes_at
    lab.run_checks()
    assert lab.provider.endpoint.breaker.resumes_at == before  # no longer open than before
    assert lab.log.members("probe") == []
    assert "ulimit -n" in lab.log.members("resources_exhausted")[0]["reason"]
    lab.dialer.error = None
    posting(monkeypatch, 200)
    lab.pass_time(LOOK_EVERY_S)
    lab.run_checks()
    assert lab.provider.endpoint.breaker.state is State.CLOSED


def test_one_probe_runs_at_a_time() -> None:
    lab = Lab(Health())
    lab.open_breaker()
    lab.open_time_ends()
    lab.pass_time(4.0)
    assert len(lab.spawned) == 1
    close(lab)


def test_an_endpoint_leased_by_another_worker_is_not_probed() -> None:
    lab = Lab(Health(open_s=1.0))
    lab.open_breaker()
    other = EndpointStats(lab.memory.as_worker(1), lab.provider.endpoint.stats.slot)
    assert other.lease(lab.reactor.now, 60.0)
    lab.open_time_ends()
    assert lab.spawned == []
    other.unlease()
    lab.pass_time(LOOK_EVERY_S)
    assert len(lab.spawned) == 1
    close(lab)


def test_an_endpoint_with_a_request_in_flight_is_not_probed() -> None:
    lab = Lab(Health())
    lab.open_breaker()
    held = lab.provider.targets[0].limits.reserve_unchecked(lab.reactor.now, 1, 1)
    lab.open_time_ends()
    assert lab.spawned == []
    held.commit(lab.reactor.now, 1, 1)
    lab.pass_time(LOOK_EVERY_S)
    assert len(lab.spawned) == 1
    close(lab)


def test_an_endpoint_that_accepts_connections_is_not_probed_by_connecting() -> None:
    lab = Lab(Health())
    lab.open_breaker(answered=True)
    lab.open_time_ends()
    lab.pass_time(10.0)
    assert lab.spawned == []


def test_health_checks_can_be_switched_off_and_stopped() -> None:
    lab = Lab(Health(probe="off"))
    lab.open_breaker()
    lab.open_time_ends()
    assert lab.spawned == []
    lab = Lab(Health())
    lab.checks.stop()
    lab.checks.stop()
    lab.open_breaker()
    lab.open_time_ends()
    assert lab.spawned == []


def test_a_provider_removed_by_a_reload_is_probed_with_its_old_dialer() -> None:
    lab = Lab(Health())
    lab.open_breaker()
    lab.open_time_ends()
    lab.reload(provider("two"))
    del lab.context.config.pools["one"]
    lab.run_checks()
    assert lab.dialer.dials == 1


# ---- what is asked


Posted = tuple[bytes, dict[bytes, bytes], bytes]


def posting(monkeypatch: pytest.MonkeyPatch, answer: int | FetchFailed) -> list[Posted]:
    posted: list[Posted] = []

    async def post_status(_dialer: Any, _loop: Any, path: bytes, fields: Any, body: bytes) -> int:
        posted.append((path, dict(fields), body))
        if isinstance(answer, FetchFailed):
            raise answer
        return answer

    monkeypatch.setattr(module, "post_status", post_status)
    return posted


@pytest.mark.parametrize(
    ("kind", "path"), [("count_tokens", b"/v1/messages/count_tokens"), ("message", b"/v1/messages")]
)
def test_a_probe_request_uses_an_enabled_key_and_the_providers_auth(
    kind: Any, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = posting(monkeypatch, 200)
    off, on = keys("off", enabled=False)[0], keys("on")[0]
    lab = Lab(Health(probe=kind), models=[Model(id="glm-5")], keys=[off, on])
    lab.open_breaker(answered=True)
    lab.open_time_ends()
    lab.run_checks()
    ((at, fields, body),) = posted
    assert at == path
    assert fields[b"authorization"] == b"Bearer test-key-on"
    assert fields[b"content-length"] == b"%d" % len(body)
    assert b'"model":"glm-5"' in body
    assert (b'"max_tokens":1' in body) is (kind == "message")
    assert lab.provider.endpoint.breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("answer", "is_good"),
    [(200, True), (401, True), (429, True), (500, False), (529, False), (408, False)],
)
def test_any_status_passes_that_is_no_failure_of_the_endpoint(
    answer: int, is_good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    posting(monkeypatch, answer)
    lab = Lab(Health(probe="count_tokens", probe_model="m"))
    lab.open_breaker()
    lab.open_time_ends()
    lab.run_checks()
    assert (lab.provider.endpoint.breaker.state is State.CLOSED) is is_good


def test_a_probe_without_an_answer_logs_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    posting(monkeypatch, FetchFailed("the connection broke"))
    lab = Lab(Health(probe="message", probe_model="m"))
    lab.open_breaker()
    lab.open_time_ends()
    lab.run_checks()
    assert lab.log.members("probe")[0]["reason"] == "the connection broke"


def test_a_probe_without_a_model_names_the_setting() -> None:
    lab = Lab(Health(probe="message"))  # its models are "*"
    lab.open_breaker()
    lab.open_time_ends()
    lab.run_checks()
    assert "health.probe_model" in lab.log.members("probe")[0]["reason"]


@pytest.mark.parametrize(
    "settings",
    [{"kind": "anthropic", "keys": []}, {"count_tokens": "estimate"}],
    ids=["no key", "cannot count"],
)
def test_without_a_key_or_count_tokens_the_probe_connects(settings: dict[str, Any]) -> None:
    lab = Lab(Health(probe="count_tokens"), **settings)
    lab.open_breaker()
    lab.open_time_ends()
    lab.run_checks()
    assert lab.dialer.dials == 1
