"""When a credential is renewed, and what is told. No clock runs here."""

import random

import pytest
from hypothesis import given, strategies as st

from ccrelay.credentials import renewal as rules
from ccrelay.credentials.renewal import Now, Renewal
from ccrelay.credentials.source import Obtained, ObtainFailed
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential
from tests.unit.credentials.services import entry

LATER = ObtainFailed("no answer", "check the network", is_final=False)
FINAL = ObtainFailed("the login has expired", "log in: aws sso login", is_final=True)
START = 1_000_000.0


class World:
    """A renewal, its clock, and its log."""

    def __init__(self, issued: IssuedCredential | None = None, seed: int = 1) -> None:
        self.at = 0.0
        self.wall = START
        self.events: list[tuple[str, str, dict]] = []
        self.renewal = Renewal(entry("aws"), issued, random.Random(seed), self.tell)

    def tell(self, level, event, **fields):
        self.events.append((level, event, fields))

    def named(self, name: str) -> list[dict]:
        return [{"level": level, **fields} for level, event, fields in self.events if event == name]

    @property
    def now(self) -> Now:
        return Now(self.wall, self.at)

    def wait(self, seconds: float) -> None:
        self.at += seconds
        self.wall += seconds

    def is_due(self) -> bool:
        return self.renewal.is_due(self.now)

    def due_in(self, most: float = 200_000.0) -> float:
        """Seconds until it is due, to a tenth."""
        low, high = 0.0, most
        if not self.renewal.is_due(Now(self.wall + most, self.at + most)):
            return float("inf")
        while high - low > 0.05:
            middle = (low + high) / 2
            is_due = self.renewal.is_due(Now(self.wall + middle, self.at + middle))
            low, high = (low, middle) if is_due else (middle, high)
        return high

    def obtain(self, token: str = "test-token-1", lives_s: float | None = 3600.0):
        self.renewal.begin(self.now)
        expires_at = 0.0 if lives_s is None else self.wall + lives_s
        return self.renewal.succeeded(Obtained(BearerToken(token), expires_at, "file"), self.now)

    def fail(self, failure: ObtainFailed = LATER):
        self.renewal.begin(self.now)
        return self.renewal.failed(failure, self.now)

    def refuse(self, serial: int | None = None) -> None:
        serial = self.renewal.issued.serial if serial is None else serial
        self.renewal.refused(serial, self.now)


def test_the_first_is_due_at_once():
    world = World()
    assert world.is_due()
    world.renewal.begin(world.now)
    assert not world.is_due(), "one attempt at a time"


def test_what_was_issued_before_goes_on_and_is_obtained_again_at_once():
    before = IssuedCredential("cloudy", "credential:{}", BearerToken("test-token-0"), 7, START + 9)
    world = World(before)
    assert world.is_due()
    assert world.obtain("test-token-1").serial == 8
    world = World(before)
    failed = world.fail()
    assert (failed.secret, failed.serial) == (before.secret, 7)
    assert failed.error == "no answer; check the network"


@pytest.mark.parametrize(
    ("lives_s", "earliest", "latest"),
    [
        (12 * 3600, 0.72 * 12 * 3600, 0.8 * 12 * 3600),
        (3600, 0.72 * 3600, 0.8 * 3600),
        (900, 540, 600),
        (120, 54, 60),
        (3, 1, 1.5),
    ],
)
def test_it_is_renewed_before_it_expires(lives_s, earliest, latest):
    dues = []
    for seed in range(20):
        world = World(seed=seed)
        world.obtain(lives_s=lives_s)
        dues.append(world.due_in())
    assert earliest - 0.1 <= min(dues) <= max(dues) <= latest + 0.1
    assert len({round(due, 1) for due in dues}) > 1, "relays that start together"


@given(st.floats(0.1, 1e6), st.integers(0, 1000))
def test_it_is_never_renewed_late_nor_without_a_pause(lives_s, seed):
    world = World(seed=seed)
    world.obtain(lives_s=lives_s)
    assert world.due_in(2e6) >= min(1.0, lives_s) - 0.1
    if lives_s > 2.0:
        assert world.due_in(2e6) < lives_s


def test_keys_that_never_expire_are_not_asked_for_again():
    world = World()
    issued = world.obtain(lives_s=None)
    assert issued.expires_at == 0.0
    assert world.due_in() == float("inf")


def test_a_machine_that_slept_renews_when_it_wakes():
    world = World()
    world.obtain()
    world.wall += 4000.0  # the other clock stood still
    assert world.is_due()


def test_a_clock_that_is_set_back_delays_nothing():
    world = World()
    world.obtain()
    world.wall -= 86_400.0
    world.at += 3600.0
    assert world.is_due()


# ---- failures


def test_failures_pause_longer_and_longer_and_success_ends_it():
    world = World()
    world.obtain()
    pauses = []
    for _ in range(8):
        world.fail()
        pauses.append(world.due_in())
        world.wait(pauses[-1])
    for pause, most in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.89 * most <= pause <= most + 0.1
    world.obtain("test-token-2")
    world.fail()
    assert world.due_in() <= 1.1


def test_the_old_one_is_kept_to_its_last_second():
    world = World()
    first = world.obtain()
    failed = world.fail()
    kept = (first.secret, 1, first.expires_at)
    assert (failed.secret, failed.serial, failed.expires_at) == kept
    assert world.fail() is None, "told once"


def test_a_person_who_has_to_do_something_is_waited_for():
    world = World()
    world.fail(FINAL)
    assert 54.0 - 0.1 <= world.due_in() <= 60.1
    for _ in range(5):
        world.wait(world.due_in())
        world.fail(FINAL)
    assert 270.0 - 0.1 <= world.due_in() <= 300.1


def test_a_failure_is_logged_once_and_its_end_too():
    world = World()
    world.obtain()
    for _ in range(3):
        world.fail()
        world.wait(world.due_in())
    told = world.named("credential_failed")
    assert len(told) == 1
    assert told[0]["level"] == "warning", "the old one is still good"
    assert told[0]["provider"] == "cloudy"
    assert told[0]["key"] == "main"
    assert (told[0]["reason"], told[0]["hint"]) == ("no answer", "check the network")
    assert told[0]["valid_s"] == 3600
    world.fail(FINAL)
    assert len(world.named("credential_failed")) == 2, "another reason"
    world.wait(601)
    world.fail(FINAL)
    assert len(world.named("credential_failed")) == 3, "after a while it is said again"
    world.obtain("test-token-2")
    assert [one["level"] for one in world.named("credential_recovered")] == ["info"]
    world.obtain("test-token-3")
    assert len(world.named("credential_recovered")) == 1


def test_without_any_credential_a_failure_is_an_error():
    world = World()
    world.fail()
    assert world.named("credential_failed")[0]["level"] == "error"
    assert world.named("credential_failed")[0]["valid_s"] is None


def test_the_end_of_the_last_credential_is_said_once():
    world = World()
    world.obtain(lives_s=100)
    world.fail()
    world.renewal.look(world.now)
    assert world.named("credential_expired") == []
    world.wait(101)
    world.renewal.look(world.now)
    world.renewal.look(world.now)
    assert [one["level"] for one in world.named("credential_expired")] == ["error"]


def test_a_credential_that_had_expired_when_it_came_is_no_hot_loop():
    world = World()
    issued = world.obtain(lives_s=-7200)
    assert issued.serial == 1, "the cloud may think otherwise: the clock here may be wrong"
    assert world.due_in() >= 29.0
    assert "clock" in world.named("credential_failed")[0]["hint"]


# ---- the same one again


def test_the_same_secret_has_the_same_serial_and_is_told_only_when_it_lives_longer():
    world = World()
    first = world.obtain()
    assert world.obtain() is None
    world.wait(10)
    again = world.obtain()
    assert (again.serial, again.expires_at) == (1, first.expires_at + 10)


def test_the_kind_of_secret_is_part_of_it():
    world = World()
    world.obtain(lives_s=None)
    world.renewal.begin(world.now)
    issued = world.renewal.succeeded(Obtained(AwsKeys("a", "b"), 0.0, "env"), world.now)
    assert issued.serial == 2


# ---- refused by the cloud


def test_a_refusal_renews_at_once():
    world = World()
    world.obtain()
    world.wait(1000)
    assert not world.is_due()
    world.refuse()
    assert world.is_due()
    assert world.obtain("test-token-2").serial == 2
    assert world.named("credential_refused") == [
        {"level": "info", "provider": "cloudy", "key": "main", "serial": 1}
    ]


def test_refusals_of_many_workers_are_one():
    world = World()
    world.obtain()
    world.wait(1000)
    for _ in range(5):
        world.refuse()
    assert len(world.named("credential_refused")) == 1
    world.obtain("test-token-2")
    world.refuse(1)
    assert not world.is_due(), "an old one"


def test_refusals_one_after_the_other_slow_down():
    world = World()
    pauses = []
    for number in range(9):
        world.obtain(f"test-token-{number}")
        world.refuse()
        pauses.append(world.due_in())
        world.wait(pauses[-1])
    assert pauses[0] == pytest.approx(5.0, abs=0.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(300.0, abs=0.1)


def test_a_source_that_gives_the_refused_one_again_is_told_and_tried_again_later():
    world = World()
    world.obtain()
    world.wait(1000)
    world.refuse()
    refused = world.obtain()
    assert refused.serial == 1, "workers go on to do without"
    assert "gives the same one again" in refused.error
    assert world.named("credential_failed")[-1]["level"] == "warning"
    assert 55 <= world.due_in() <= 60.1
    assert world.obtain() is None
    world.wait(61)
    assert world.is_due()
    again = world.obtain()
    assert (again.serial, again.error) == (2, ""), "it may have been the cloud's mistake"


def test_a_request_that_waits_for_the_first_hastens_it():
    world = World()
    world.fail(FINAL)
    world.wait(1)
    world.refuse(0)
    assert 3.9 <= world.due_in() <= 4.1
    assert world.named("credential_refused") == []


# ---- files


def test_a_file_that_was_changed_is_read_at_once():
    world = World()
    world.obtain(lives_s=None)
    world.renewal.settings_changed(world.now)
    assert world.is_due()
    assert world.obtain("test-token-2", lives_s=None).serial == 2
    assert world.due_in() == float("inf")


def test_a_file_that_was_changed_during_an_attempt_is_read_after_it():
    world = World()
    world.renewal.begin(world.now)
    world.renewal.settings_changed(world.now)
    world.renewal.failed(FINAL, world.now)
    assert world.is_due()
    world.obtain()
    assert not world.is_due()


def test_a_token_that_others_renew_matters_only_after_a_failure():
    world = World()
    world.obtain()
    world.renewal.caches_changed(world.now)
    assert not world.is_due()
    world.fail(FINAL)
    world.renewal.caches_changed(world.now)
    assert world.is_due()


def test_no_event_has_a_secret():
    world = World()
    world.obtain("test-secret-token")
    world.fail()
    world.refuse()
    assert "test-secret-token" not in repr(world.events)
    assert rules.SAME_AGAIN.reason
