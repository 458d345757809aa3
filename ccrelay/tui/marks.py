"""What happened at each key in the last twenty minutes, in steps of a few seconds.

The memory is bounded by keys and steps, however many exchanges there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ccrelay.v1 import exchanges_pb2 as pb

STEP_MS = 5_000
SPAN_MS = 20 * 60_000
STEPS = SPAN_MS // STEP_MS
KEYS_MAX = 256

# Bits of a step, the families in the order of what they cost.
OTHER, HAIKU, SONNET, OPUS, FAILED, HANDED_OVER = 1, 2, 4, 8, 16, 32
_FAMILIES = (("opus", OPUS), ("sonnet", SONNET), ("haiku", HAIKU))
_GOOD = ("answered", "client_left", "passed_on")

Lane = dict[int, int]


def family(model: str) -> int:
    """Return the bit of a model's family."""
    return next((bit for name, bit in _FAMILIES if name in model), OTHER)


def steps(start_ms: float, end_ms: float) -> Iterator[int]:
    """Iterate over the steps that a stretch of time touches, at most those of a lane."""
    first, last = int(start_ms) // STEP_MS, int(end_ms) // STEP_MS
    yield from range(max(first, last - STEPS), last + 1)


class Marks:
    """By `(provider, key)` and step, what happened."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, str], Lane] = {}

    def add(self, one: Any) -> None:
        """Mark an exchange that is over, where it was answered."""
        if not one.provider or one.kind == "count_tokens":
            return
        begin, end = one.started_at_ms, one.started_at_ms + one.duration_ms
        if one.attempts > 1:  # the time before was spent elsewhere; attempts tell more
            begin = min(max(begin, end - one.duration_ms / one.attempts), end)
        bit = family(one.sent_model or one.model)
        lane = self._lane(one.provider, one.key, int(end) // STEP_MS)
        if lane is None:
            return
        for step in steps(begin, end):
            lane[step] = lane.get(step, 0) | bit
        if one.outcome == pb.OUTCOME_LOST and one.attempts <= 1:
            lane[int(end) // STEP_MS] = lane.get(int(end) // STEP_MS, 0) | FAILED

    def add_attempts(self, one: Any, attempts: Sequence[Any]) -> None:
        """Mark where an exchange failed before, and where it was handed over to."""
        has_failed = False
        for attempt in attempts:
            at = int(one.started_at_ms + attempt.started_ms)
            lane = self._lane(attempt.provider, attempt.key, at // STEP_MS)
            if lane is None:
                continue
            is_good = attempt.verdict in _GOOD or (not attempt.verdict and attempt.status < 400)
            if not is_good:
                step = int(at + attempt.duration_ms) // STEP_MS
                lane[step] = lane.get(step, 0) | FAILED
            elif has_failed:
                lane[at // STEP_MS] = lane.get(at // STEP_MS, 0) | HANDED_OVER
            has_failed = has_failed or not is_good

    def _lane(self, provider: str, key: str, step: int) -> Lane | None:
        lane = self._lanes.get((provider, key))
        if lane is None:
            if len(self._lanes) >= KEYS_MAX:
                return None
            lane = self._lanes[provider, key] = {}
        if len(lane) > 2 * STEPS:
            newest = max(max(lane), step)
            for old in [one for one in lane if one < newest - STEPS]:
                del lane[old]
        return lane

    def copy(self) -> Mapping[tuple[str, str], Mapping[int, int]]:
        """Return all lanes as they are now."""
        return {name: dict(lane) for name, lane in self._lanes.items()}
