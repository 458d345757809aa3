from collections.abc import Sequence

from ccrelay._fast.rate_limits import TargetLimits

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
        self,
        now: float,
        tokens_in: int,
        tokens_out: int,
        skip: int = 0,
        anyway: bool = False,
        group: int = 0,
    ) -> int:
        """Check every key except those whose bit is set in `skip`; return how many are READY in
        the highest priority that has any. The methods below use this result. Unweighted keys
        come after all priorities of weighted ones. `anyway`: TIGHT keys are taken for READY ones,
        and READY ones are skipped."""

    @property
    def ready(self) -> int: ...
    @property
    def unready(self) -> int: ...
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
