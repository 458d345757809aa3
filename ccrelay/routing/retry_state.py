"""What an exchange has tried, so that no target fails it twice."""

from collections.abc import Iterable

from ccrelay.fleet.provider_state import ProviderState, Target


class RetryState:
    """Targets that an exchange has tried, and endpoints that failed it.

    A target that named a time, and is waited for, has not failed: it may be tried again then.
    """

    __slots__ = ("_masks", "count", "failed", "last", "targets", "waits", "was_told_when", "why")

    def __init__(self) -> None:
        self.count = 0  # attempts at targets that could have served
        self.waits = 0  # attempts that ended with a time
        self.was_told_when = False  # whether the last one did
        self.last: Target | None = None
        self.targets: list[Target] = []
        self.failed: list[ProviderState] = []  # whose endpoint failed, whatever the key
        self.why = ""  # why the last attempt failed; empty once that is logged
        self._masks: dict[str, int] = {}

    def add(
        self, target: Target, why: str = "", *, endpoint_failed: bool, could_serve: bool = True
    ) -> None:
        """Note an attempt that failed.

        Args:
            target: where.
            why: for the log.
            endpoint_failed: with any key.
            could_serve: False: the key was refused, spent or limited. That costs no attempt.
        """
        self.count += could_serve
        self.why = why
        self.last = target
        self.was_told_when = False
        self.targets.append(target)
        name = target.provider.name
        self._masks[name] = self._masks.get(name, 0) | 1 << target.index
        if endpoint_failed and target.provider not in self.failed:
            self.failed.append(target.provider)

    def add_wait(self, target: Target, why: str) -> None:
        """Note an attempt whose target said when it can be tried again."""
        self.waits += 1
        self.why = why
        self.last = target
        self.was_told_when = True

    def exclude(self, provider: ProviderState) -> None:
        """Try no other key of this provider: it lacks the model."""
        for target in provider.targets:
            if target not in self.targets:
                self.targets.append(target)
        self._masks[provider.name] = -1

    def mask(self, provider: ProviderState) -> int:
        """The bits of its keys that were tried."""
        return self._masks.get(provider.name, 0)

    def with_blocked(self, blocked: Iterable[Target]) -> "RetryState":
        """A copy by which these targets may not be tried either."""
        made = RetryState()
        made.failed = self.failed
        made.targets.extend(self.targets)
        made._masks.update(self._masks)
        for target in blocked:
            made.add(target, endpoint_failed=False)
        return made
