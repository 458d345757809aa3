"""A wait for a credential ends once: by one that comes, by time, or by being forgotten."""

import gc
import weakref

import pytest

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Credential, Health, Key
from ccrelay.fleet.credential_store import CloudCredential, CredentialStore
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay.credential_wait import CredentialWait, end_lacks, wait_s
from ccrelay.wire.cloud_credential import BearerToken, IssuedCredential
from tests.unit.relay.fakes import FakeLoop, FakeReactor, provider

TOKEN = BearerToken("test-token-1")


class Waiting:
    """A wait of ten seconds, and how it ended."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.loop = FakeLoop(self.reactor)
        self.credential = CloudCredential("one", "credential:{}", lambda *_: None)
        self.ended: list[bool] = []
        self.wait = CredentialWait(
            self.loop,  # type: ignore[arg-type]
            self.credential,
            10.0,
            self.ended.append,
        )

    def issue(self) -> None:
        self.credential.take(IssuedCredential("one", "credential:{}", TOKEN, 1))

    def pass_time(self, seconds: float) -> None:
        self.reactor.now += seconds
        self.loop.run()


def test_it_ends_when_one_comes_and_only_then() -> None:
    waiting = Waiting()
    waiting.issue()
    waiting.issue()
    waiting.pass_time(20.0)
    assert waiting.ended == [True]


def test_it_ends_by_time() -> None:
    waiting = Waiting()
    waiting.pass_time(9.0)
    assert waiting.ended == []
    waiting.pass_time(1.5)
    waiting.issue()
    assert waiting.ended == [False]


def test_forgotten_it_holds_nothing() -> None:
    waiting = Waiting()
    wait = weakref.ref(waiting.credential._waiters[0].__self__.__class__)  # type: ignore[attr-defined]
    assert wait() is CredentialWait
    waiting.wait.cancel()
    assert waiting.credential._waiters == []
    waiting.issue()
    waiting.pass_time(20.0)
    gc.collect()
    assert waiting.ended == []


@pytest.mark.parametrize(
    ("queue_timeout_s", "expected"), [(0.0, 2.0), (5.0, 5.0), (10.0, 10.0), (600.0, 10.0)]
)
def test_it_is_short(queue_timeout_s: float, expected: float) -> None:
    assert wait_s(queue_timeout_s) == expected


# ---- cooldowns for want of a credential


def lacking(until: float = 1030.0) -> tuple[ProviderState, CredentialStore]:
    store = CredentialStore()
    key = Key(key="credential:{}", credential=Credential())
    state = ProviderState(provider(keys=[key]), Health(), credentials=store)
    (target,) = state.targets
    target.lacks_until = 1030.0
    target.limits.start_cooldown(until, int(Cooldown.RATE))
    return state, store


def test_a_credential_ends_the_cooldown() -> None:
    state, store = lacking()
    assert not end_lacks([state], 1001.0, 1e9)
    store.update([IssuedCredential("one", "credential:{}", TOKEN, 1)])
    assert end_lacks([state], 1001.0, 1e9)
    assert state.targets[0].limits.cooldown_until() == 0.0
    assert not end_lacks([state], 1002.0, 1e9)


def test_one_that_has_expired_does_not() -> None:
    state, store = lacking()
    store.update([IssuedCredential("one", "credential:{}", TOKEN, 1, expires_at=5e8)])
    assert not end_lacks([state], 1001.0, 1e9)
    state.clock_skew_s = -6e8  # by the cloud's clock it has not
    assert end_lacks([state], 1001.0, 1e9)


def test_another_cooldown_stays() -> None:
    state, store = lacking(until=1500.0)
    store.update([IssuedCredential("one", "credential:{}", TOKEN, 1)])
    assert end_lacks([state], 1001.0, 1e9)
    assert state.targets[0].limits.cooldown_until() == 1500.0
