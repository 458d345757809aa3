from collections.abc import Sequence
from enum import IntEnum

from ccrelay._fast.shared_memory import SharedMemory

class Capacity(IntEnum):
    """What a target can do now."""

    READY = 0
    FULL = 1  # a request or token limit, ours or learned
    BUSY = 2  # max_concurrent
    RESTING = 3  # a timed rest
    OUT = 4  # refused by the provider: not used until a reload

class Cooldown(IntEnum):
    NONE = 0
    RATE = 1  # 429 with a reset
    QUOTA = 2  # balance or quota spent
    REFUSED = 3  # 401, 403: OUT

class Dimension(IntEnum):
    REQUESTS = 0
    INPUT = 1
    OUTPUT = 2
    TOKENS = 3  # input + output

class TargetLimits:
    """Counters of one target, as this worker sees and writes them."""

    @property
    def slot(self) -> int: ...
    def __init__(self, memory: SharedMemory, slot: int) -> None: ...
    def limit(
        self, *, rpm: int = 0, tpm: int = 0, itpm: int = 0, otpm: int = 0, max_concurrent: int = 0
    ) -> None:
        """Configured limits of this process's view, per any 60 seconds; 0: none."""

    def state(self, now: float, tokens_in: int, tokens_out: int) -> int:
        """A Room. A request larger than a whole limit is READY when the window is empty. Negative
        tokens are none, and more than 2**27 are 2**27."""

    def room(self, now: float, tokens_in: int, tokens_out: int) -> float:
        """The share of its tightest limit that would be left: 1.0 without limits, 0.0 where it is
        not READY, hardly more where it is because the window is empty."""

    def ready_at(self, now: float, tokens_in: int, tokens_out: int) -> float:
        """When it would be READY if nothing else came: now if it is, inf for OUT, at least
        now + 0.05 for BUSY."""

    def reserve(self, now: float, tokens_in: int, tokens_out: int) -> Reservation | None:
        """One request and its tokens, counted and in flight; None: no room (any more). ValueError:
        the board has no worker."""

    def force(self, now: float, tokens_in: int, tokens_out: int) -> Reservation:
        """The same without asking for room: a request that is sent to its target again."""

    def rest(self, until: float, reason: int) -> None:
        """Rest until then, or as long as an earlier call said if that is later. REFUSED: no end.
        ValueError: no such reason."""

    def clear_cooldown(self) -> None:
        """End a rest without end: REFUSED is taken back by a reload, other rests stay."""

    def cooldown_until(self) -> float:
        """As it was told: it may be past. 0.0: never rested; inf: OUT."""

    @property
    def cooldown_reason(self) -> int: ...
    def learn(
        self, dim: int, limit: int, remaining: int, resets_at: float, keep_until: float, now: float
    ) -> None:
        """A header said: `limit` (0: unknown) holds until `keep_until`; `remaining` (-1: unknown)
        are left until `resets_at`. Instants that are past say nothing; how far ahead to believe
        one is for the caller to clamp.

        With a limit in force (this one, else one learned before, else the configured one), what
        is missing from it and was not counted here was used by others, and counts against that
        limit until `resets_at`. When more remains of a learned limit than was counted here, the
        provider is believed: until `resets_at` (61 s at most) as many may be counted, less what
        the other exchanges in flight make up, of which it may not have known. Without a limit, at
        most `remaining` are given out until `resets_at`. Headers may loosen and tighten what was
        learned earlier, and only tighten what is configured."""

    def learned(self, dim: int, now: float) -> tuple[int, int] | None:
        """(limit, used by others) as learned and still valid, 0 for what is unknown; None when
        nothing is known. Negative: so much less is used of the limit than was counted here."""

    def used(self, dim: int, now: float) -> int:
        """What this relay counted in the last 60.5 to 61 seconds, all workers."""

    @property
    def in_flight(self) -> int:
        """Exchanges under way, all workers."""

class Reservation:
    """One request's share of a target; settled or cancelled once.

    One that is forgotten gives back its place in flight and stays counted; one whose slot was given
    to another credential is inert.
    """

    @property
    def limits(self) -> TargetLimits: ...
    @property
    def tokens_in(self) -> int: ...
    @property
    def tokens_out(self) -> int: ...
    @property
    def open(self) -> bool: ...
    def settle(self, now: float, tokens_in: int, tokens_out: int) -> bool:
        """It is over and used so much. Less than reserved goes back to where it was counted; more
        is counted now. False: it was over already, nothing happened."""

    def correct(self, now: float, tokens_in: int) -> None:
        """The input is known before the end (message_start told it)."""

    def cancel(self, now: float) -> bool:
        """Nothing was sent: the request is given back as well."""

class KeyPool:
    """The gauges of one provider's keys, surveyed together."""

    def __init__(
        self,
        target_limits: Sequence[TargetLimits],
        weights: Sequence[int],
        priorities: Sequence[int],
        seeds: Sequence[int],
    ) -> None:
        """Seeds: a hash of 64 bits per key that does not depend on its slot. Weight 0: used when no
        key with a weight is READY; equal shares when no key has a weight. ValueError: not as many
        of each, or a negative weight."""

    def __len__(self) -> int: ...
    def survey(self, now: float, tokens_in: int, tokens_out: int, skip: int = 0) -> int:
        """Look at every gauge (but those whose bit is set in `skip`); returns how many are READY in
        the highest priority that has any. The methods below speak of this survey. Keys without a
        weight come after all priorities of those that have one."""

    @property
    def ready(self) -> int: ...
    @property
    def room(self) -> float:
        """Room of the READY keys of that priority, weighted: 0..1 of the provider's whole weight;
        at least 0.001 when there is one."""

    @property
    def in_flight(self) -> int:
        """All keys, all workers; asked afresh, no survey needed."""

    def is_ready(self, index: int) -> bool:
        """READY in the survey, whatever its priority. IndexError: no such key."""

    def favourite(self, conversation: int) -> int:
        """Where this conversation belongs by rendezvous hashing among keys of the highest priority
        and weight > 0 (of any weight if none has one), available or not. -1: there is no key."""

    def most_room(self) -> int:
        """Index of the READY key with most room x weight; equal: the fewest in flight, then the
        next in turn. -1: none is."""

    def least_loaded(self) -> int:
        """Fewest in flight / weight; equal: the next in turn."""

    def in_turn(self) -> int:
        """Smooth weighted round-robin, state in this process."""

    def at_random(self, point: float) -> int:
        """By weight; `point` in 0..1."""
