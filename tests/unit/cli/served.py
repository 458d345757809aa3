"""What a relay says in the example of the design, and a fake of the client that says it."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ccrelay.cli import connection
from ccrelay.cli.screen import Screen
from ccrelay.v1 import providers_pb2 as pb, relay_pb2 as rl

ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"  # needs no files of time zones


def at(text: str) -> int:
    """Milliseconds since 1970 of a local time: `2026-12-03 14:32:08`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", ZONE)
        time.tzset()
        seconds = time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    time.tzset()
    return int(seconds * 1000)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time with summer time."""
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def plain(width: int = 80, **how: Any) -> Screen:
    """A screen without colour."""
    return Screen(width=width, **how)


def day(clock: str) -> int:
    """A time of the day of the example."""
    return at(f"2026-12-03 {clock}")


def totals(**members: int) -> pb.Totals:
    return pb.Totals(**members)


def status() -> rl.Status:
    """The status that the design shows."""
    now = day("14:32:08")
    anthropic = pb.Provider(
        name="anthropic", type="anthropic", base_url="https://api.anthropic.com", enabled=True,
        weight=1, billing=pb.BILLING_TOKENS, breaker=pb.Breaker(state=pb.Breaker.STATE_CLOSED),
        models=["claude-*"],
    )  # fmt: skip
    anthropic.billing = pb.BILLING_TOKENS
    anthropic.keys.add(
        name="login", fingerprint="hmac:04f4a1b2", state=pb.Key.STATE_IN_USE, in_flight=1,
        enabled=True, first_event_ms=930, today=totals(plan_micros=6_840_000, exchanges=120),
        windows=[
            pb.Window(name="5h", utilization=0.62, resets_at_ms=now + 5_272_000, length_s=18_000,
                      utilization_at_reset=0.88),
            pb.Window(name="7d", utilization=0.71, resets_at_ms=at("2026-12-06 09:00:00"),
                      full_at_ms=at("2026-12-05 08:00:00"), length_s=604_800,
                      utilization_at_reset=1.18),
        ],
    )  # fmt: skip
    anthropic.keys.add(
        name="team-a", fingerprint="hmac:9c1e0000", state=pb.Key.STATE_IDLE, room=0.94,
        enabled=True, first_event_ms=1410, today=totals(billed_micros=13_260_000, exchanges=150),
    )  # fmt: skip
    anthropic.keys.add(
        name="team-b", fingerprint="hmac:b7d20000", state=pb.Key.STATE_COOLDOWN, room=0.0,
        enabled=True, cooldown_until_ms=now + 47_000, cooldown_reason="429",
        first_event_ms=710, today=totals(billed_micros=2_090_000, exchanges=80),
    )  # fmt: skip
    bedrock = pb.Provider(
        name="bedrock", type="compatible", base_url="https://eu-west-1", enabled=True,
        billing=pb.BILLING_TOKENS,
        breaker=pb.Breaker(state=pb.Breaker.STATE_OPEN, failures=3, since_ms=day("14:19:52"),
                           resumes_at_ms=now + 22_000),
    )  # fmt: skip
    bedrock.keys.add(
        name="eu-role", fingerprint="hmac:e83c0000", state=pb.Key.STATE_IN_USE, in_flight=1,
        enabled=True, room=0.82, first_event_ms=1690,
        today=totals(billed_micros=2_190_000, exchanges=40),
    )  # fmt: skip
    zai = pb.Provider(
        name="zai", type="zai", base_url="https://api.z.ai/api/anthropic", enabled=True,
        billing=pb.BILLING_PLAN, breaker=pb.Breaker(state=pb.Breaker.STATE_HALF_OPEN),
    )  # fmt: skip
    zai.keys.add(
        name="plan", fingerprint="hmac:51aa0000", state=pb.Key.STATE_IN_USE, in_flight=1,
        enabled=True, room=0.88, first_event_ms=1120,
        today=totals(plan_micros=1_640_000, exchanges=28),
        windows=[
            pb.Window(name="5h", utilization=0.18, resets_at_ms=now + 9_472_000, length_s=18_000,
                      utilization_at_reset=0.38),
            pb.Window(name="7d", utilization=0.22, resets_at_ms=now + 378_000_000,
                      length_s=604_800, utilization_at_reset=0.59),
        ],
    )  # fmt: skip
    return rl.Status(
        version="0.3.0", pid=4711, started_at_ms=now - (5 * 3600 + 19 * 60 + 8) * 1000,
        listen=["127.0.0.1:8787"], config_file="ccrelay.yaml", revision=11,
        state=rl.Status.STATE_SERVING, in_flight=3, providers=[anthropic, bedrock, zai],
        workers=[rl.Worker(slot=0, pid=4712, state="serving", started_at_ms=now),
                 rl.Worker(slot=1, pid=4713, state="serving", started_at_ms=now)],
        today=totals(exchanges=418, failovers=6, billed_micros=17_540_000, plan_micros=8_480_000,
                     saved_micros=150_890_000, input_tokens=1_110_000, output_tokens=312_300,
                     cache_read_tokens=61_200_000, cache_write_tokens=3_060_000),
        notices=[rl.Notice(severity=rl.Notice.SEVERITY_WARNING, subject="login", message=(
            "the 7-day window runs out Sat 08:00, 25 h before its reset."))],
        answering=True, at_ms=now, strategy="failover", rules=4,
    )  # fmt: skip


Answer = Callable[[Any], Any]


class FakeRelay:
    """Answers calls from a table; keeps what it was asked.

    `answers`: by method, a message, an exception, or what makes one of a request; of a stream, a
    list of messages and exceptions.
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            name.replace("__", "/"): answer for name, answer in answers.items()
        }
        self.asked: list[tuple[str, Any]] = []
        self.envs: list[Any] = []

    def _answer(self, method: str, request: Any) -> Any:
        method = method.removeprefix("/ccrelay.v1.")
        self.asked.append((method, request))
        answer = self.answers[method]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def call(self, method: str, request: Any, response_type: Any, timeout_s: Any = None) -> Any:
        answer = self._answer(method, request)
        assert isinstance(answer, response_type), (method, type(answer))
        return response_type.FromString(answer.SerializeToString())

    def stream(self, method: str, request: Any, response_type: Any, timeout_s: Any = None) -> Any:
        return _Stream(self._answer(method, request))

    def of(self, method: str) -> list[Any]:
        """Requests of one method."""
        return [request for name, request in self.asked if name == method]


class _Stream:
    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = iter(answers)

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> Any:
        answer = next(self._answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch, zone: None) -> FakeRelay:
    """A relay that says what the design shows, in local time of the example."""
    fake = FakeRelay(Relay__GetStatus=rl.GetStatusResponse(status=status()))

    def connect(env: Any) -> FakeRelay:
        fake.envs.append(env)
        return fake

    monkeypatch.setattr(connection, "connect", connect)
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "CCRELAY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return fake
