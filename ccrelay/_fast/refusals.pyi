from ccrelay._fast.rate_limits import TargetLimits

class Refusals:
    """Refusals of a target's credential by its provider, as all workers count them.

    A refused credential is DISABLED. One request or probe at a time may try it, when that is due.
    """

    def __init__(self, limits: TargetLimits) -> None: ...
    def count(self) -> int:
        """Refusals in a row."""

    @property
    def due_at(self) -> float:
        """When the next trial is due, or the one under way is given up; monotonic seconds."""

    @property
    def in_trial(self) -> bool:
        """Whether a trial is under way, or was abandoned."""

    def add(self, now: float, first_s: float, longest_s: float) -> float:
        """The credential was refused: disable it, and count that. Returns the seconds until its
        trial: `first_s` after the first refusal in a row, twice as long after each further one, at
        most `longest_s`. 0.0: refused together with one that was counted."""

    def claim(self, now: float, until: float) -> bool:
        """Become the one that tries the credential, if that is due. There is no other trial before
        `until`, unless this one ends before in `add`, `release` or `clear`."""

    def release(self) -> None:
        """The trial under way has proved nothing: another one may follow at once."""

    def clear(self) -> bool:
        """The credential was accepted, or its user says so: use it, and forget its refusals.
        False: there were none, or another worker was faster."""
