from enum import IntEnum

from ccrelay._fast.shared_memory import SharedMemory

GROUPS: int  # of models; they are numbered from 1

class Capacity(IntEnum):
    """Whether a target can take a request now."""

    READY = 0
    FULL = 1  # a configured request or token limit
    BUSY = 2  # max_concurrent
    COOLING_DOWN = 3  # in a timed cooldown
    DISABLED = 4  # key refused by the provider (refusals.pyi)
    TIGHT = 5  # READY but for learned limits, which may be wrong or another model's

class Cooldown(IntEnum):
    """Why a target is in cooldown."""

    NONE = 0
    RATE = 1  # 429 with a reset time
    QUOTA = 2  # balance or quota spent
    REFUSED = 3  # 401, 403: DISABLED
    NO_CREDENTIAL = 4  # of a cloud

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

    def state(self, now: float, tokens_in: int, tokens_out: int, group: int = 0) -> int:
        """A Capacity, for a model of a group (0: any). A request larger than a whole configured
        limit is READY when the window is empty; one larger than a whole learned limit is TIGHT.
        Token counts are clamped to 0..2**27."""

    def room(self, now: float, tokens_in: int, tokens_out: int, group: int = 0) -> float:
        """Share of the tightest limit that would be left: 1.0 without limits, 0.001 at least when
        READY, less when TIGHT (the less, the more it lacks), else 0.0."""

    def ready_at(
        self, now: float, tokens_in: int, tokens_out: int, anyway: bool = False, group: int = 0
    ) -> float:
        """When it is READY if nothing else is counted: now if it is, inf for DISABLED, at least
        now + 0.05 for BUSY. `anyway`: when it is READY or TIGHT. Where what exchanges in flight
        have reserved would be enough if it came back, or a trial is out, that may be at any
        moment: in 0.05 s at the earliest."""

    def reserve(
        self, now: float, tokens_in: int, tokens_out: int, anyway: bool = False, group: int = 0
    ) -> Reservation | None:
        """Count one request and its tokens, and one exchange in flight; None: not READY.
        `anyway`: also when TIGHT. ValueError: the memory is read-only.

        After a cooldown the first one is a trial: for two seconds, or until `prove`, no other
        request is READY."""

    def reserve_unchecked(self, now: float, tokens_in: int, tokens_out: int) -> Reservation:
        """`reserve` without checking limits, for a request sent to its target again."""

    def start_cooldown(self, until: float, reason: int) -> None:
        """Do not use the target until then; a later end set earlier stays. REFUSED: no end.
        ValueError: no such reason."""

    def start_group_cooldown(self, group: int, until: float) -> None:
        """A provider names the reset of a group of models: COOLING_DOWN for these until then."""

    def rest_group(self, group: int, now: float) -> float:
        """A 429 without a time: TIGHT for these models for a second, and twice as long after each
        further one, up to 32 s. Returns how long; 0.0: nothing new."""

    def resting_until(self, group: int) -> float:
        """End of the last rest of a group, perhaps past; 0.0: there was none."""

    def prove(self, group: int) -> bool:
        """A request was served: a trial has passed, a rest of its group ends. True: one of both."""

    def clear_cooldown(self) -> None:
        """End a REFUSED cooldown; timed cooldowns stay."""

    def end_cooldowns(self, now: float) -> int:
        """End every cooldown, rest and trial, also of groups; returns how many were under way. The
        count of refusals stays (`Refusals.clear`)."""

    def group_cooldowns(self, now: float) -> dict[int, float]:
        """Groups of models that cool down or rest, with the end."""

    def cooldown_until(self) -> float:
        """End of the last cooldown, perhaps past. 0.0: none, or it is on trial; inf: DISABLED."""

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
