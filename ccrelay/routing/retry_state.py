"""What an exchange has tried, so that no target is tried twice."""

from collections.abc import Iterable

from ccrelay.fleet.provider_state import ProviderState, Target


class RetryState:
    """Targets that an exchange has tried, and endpoints that failed it."""

    __slots__ = ("_masks", "count", "failed", "targets", "why")

    def __init__(self) -> None:
        self.count = 0  # attempts at targets that could have served
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
        self.targets.append(target)
        name = target.provider.name
        self._masks[name] = self._masks.get(name, 0) | 1 << target.index
        if endpoint_failed and target.provider not in self.failed:
            self.failed.append(target.provider)

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
