from collections.abc import Sequence
from enum import IntEnum

from ccrelay._fast.shared_memory import SharedMemory

class Capacity(IntEnum):
    """Whether a target can take a request now."""

    READY = 0
    FULL = 1  # a configured request or token limit
    BUSY = 2  # max_concurrent
    COOLING_DOWN = 3  # in a timed cooldown
    DISABLED = 4  # key refused by the provider: unused until a reload
    TIGHT = 5  # READY but for learned limits, which may be wrong or another model's

class Cooldown(IntEnum):
    """Why a target is in cooldown."""

    NONE = 0
    RATE = 1  # 429 with a reset time
    QUOTA = 2  # balance or quota spent
    REFUSED = 3  # 401, 403: DISABLED

class Dimension(IntEnum):
    REQUESTS = 0
    INPUT = 1
    OUTPUT = 2
    TOKENS = 3  # input + output

class TargetLimits:
    """Limits and use of one target, as this worker sees and counts them."""

    @property
    def slot(self) -> int: ...
    def __init__(self, memory: SharedMemory, slot: int) -> None: ...
    def limit(
        self, *, rpm: int = 0, tpm: int = 0, itpm: int = 0, otpm: int = 0, max_concurrent: int = 0
    ) -> None:
        """Set the configured limits, for any 60 seconds; 0: none. Local to this process."""

    def state(self, now: float, tokens_in: int, tokens_out: int) -> int:
        """A Capacity. A request larger than a whole configured limit is READY when the window is
        empty; one larger than a whole learned limit is TIGHT. Token counts are clamped to
        0..2**27."""

    def room(self, now: float, tokens_in: int, tokens_out: int) -> float:
        """Share of the tightest limit that would be left: 1.0 without limits, 0.001 at least when
        READY, less when TIGHT (the less, the more it lacks), else 0.0."""

    def ready_at(self, now: float, tokens_in: int, tokens_out: int, anyway: bool = False) -> float:
        """When it is READY if nothing else is counted: now if it is, inf for DISABLED, at least
        now + 0.05 for BUSY. `anyway`: when it is READY or TIGHT."""

    def reserve(
        self, now: float, tokens_in: int, tokens_out: int, anyway: bool = False
    ) -> Reservation | None:
        """Count one request and its tokens, and one exchange in flight; None: not READY.
        `anyway`: also when TIGHT. ValueError: the memory is read-only."""

    def reserve_unchecked(self, now: float, tokens_in: int, tokens_out: int) -> Reservation:
        """`reserve` without checking limits, for a request sent to its target again."""

    def start_cooldown(self, until: float, reason: int) -> None:
        """Do not use the target until then; a later end set earlier stays. REFUSED: no end.
        ValueError: no such reason."""

    def clear_cooldown(self) -> None:
        """End a REFUSED cooldown, on a reload; timed cooldowns stay."""

    def cooldown_until(self) -> float:
        """End of the last cooldown, perhaps past. 0.0: there was none; inf: DISABLED."""

    @property
    def cooldown_reason(self) -> int: ...
    def learn(
        self, dim: int, limit: int, remaining: int, resets_at: float, keep_until: float, now: float
    ) -> None:
        """Apply rate-limit headers: `limit` (0: unknown) is valid until `keep_until`, `remaining`
        (-1: unknown) until `resets_at`. Past times are ignored; the caller clamps far ones.

        With a limit in force (this one, else one learned before, else the configured one), the
        part of it that is neither remaining nor counted here was used by others, and counts
        against that limit until `resets_at`. When more remains of a learned limit than our count
        leaves, the provider is right: until `resets_at` (61 s at most) that much may be counted,
        less the share of the other exchanges in flight, which the answer may not include. Without
        a limit, at most `remaining` are reserved until `resets_at`. Headers may loosen or tighten
        learned limits, and only tighten configured ones."""

    def learned(self, dim: int, now: float) -> tuple[int, int] | None:
        """(limit, used by others), learned and still valid, 0 where unknown; None: nothing known.
        Negative use: that much less of the limit is used than was counted here."""

    def used(self, dim: int, now: float) -> int:
        """What all workers of this relay counted in the last 60.5 to 61 seconds."""

    @property
    def in_flight(self) -> int:
        """Exchanges in flight, all workers."""

class Reservation:
    """One request's share of a target's limits; ends once, by `commit` or `cancel`.

    When garbage-collected while open it leaves the in-flight count and stays in the window. Inert
    once its slot was assigned to another credential.
    """

    @property
    def limits(self) -> TargetLimits: ...
    @property
    def tokens_in(self) -> int: ...
    @property
    def tokens_out(self) -> int: ...
    @property
    def open(self) -> bool: ...
    def commit(self, now: float, tokens_in: int, tokens_out: int) -> bool:
        """End it with its actual use. Less than reserved is given back to the bucket it was counted
        in; more is counted now. False: it had ended before."""

    def adjust(self, now: float, tokens_in: int) -> None:
        """Replace the input estimate before the end (message_start reports it)."""

    def cancel(self, now: float) -> bool:
        """End it when nothing was sent: the request is given back, too."""

class KeyPool:
    """One provider's keys and the choice among them."""

    def __init__(
        self,
        target_limits: Sequence[TargetLimits],
        weights: Sequence[int],
        priorities: Sequence[int],
        seeds: Sequence[int],
    ) -> None:
        """Seeds: a 64-bit hash per key, independent of its slot. Weight 0: used only when no
        weighted key is READY; equal shares when no key has a weight. ValueError: unequal
        lengths, or a negative weight."""

    def __len__(self) -> int: ...
    def refresh(
        self, now: float, tokens_in: int, tokens_out: int, skip: int = 0, anyway: bool = False
    ) -> int:
        """Check every key except those whose bit is set in `skip`; return how many are READY in
        the highest priority that has any. The methods below use this result. Unweighted keys
        come after all priorities of weighted ones. `anyway`: TIGHT keys are taken for READY ones,
        and READY ones are skipped."""

    @property
    def ready(self) -> int: ...
    @property
    def room(self) -> float:
        """Weighted room of the READY keys of that priority, as a share of the provider's total
        weight: 0..1, at least 0.001 when there is such a key."""

    @property
    def in_flight(self) -> int:
        """All keys, all workers; read directly, needs no refresh."""

    def is_ready(self, index: int) -> bool:
        """Whether the key was READY at the last refresh. IndexError: no such key."""

    def preferred_key(self, conversation: int) -> int:
        """The conversation's key by rendezvous hashing, among weighted keys of the highest priority
        (unweighted ones if there are no others), READY or not. -1: no keys."""

    def most_room(self) -> int:
        """Index of the READY key with the most room x weight; ties: fewest in flight, then
        round-robin. -1: none is READY."""

    def least_loaded(self) -> int:
        """Fewest in flight / weight; ties: round-robin. -1: none is READY."""

    def in_turn(self) -> int:
        """Smooth weighted round-robin, with state local to this process. -1: none is READY."""

    def at_random(self, point: float) -> int:
        """Random by weight; `point` in [0, 1). -1: none is READY."""
