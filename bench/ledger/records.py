"""Exchanges as a team makes them in a month: a few providers, keys, models, many sessions."""

import random
from collections.abc import Iterator
from typing import Any

from ccrelay.ledger.record import Billing, Record, Result, Try, Why
from ccrelay.types import Ending, RequestClass, TrafficClass

DAYS = 30
SPAN_US = DAYS * 86_400 * 1_000_000
TARGETS = (
    ("anthropic", "hmac:04f4a1b2", "team-a", int(Billing.TOKENS)),
    ("anthropic", "hmac:9c01d2aa", "team-b", int(Billing.TOKENS)),
    ("anthropic", "hmac:77e0b1c4", "login", int(Billing.PLAN)),
    ("zai", "hmac:b0b1b2b3", "plan", int(Billing.PLAN)),
)
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-opus-5")
CANDIDATES = " ".join(f"{provider}/{name}" for provider, _, name, _ in TARGETS)
_SAME: dict[str, Any] = {
    "cache_write_1h": 0,
    "rule": "",
    "strategy": "simple-shuffle",
    "prices_version": "2026-11-22",
    "candidates": CANDIDATES,
    "ending": int(Ending.COMPLETE),
}
PER_WORKER = 50_000  # exchanges of one worker before it is started again
SESSION = 40  # exchanges of a session


def records(count: int, end_us: int, seed: int = 1) -> Iterator[Record]:
    """So many exchanges that end at an instant, in the order in which they end."""
    chance = random.Random(seed)
    sessions = ["" for _ in range(12)]
    prefix = ""
    for number in range(count):
        at = end_us - SPAN_US + SPAN_US * number // count
        if number % PER_WORKER == 0:
            prefix = f"req_ccrelay_{number % 2}{chance.getrandbits(40):010x}"
        slot = chance.randrange(len(sessions))
        if not sessions[slot] or chance.random() < 1 / SESSION:
            sessions[slot] = f"{chance.getrandbits(128):032x}"
        yield _record(chance, f"{prefix}{number % PER_WORKER:x}", at, sessions[slot], slot)


def _record(chance: random.Random, name: str, ended_us: int, session: str, slot: int) -> Record:
    duration = int(chance.lognormvariate(15.8, 1.0))
    provider, key, key_name, billing = TARGETS[min(int(chance.expovariate(1.2)), 3)]
    model = MODELS[min(int(chance.expovariate(1.0)), 3)]
    sent = "glm-5.3" if provider == "zai" else model
    is_count = chance.random() < 0.1
    is_lost, is_failover = chance.random() < 0.01, chance.random() < 0.02
    cached = 0 if is_count else int(chance.lognormvariate(11, 1))
    written = 0 if is_count else int(chance.lognormvariate(8, 1))
    output = 0 if is_count else int(chance.lognormvariate(6, 1.2))
    cost = 0 if is_count else cached // 2 + written * 5 + output * 20
    first = 0 if is_lost or is_count else min(duration, int(chance.lognormvariate(14, 0.5)))
    result = Result.LOST if is_lost else Result.FAILOVER if is_failover else Result.OK
    traffic = (
        TrafficClass.COUNT_TOKENS if is_count else TrafficClass(chance.choice((0, 0, 0, 2, 4)))
    )
    return Record(
        **_SAME,
        id=name,
        started_at_us=ended_us - duration,
        duration_us=duration,
        kind=int(RequestClass.COUNT_TOKENS if is_count else RequestClass.MESSAGES),
        traffic=int(traffic),
        model=model,
        sent=sent,
        provider=provider,
        key=key,
        key_name=key_name,
        status=529 if is_lost else 200,
        result=int(result),
        attempts=2 if is_failover else 1,
        bytes_in=int(chance.lognormvariate(12, 1)),
        bytes_out=output * 12 + 800,
        has_usage=not is_count,
        input=chance.randrange(2000),
        output=output,
        cache_read=cached,
        cache_write_5m=written,
        thinking=output // 3 if chance.random() < 0.3 else 0,
        head_us=first * 9 // 10,
        first_event_us=first,
        queued_us=int(chance.random() * 3e6) if chance.random() < 0.01 else 0,
        own_us=chance.randrange(80, 900),
        stream=not is_count,
        moved=is_failover,
        stop_reason="" if is_count else chance.choice(("end_turn", "tool_use", "tool_use")),
        error="overloaded_error: the provider is overloaded" if is_lost else "",
        why=int(Why.FAILOVER if is_failover else Why.AFFINITY),
        conversation=hash((session, model)) & 0xFFFF_FFFF_FFFF_FFFF,
        session=session,
        agent=f"{session[:8]}{chance.randrange(3)}" if traffic == TrafficClass.SUBAGENT else "",
        project=f"project-{slot}",
        cost_micros=cost,
        uncached_micros=cost + cached * 4,
        moved_micros=900_000 if is_failover else 0,
        billing=billing,
        passed="anthropic/team-a=cooldown" if is_failover else "",
        tries=_tries(provider, key, key_name, sent, duration) if is_failover else [],
    )


def _tries(provider: str, key: str, name: str, sent: str, duration_us: int) -> list[Try]:
    return [
        Try(provider, key, name, sent, 900, 410_000, 529, "overloaded", "overloaded_error"),
        Try(provider, key, name, sent, 410_100, duration_us, 200, "answered", ""),
    ]
