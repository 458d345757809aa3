"""Routing.Explain over a real grpc.aio server and client: the relay's router on the live state."""

import asyncio
import os
import random
import time
from pathlib import Path

import grpc
import pytest

from ccrelay._fast.affinity_table import AffinityTable, hash64
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.fleet.refused_features import COUNTED, RefusedFeatures
from ccrelay.store.rules import RuleCount
from ccrelay.store.schema import SEQ_SHIFT
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.v1 import routing_pb2 as v1
from tests.loopback.manager.rig import CONFIG, NoBooks, Rig, refused, rig, run

INVALID = grpc.StatusCode.INVALID_ARGUMENT
OPUS = "claude-opus-4-5"
SESSION = "3f8c41aa-1111-4222-8333-abcdefabcdef"


def memory_of(made: Rig) -> bytes:
    return os.pread(made.fd, os.fstat(made.fd).st_size, 0)


async def ask(made: Rig, **request: object) -> v1.ExplainResponse:
    answer: v1.ExplainResponse = await made.routing.Explain(
        v1.ExplainRequest(**{"model": OPUS, **request})  # type: ignore[arg-type]
    )
    return answer


def test_a_free_target_is_named_with_all_that_is_known(tmp_path: Path) -> None:
    async def main() -> v1.ExplainResponse:
        async with rig(tmp_path) as made:
            reservation = made.worker("one").targets[1].limits.reserve(time.monotonic(), 10, 10)
            answer = await ask(made)
            assert reservation is not None
            return answer

    answer = run(main())
    assert answer.target == "one/a"
    assert answer.sent_model == OPUS
    assert answer.traffic_class == "main"
    assert answer.choice.reason == "strategy"
    assert answer.choice.strategy == "failover"
    assert answer.choice.sentence == (
        f"It goes to one/a, the only provider for {OPUS}; "
        "of the 2 free keys of one that with the most room (key_strategy most-room)."
    )
    first, second = answer.candidates
    assert (first.target, first.available, first.why, first.in_flight) == ("one/a", True, "", 0)
    assert (second.target, second.in_flight) == ("one/b", 1)
    assert not first.HasField("room")
    assert second.room == 0.98
    assert first.new_micros > first.cached_micros > 0
    assert [(one.provider, one.reasons[0]) for one in answer.ineligible] == [
        ("two", f"does not serve {OPUS}; nearest: glm-5")
    ]
    assert [(one.target, one.why) for one in answer.choice.passed] == [("one/b", "available")]


def test_features_that_were_refused_are_told(tmp_path: Path) -> None:
    async def main() -> tuple[v1.ExplainResponse, v1.ExplainResponse]:
        async with rig(tmp_path) as made:
            features = RefusedFeatures(SharedMemory(made.fd, 0))
            now = time.time()
            assert features.learn("one", OPUS, "effort", now)
            assert features.learn("one", "another", "tool_search", now)
            assert features.learn("two", OPUS, "tool_search", now)
            assert features.learn("one", COUNTED + OPUS, "web_search", now)
            return await ask(made), await ask(made, traffic_class="count_tokens")

    answer, counted = run(main())
    for one in counted.candidates:
        assert {feature.feature for feature in one.left_out} == {"web_search", "effort"}
    for one in answer.candidates:
        assert [feature.feature for feature in one.left_out] == ["effort"]
        assert one.left_out[0].until_ms > (time.time() + 86_000) * 1000


def test_asking_changes_nothing_in_the_shared_memory(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            worker = made.worker("one")
            worker.targets[0].limits.start_cooldown(now - 1, Cooldown.RATE)  # a trial is due
            worker.targets[1].refusals.add(now - 100, 30.0, 900.0)  # as well
            for _ in range(3):  # of a breaker, too
                ticket = worker.endpoint.breaker.admit(now - 60, random.Random())
                assert ticket is not None
                worker.endpoint.breaker.settle(ticket, now - 60, random.Random(), False)
            AffinityTable(made.memory).keep(hash64(SESSION.encode()), worker.targets[0].slot, now)
            before = memory_of(made)
            for session in ("", SESSION):
                answer = await ask(made, session=session)
                assert answer.target
            assert memory_of(made) == before

    run(main())


def test_cooldowns_move_the_choice_and_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            one = made.worker("one")
            one.targets[0].limits.start_cooldown(now + 100, Cooldown.RATE)
            answer = await ask(made)
            assert answer.target == "one/b"
            assert answer.choice.sentence == "It goes to one/b, the only target that is free now."
            blocked = answer.candidates[0]
            assert (blocked.available, blocked.why) == (False, "cooldown")
            assert abs(blocked.available_at_ms - (time.time() + 100) * 1000) < 5_000
            assert [(p.target, p.why) for p in answer.choice.passed] == [("one/a", "cooldown")]
            one.targets[1].limits.start_cooldown(now + 100, Cooldown.RATE)
            answer = await ask(made)
            assert answer.target == ""
            assert "No target can take it now" in answer.choice.sentence

    run(main())


def test_a_wait_that_is_short_enough_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            for target in made.worker("one").targets:
                target.limits.start_cooldown(now + 5, Cooldown.RATE)
            answer = await ask(made)
            assert answer.target == ""
            assert 3_000 < answer.waits_ms <= 5_100
            assert answer.choice.reason == "queue"
            assert "It waits" in answer.choice.sentence

    run(main())


def test_affinity_is_the_relays_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            one = made.worker("one")
            AffinityTable(made.memory).keep(
                hash64(SESSION.encode()),
                one.targets[1].slot,
                now,
                prefix_tokens=90_000,
                cached_tokens=88_400,
                body_bytes=10_000,
            )
            answer = await ask(made, session=SESSION)
            assert answer.target == answer.affinity_target == "one/b"
            assert answer.affinity_tokens == 88_400
            assert answer.choice.reason == "affinity"
            assert answer.choice.sentence == (
                "It goes to one/b, where 88,400 tokens of the conversation are cached."
            )
            AffinityTable(made.memory).keep(hash64(b"other-1"), one.targets[1].slot, now)
            assert (await ask(made, session="other-1")).choice.sentence == (
                "It goes to one/b, which has served the conversation before."
            )
            by_header = await ask(made, headers={"X-Claude-Code-Session-Id": SESSION})
            assert by_header.choice.reason == "affinity"
            other = await ask(made, session="another-session")
            assert (other.choice.reason, other.affinity_target) == ("strategy", "")

    run(main())


def test_affinity_of_clients_with_tokens(tmp_path: Path) -> None:
    import hashlib

    from ccrelay.routing.conversation import client_number

    text = CONFIG + "server: {auth: {tokens: [first-relay-token, second-relay-token]}}\n"

    async def main() -> None:
        async with rig(tmp_path, text) as made:
            client = client_number(b"token", hashlib.sha256(b"second-relay-token").digest())
            AffinityTable(made.memory).keep(
                hash64(SESSION.encode()),
                made.worker("one").targets[1].slot,
                time.monotonic(),
                client=client,
            )
            assert (await ask(made, session=SESSION)).choice.reason == "affinity"

    run(main())


def test_an_open_breaker_and_panic(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            now = time.monotonic()
            breaker = made.worker("one").endpoint.breaker
            rng = random.Random()
            for _ in range(3):
                ticket = breaker.admit(now, rng)
                assert ticket is not None
                breaker.settle(ticket, now, rng, False)
            answer = await ask(made)
            assert {one.why for one in answer.candidates} == {"breaker_open"}
            # The breaker may close within the time of the queue; a request waits for that.
            assert answer.waits_ms or answer.choice.reason == "panic"

    run(main())


RULES = """\
  rules:
    - name: cheap
      when: {request_class: [background]}
      use: {providers: [two], model: glm-5}
    - name: big
      when: {tokens_over: 100000}
      use: {strategy: least-busy}
"""


def test_rules_are_the_relays_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, CONFIG + RULES) as made:
            answer = await ask(made, traffic_class="background")
            assert (answer.target, answer.choice.rule) == ("two/c", "cheap")
            assert answer.choice.reason == "only"
            answer = await ask(made, tokens=200_000)
            assert (answer.choice.rule, answer.choice.strategy) == ("big", "least-busy")
            assert [(one.rule, list(one.unmet)) for one in answer.rules_missed] == [
                ("cheap", ["request_class: background"])
            ]
            answer = await ask(made)
            assert answer.choice.rule == ""
            assert len(answer.rules_missed) == 2

    run(main())


def test_a_model_that_nobody_serves(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            answer = await ask(made, model="gpt-5")
            assert answer.target == ""
            assert answer.choice.sentence == "No enabled provider serves gpt-5."
            assert len(answer.ineligible) == 2
            assert not answer.candidates

    run(main())


def test_disabled_providers_and_keys_are_not_asked(tmp_path: Path) -> None:
    from ccrelay.v1 import providers_pb2

    async def main() -> None:
        async with rig(tmp_path) as made:
            request = providers_pb2.SetKeyEnabledRequest(provider="one", key="a", enabled=False)
            await made.providers.SetKeyEnabled(request)
            answer = await ask(made)
            assert [one.target for one in answer.candidates] == ["one/b"]
            assert answer.choice.reason == "only"
            await made.providers.SetEnabled(
                providers_pb2.SetEnabledRequest(provider="one", enabled=False)
            )
            answer = await ask(made)
            assert list(answer.ineligible[0].reasons) == ["disabled (enabled: false)"]

    run(main())


def test_count_tokens_reserves_nothing_but_has_a_target(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            answer = await ask(made, traffic_class="count_tokens")
            assert answer.target == "one/a"
            assert answer.traffic_class == "count_tokens"

    run(main())


@pytest.mark.parametrize(
    "request_",
    [
        {"model": ""},
        {"model": "x" * 257},
        {"model": "a\x00b"},
        {"model": "\u202eabc"},
        {"traffic_class": "everything"},
        {"tokens": 2**32 - 1},
        {"session": "../../etc"},
        {"session": "x" * 10_000},
        {"session": "undefined"},
        {"session": "ü"},
        {"headers": {f"h{number}": "v" for number in range(65)}},
        {"headers": {"a": "x" * 5000}},
    ],
)
def test_questions_that_are_none(tmp_path: Path, request_: dict[str, object]) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            call = made.routing.Explain(v1.ExplainRequest(**{"model": OPUS, **request_}))  # type: ignore[arg-type]
            code, message = await refused(call)
            assert code is INVALID
            assert message.isprintable()
            assert len(message) < 300

    run(main())


def test_many_questions_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            before = memory_of(made)
            answers = await asyncio.gather(*[ask(made) for _ in range(30)])
            assert {answer.target for answer in answers} == {"one/a"}
            assert memory_of(made) == before

    run(main())


LISTED = """  rules:
    - {name: long, when: {tokens_over: 60000}, use: {providers: [two], model: glm-5}}
    - {when: {request_class: [subagent]}, use: {strategy: round-robin}}
"""


class Kept(NoBooks):
    """Books whose ledger knows of rules."""

    def __init__(self, ledger: object) -> None:
        self.ledger = ledger  # type: ignore[assignment]


class Counts:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.problem = ""
        self.takes_s = 0.0

    async def rule_counts(self, since_ms: int) -> dict[str, RuleCount]:
        self.asked.append(since_ms)
        await asyncio.sleep(self.takes_s)
        if self.problem:
            raise LedgerTrouble(self.problem)
        return {"long": RuleCount(3, 5 << SEQ_SHIFT, 70), "": RuleCount(9)}


def test_rules_are_listed_with_how_often_they_matched(tmp_path: Path) -> None:
    counts = Counts()

    async def main() -> None:
        async with rig(tmp_path, CONFIG + LISTED, books=Kept(counts)) as made:
            answer = await made.routing.ListRules(v1.ListRulesRequest(since_ms=7))
            assert counts.asked == [7]
            assert answer.unmatched == 9
            long, other = answer.rules
            assert long == v1.RuleInfo(
                name="long",
                when=["tokens_over: 60000"],
                use=["providers: [two]", "model: glm-5"],
                matched=3,
                last_matched_at_ms=5,
                cost_micros=70,
            )
            assert other == v1.RuleInfo(
                name="rules[1]",
                when=["request_class: [subagent]"],
                use=["strategy: round-robin"],
            )
            counts.problem = "the disk is full"
            code, text = await refused(made.routing.ListRules(v1.ListRulesRequest()))
            assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "The disk is full.")
            code, _ = await refused(made.routing.ListRules(v1.ListRulesRequest(since_ms=-1)))
            assert code is INVALID

    run(main())


def test_counts_that_take_long_are_given_again(tmp_path: Path) -> None:
    counts = Counts()
    counts.takes_s = 0.1

    async def main() -> None:
        async with rig(tmp_path, CONFIG + LISTED, books=Kept(counts)) as made:
            for since_ms in (0, 0, 0, 7):
                answer = await made.routing.ListRules(v1.ListRulesRequest(since_ms=since_ms))
                assert answer.rules[0].matched == 3
            assert counts.asked == [0, 7]
            await asyncio.sleep(1.2)
            await made.routing.ListRules(v1.ListRulesRequest(since_ms=7))
            assert counts.asked == [0, 7, 7]

    run(main())


def test_rules_are_listed_where_nothing_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path, CONFIG + LISTED) as made:
            answer = await made.routing.ListRules(v1.ListRulesRequest())
            assert [(one.name, one.matched) for one in answer.rules] == [
                ("long", 0),
                ("rules[1]", 0),
            ]

    run(main())
