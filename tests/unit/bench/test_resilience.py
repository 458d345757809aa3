"""What the resilience bench makes of answers, records and samples; no process is started here."""

import json
import math
import random
from typing import Any

import pytest

from bench.resilience import affinity, load, outages
from bench.resilience.__main__ import SCENARIOS
from bench.resilience.client import Answer, Ending, message
from bench.resilience.findings import Findings, markdown, missed, plain

STREAM = {"content-type": "text/event-stream; charset=utf-8"}
START = b'event: message_start\ndata: {"type":"message_start"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
ERROR = b'event: error\ndata: {"type":"error"}\n\n'


def delta(number: int) -> bytes:
    inner = json.dumps({"type": "text_delta", "text": f"{number} "}, separators=(",", ":"))
    return b'event: content_block_delta\ndata: {"delta":%b}\n\n' % inner.encode()


def stream(*pieces: bytes, gap_s: float = 0.1, ending: Ending = Ending.WHOLE) -> Answer:
    """An answer whose pieces came at 100.1, 100.2 ..., and which ended a moment later."""
    answer = Answer(100.0, ending=ending, status=200, headers=STREAM, first_at=100.1)
    for number, piece in enumerate(pieces, 1):
        answer.body += piece
        answer.reads.append((100.0 + number * gap_s, len(answer.body)))
    answer.ended_at = answer.last_at + 0.03
    return answer


# ---- answers


@pytest.mark.parametrize(
    ("answer", "complete"),
    [
        (stream(START, delta(0), STOP), True),
        (stream(START, delta(0)), False),
        (stream(START, delta(0), STOP, ending=Ending.CUT), False),
        (Answer(0.0, ending=Ending.WHOLE, status=200), True),
        (Answer(0.0, ending=Ending.WHOLE, status=529), False),
        (Answer(0.0, ending=Ending.REFUSED), False),
    ],
)
def test_only_what_came_to_its_last_event_and_byte_is_complete(
    answer: Answer, complete: bool
) -> None:
    assert answer.is_complete is complete


@pytest.mark.parametrize(
    ("pieces", "in_order"),
    [
        ((START, delta(0), delta(1)), True),
        ((START,), True),
        ((START, delta(0), delta(2)), False),
        ((START, delta(1)), False),
        ((START, delta(0), delta(0)), False),
        ((START, delta(0), START, delta(1)), False),
    ],
)
def test_a_lost_a_doubled_and_a_second_beginning_show(
    pieces: tuple[bytes, ...], in_order: bool
) -> None:
    assert stream(*pieces).is_in_order is in_order


def test_the_instant_of_a_marker_is_that_of_the_piece_that_completes_it() -> None:
    answer = stream(START, ERROR[:8], ERROR[8:], b"more")
    assert answer.came_at(b"event: error") == pytest.approx(100.3)
    assert answer.came_at(b"event: nothing") == 0.0


def test_a_request_names_its_conversation_and_its_fault() -> None:
    request = message("hi", session="s-1", fault="529", stream=False)
    assert ("x-claude-code-session-id", "s-1") in request.headers
    assert ("x-demo-fault", "529") in request.headers
    assert json.loads(request.body)["stream"] is False


# ---- load


def test_bursts_keep_the_rate_over_the_whole_time() -> None:
    offsets = load.bursts(230, 20, 300)
    assert len(offsets) == pytest.approx(230 * 5, abs=20)
    assert offsets[:20] == [0.0] * 20
    assert offsets[20] == pytest.approx(20 * 60 / 230)
    assert offsets[-1] < 300


def test_sizes_spread_over_orders_of_magnitude_within_their_bounds() -> None:
    dice = random.Random(1)
    found = [load.sizes(1_000, 150_000, dice) for _ in range(2000)]
    assert min(found) >= 1_000
    assert max(found) <= 150_000
    below = sum(size < math.sqrt(1_000 * 150_000) for size in found)
    assert below == pytest.approx(1000, abs=100)


# ---- outages


def test_a_cut_is_timed_from_the_last_event_before_it() -> None:
    answer = stream(START, delta(0), ending=Ending.CUT)
    assert outages.passed_on_s(answer, "reset") == pytest.approx(0.03)


def test_silence_is_timed_from_the_moment_it_is_given_up() -> None:
    answer = stream(START, delta(0), ending=Ending.CUT)
    answer.ended_at = answer.last_at + outages.IDLE_S + 0.05
    assert outages.passed_on_s(answer, "stall") == pytest.approx(0.05)


def test_an_error_event_is_timed_by_its_own_arrival_not_by_the_end() -> None:
    answer = stream(START, delta(0), ERROR)
    answer.ended_at += 5
    assert outages.passed_on_s(answer, "error event") == pytest.approx(0.1)
    together = stream(START, delta(0) + ERROR)
    assert outages.passed_on_s(together, "error event") == pytest.approx(0.1)


def samples(returns_s: float, share: float) -> list[tuple[float, int, int]]:
    """Ten requests each tenth of a second; one provider carries its share from an instant on."""
    found, own = [], 0.0
    for step in range(80):
        at = 50.0 + step / 10
        found.append((at, round(own), 10 * step))
        own += 10 * share if step / 10 >= returns_s else 0
    return found


def test_a_share_counts_from_where_it_is_carried() -> None:
    third = outages.carries_from(samples(2.0, 1 / 3))
    assert 51.5 < third <= 52.1
    assert outages.carries_from(samples(0.0, 1 / 3)) == 50.0


def test_a_share_that_is_too_small_or_comes_too_late_never_counts() -> None:
    assert outages.carries_from(samples(2.0, 0.1)) == math.inf
    assert outages.carries_from(samples(9.0, 1 / 3)) == math.inf
    assert outages.carries_from([]) == math.inf


# ---- affinity


def test_keys_are_told_by_conversation_in_the_order_of_turns() -> None:
    def line(conversation: int, turn: int, key: str) -> dict[str, Any]:
        text = f"conversation {conversation}, turn {turn}"
        body = json.dumps({"messages": [{"role": "user", "content": text}]})
        return {"headers": [["Host", "h"], ["X-Api-Key", key]], "body": body}

    recorded = [line(7, 0, "a"), line(8, 0, "b"), line(7, 0, "a"), line(8, 0, "c")]
    assert affinity.keys_by_conversation(recorded) == {7: ["a", "a"], 8: ["b", "c"]}


# ---- findings


def test_bounds_are_kept_or_missed() -> None:
    found = Findings("s")
    found.at_most("a", 2.0, 2, "%")
    found.at_most("b", 2.01, 2, "%")
    found.at_least("c", 98.0, 98)
    found.at_least("d", 97.9, 98)
    found.exactly("e", 1, 0)
    found.tell("f", "anything")
    assert [one.what for one in missed(found.all)] == ["b", "d", "e"]


def test_the_table_shows_what_was_missed() -> None:
    found = Findings("pool")
    found.at_most("overshoot", 2.5, 2, "%")
    found.exactly("refused", 0, 0)
    lines = markdown(found.all).splitlines()
    assert lines[2:] == [
        "| pool | overshoot | <= 2 % | **2.5 %** MISSED |",
        "| pool | refused | 0 | 0 |",
    ]
    assert plain(found.all)[0]["held"] is False


# ---- the command


def test_every_row_of_the_table_has_its_scenario() -> None:
    assert list(SCENARIOS) == [
        "pool-rpm",
        "pool-tpm",
        "affinity",
        "provider-dies",
        "provider-returns",
        "worker-killed",
        "reloads",
        "hostile",
        "bodies",
    ]
    assert all(0 < one.quick_s < one.full_s for one in SCENARIOS.values())
