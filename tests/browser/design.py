"""A management API that says what the design shows, as of now: for pictures and tests of looks."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator
from typing import Any

from ccrelay.v1 import (
    exchanges_pb2 as ex,
    providers_pb2 as pb,
    relay_pb2 as rl,
    routing_pb2 as ro,
    usage_pb2 as us,
)
from tests.loopback.control.harness import Behaviour
from tests.process.commands import behaviours
from tests.unit.cli import examples
from tests.unit.cli.served import day, status, totals

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
MINUTE_MS = 60_000
OPEN_FOR_MS = 4_000
_SESSIONS = {
    "payments-api": "3f8c41aa-9b0e",
    "handbook": "b20e7712-55c1",
    "infra-live": "9ad105b7-0e42",
}
# Tokens of the exchange that was moved, as its bill has them.
_MOVED = ex.Tokens(input=412, cache_write_5m=164_300, output=1_603)
# What the lanes of the mock show: key, model, seconds before now, duration in seconds.
_LANES = {
    "anthropic/login": (SONNET, "handbook", [
        (1168, 14), (1118, 9), (1068, 22), (963, 12), (718, 18), (548, 31), (448, 11), (320, 7),
        (186, 26), (108, 17), (48, 20)]),
    "anthropic/team-a": (OPUS, "payments-api", [
        (1193, 28), (1108, 17), (1028, 33), (948, 14), (878, 41), (762, 22), (670, 26), (608, 19),
        (477, 38), (388, 24), (338, 20)]),
    "anthropic/team-b": (HAIKU, "payments-api", [
        (1158, 8), (1128, 4), (1098, 4), (1073, 6), (1018, 12), (928, 19), (818, 15), (748, 9),
        (631, 23), (518, 5), (498, 5), (458, 4), (398, 18), (288, 6), (208, 16), (135, 7),
        (88, 5)]),
    "bedrock/eu-role": (OPUS, "payments-api", [(231, 21), (178, 14), (97, 12)]),
    "zai/plan": ("glm-5.3", "infra-live", [
        (1178, 4), (1026, 4), (946, 4), (758, 4), (605, 4), (438, 4), (308, 4), (183, 4), (46, 4)]),
}  # fmt: skip


def moved_by(message: Any, shift_ms: int) -> Any:
    """Return a copy of a message with all its points in time moved."""
    copy = type(message)()
    copy.CopyFrom(message)
    _shift(copy, shift_ms)
    return copy


def _shift(message: Any, shift_ms: int) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                _shift(one, shift_ms)
        elif field.name.endswith("_at_ms") or field.name in (
            "at_ms", "since_ms", "cooldown_until_ms", "until_ms",
        ):  # fmt: skip
            setattr(message, field.name, value + shift_ms)


_MEMBERS = {"session": "session", "project": "project", "agent": "agent", "model": "model",
            "provider": "provider", "key": "key"}  # fmt: skip


def _fits(one: ex.Exchange, word: str) -> bool:
    """Whether an exchange fits a word of a filter: the few that tests of looks need."""
    name, sign, value = next(
        (word.partition(sign) for sign in ("=", ":", ">") if sign in word), ("", "", word)
    )
    if name == "cost":
        return one.cost.micros > float(value) * 1e6
    if name == "moved":
        return one.moved
    if name == "outcome":
        said = ex.Outcome.Name(one.outcome).removeprefix("OUTCOME_").lower()
        return said in value.split(",") or (value == "waited" and one.queued_ms > 0)
    if name == "class":
        return one.traffic_class in value.split(",")
    if name == "kind":
        return one.kind == value
    if name in _MEMBERS:
        have = getattr(one, _MEMBERS[name])
        return bool(have == value if sign == "=" else value in have)
    return value in f"{one.project} {one.model} {one.provider} {one.key} {one.session} {one.agent}"


class Design:
    """The relay of the design; its time begins where the design's picture was taken."""

    def __init__(self) -> None:
        self.began_ms = int(time.time() * 1000)
        self.shift_ms = self.began_ms - day("14:32:08")
        self.exchanges = self._exchanges()
        self.ended: list[ex.Exchange] = []
        self.changed = asyncio.Event()

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    def status(self) -> rl.Status:
        said = moved_by(status(), self.shift_ms)
        said.at_ms = self.now_ms()
        said.today.passed_on = 1
        said.today.moves, said.today.moved_micros = 2, 1_080_000
        late_ms = said.at_ms - self.began_ms  # countdowns do not end while a slow test looks
        for provider in said.providers:
            if provider.breaker.resumes_at_ms:
                provider.breaker.resumes_at_ms += late_ms
            for key in provider.keys:
                if key.cooldown_until_ms:
                    key.cooldown_until_ms += late_ms
            if provider.name == "bedrock":  # it has answered until now, as its lane shows
                provider.breaker.since_ms = self.began_ms - OPEN_FOR_MS
        return said

    def _exchanges(self) -> list[ex.Exchange]:
        """Newest first."""
        said = [moved_by(one, self.shift_ms) for one in examples.exchanges()]
        number = 0x100000
        for target, (model, project, times) in _LANES.items():
            for before_s, length_s in times:
                number += 0x111
                one = ex.Exchange()
                one.CopyFrom(examples.exchange(number, "14:30:00", project, target, model=model))
                one.started_at_ms = self.began_ms - before_s * 1000
                one.duration_ms = length_s * 1000.0
                one.session = _SESSIONS[project]
                if model == HAIKU:
                    one.traffic_class, one.agent = "subagent", "Explore"
                one.tokens.CopyFrom(
                    ex.Tokens(input=1_900, output=420 + length_s * 31, cache_read=98_200,
                              cache_write_5m=2_100)
                )  # fmt: skip
                one.cost.uncached_micros = one.cost.micros * 9
                said.append(one)
        for one in said:
            if one.id == examples.detail().exchange.id:
                one.tokens.CopyFrom(_MOVED)
        said += self._earlier()
        said.append(self._passed_on())
        said.append(self._second_failover())
        return sorted(said, key=lambda one: -(one.started_at_ms + one.duration_ms))

    def _earlier(self) -> list[ex.Exchange]:
        """The failovers of before: with the two that lanes show, as many as the status counts."""
        rows = []
        for number, minutes in enumerate((185, 199, 214, 240)):
            one = ex.Exchange()
            one.CopyFrom(
                examples.exchange(
                    0xB00000 + number, "11:00:00", "dotfiles", "anthropic/login", attempts=2,
                    outcome=ex.OUTCOME_FAILOVER, first_event_ms=1_900, duration_ms=8_000,
                )
            )  # fmt: skip
            one.started_at_ms = self.began_ms - minutes * MINUTE_MS
            one.session = "51c9d0aa-2222"
            rows.append(one)
        return rows

    def _passed_on(self) -> ex.Exchange:
        one = ex.Exchange()
        one.CopyFrom(examples.exchange(0xC21803, "14:18:03", "handbook", "anthropic/login"))
        one.started_at_ms = self.began_ms - 845_000
        one.duration_ms, one.first_event_ms, one.status = 300.0, 0.0, 400
        one.outcome, one.error = ex.OUTCOME_PASSED_ON, "invalid_request_error: prompt is too long"
        one.tokens.Clear()
        one.cost.Clear()
        return one

    def _second_failover(self) -> ex.Exchange:
        one = ex.Exchange()
        one.CopyFrom(
            examples.exchange(
                0xC2907B, "14:31:05", "infra-live", "zai/plan", sent_model="glm-5.3", attempts=2,
                outcome=ex.OUTCOME_FAILOVER, micros=140_000, billing=pb.BILLING_PLAN, moved=True,
                moved_micros=110_000, first_event_ms=2240, duration_ms=9_800,
            )
        )  # fmt: skip
        one.started_at_ms = self.began_ms - 63_000
        one.session = _SESSIONS["infra-live"]
        one.tokens.CopyFrom(ex.Tokens(input=97_900, output=702))
        return one

    def running(self) -> list[ex.Running]:
        rows = (
            ("req_ccrelay_0c29a77", 24_000, "payments-api", "subagent", "general-purpose", SONNET,
             "bedrock", "eu-role", 1300, 19_200),
            ("req_ccrelay_0c29f03", 10_200, "infra-live", "main", "", SONNET, "zai", "plan", 1610,
             6_110),
            ("req_ccrelay_0c2a41e", 3_100, "handbook", "main", "", SONNET, "anthropic", "login",
             920, 2_140),
        )  # fmt: skip
        return [
            ex.Running(
                id=one, started_at_ms=self.began_ms - before, project=project, traffic_class=kind,
                agent=agent, model=model, sent_model="glm-5.3" if provider == "zai" else model,
                provider=provider, key=key, first_event_ms=first, bytes_out=size, attempts=1,
                kind="messages", phase=ex.Running.PHASE_STREAMING,
                session=_SESSIONS[project],
            )
            for one, before, project, kind, agent, model, provider, key, first, size in rows
        ]  # fmt: skip

    def sessions(self) -> us.ListSessionsResponse:
        rows = (
            ("3f8c41aa-9b0e", "payments-api", 111, 0, 47, 9, 13_840_000, "bedrock/eu-role",
             190_100),
            ("b20e7712-55c1", "handbook", 37, 0, 38, 0, 3_020_000, "anthropic/login", 91_300),
            ("9ad105b7-0e42", "infra-live", 30, 0, 22, 0, 3_770_000, "zai/plan", 100_100),
            ("e77b02aa-1111", "payments-api", 27, 25, 3, 0, 10_000, "anthropic/team-b", 9_000),
            ("51c9d0aa-2222", "dotfiles", 252, 181, 31, 0, 3_800_000, "anthropic/login", 60_000),
            ("a8830faa-3333", "payments-api", 318, 301, 9, 2, 1_580_000, "anthropic/team-a",
             80_000),
        )  # fmt: skip
        return us.ListSessionsResponse(
            sessions=[
                us.Session(
                    session=session, project=project, turns=turns, agents=agents, target=target,
                    first_at_ms=self.began_ms - first * MINUTE_MS,
                    last_at_ms=self.began_ms - last * MINUTE_MS,
                    model=OPUS, prompt_tokens=prompt,
                    totals=totals(
                        exchanges=turns * 2, billed_micros=micros, input_tokens=90_000,
                        output_tokens=197_000, cache_read_tokens=23_400_000,
                        cache_write_tokens=1_800_000, saved_micros=micros * 6,
                        moves=1 if session.startswith(("3f", "9a")) else 0,
                        moved_micros=970_000 if session.startswith("3f") else 0,
                    ),
                )
                for session, project, first, last, turns, agents, micros, target, prompt in rows
            ]
        )  # fmt: skip

    # What the methods answer.

    async def watch_status(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield rl.WatchStatusResponse(status=self.status(), whole=True)
        while True:
            await asyncio.sleep(2)
            said = self.status()
            del said.providers[:]
            yield rl.WatchStatusResponse(status=said)

    async def watch_running(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            rows = self.running()
            yield ex.WatchRunningResponse(running=rows, total=len(rows), at_ms=self.now_ms())
            await asyncio.sleep(1)

    async def tail(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield ex.TailResponse()
        while True:
            await asyncio.sleep(1)
            yield ex.TailResponse()

    async def list_exchanges(self, request: Any, context: Any) -> Any:
        rows = self.found(request)
        return ex.ExchangesListResponse(exchanges=rows[: request.page_size or 100])

    def found(self, request: Any) -> list[ex.Exchange]:
        """Exchanges that fit the filter and the range of a request, newest first."""
        words = shlex.split(request.filter)
        return [
            one
            for one in self.exchanges
            if one.started_at_ms >= request.since_ms and all(_fits(one, word) for word in words)
        ]

    def count(self, request: Any) -> int:
        """How many fit a request; the list has only the last of those of today."""
        found = self.found(request)
        is_all = len(found) == len(self.exchanges)
        return self.status().today.exchanges if is_all else len(found)

    async def get_exchange(self, request: Any, context: Any) -> Any:
        said = moved_by(examples.detail(), self.shift_ms)
        said.exchange.tokens.CopyFrom(_MOVED)
        for one in self.exchanges:
            if one.id == request.id and one.id != said.exchange.id:
                said.exchange.CopyFrom(one)
                del said.attempts[:]
                said.attempts.add(
                    provider=one.provider, key=one.key, started_ms=0.4, status=one.status,
                    duration_ms=one.duration_ms, verdict="answered", sent_model=one.sent_model,
                )  # fmt: skip
                said.choice.reason, said.choice.sentence = "affinity", ""
        return said

    async def query(self, request: Any, context: Any) -> Any:
        if list(request.group_by) == [us.DIMENSION_HOUR]:
            return us.QueryResponse(
                rows=[
                    us.UsageRow(
                        group=[f"2026-12-03T{hour:02}"],
                        totals=totals(exchanges=count, billed_micros=count * 42_000),
                    )
                    for hour, count in enumerate(
                        (0, 0, 0, 0, 0, 12, 20, 8, 0, 4, 0, 24, 44, 56, 36, 68, 48, 58, 40), 0
                    )
                ]
            )
        if not request.group_by:
            return us.QueryResponse(total=totals(exchanges=self.count(request)))
        return examples.usage()

    def behaviours(self) -> dict[str, Behaviour]:
        async def sessions(request: Any, context: Any) -> Any:
            return self.sessions()

        async def rules(request: Any, context: Any) -> Any:
            return ro.ListRulesResponse()

        return behaviours() | {
            "Relay/WatchStatus": self.watch_status,
            "Exchanges/WatchRunning": self.watch_running,
            "Exchanges/Tail": self.tail,
            "Exchanges/List": self.list_exchanges,
            "Exchanges/Get": self.get_exchange,
            "Usage/ListSessions": sessions,
            "Usage/Query": self.query,
            "Routing/ListRules": rules,
        }
