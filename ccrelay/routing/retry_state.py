"""What one exchange has tried, so that no target is tried twice."""

from collections.abc import Iterable

from ccrelay.fleet.provider_state import ProviderState, Target


class RetryState:
    """What an exchange has tried, so that no target is tried twice."""

    __slots__ = ("_masks", "count", "failed", "targets", "why")

    def __init__(self) -> None:
        self.count = 0
        self.targets: list[Target] = []
        self.failed: list[ProviderState] = []  # whose endpoint failed, whatever the key
        self.why = ""  # the last one failed; empty once that has been told
        self._masks: dict[str, int] = {}

    def add(self, target: Target, why: str = "", *, endpoint_failed: bool) -> None:
        """Note an attempt that failed."""
        self.count += 1
        self.why = why
        self.targets.append(target)
        name = target.provider.name
        self._masks[name] = self._masks.get(name, 0) | 1 << target.index
        if endpoint_failed and target.provider not in self.failed:
            self.failed.append(target.provider)

    def exclude(self, provider: ProviderState) -> None:
        """Nothing of this provider is worth trying: it lacks the model."""
        self.targets.extend(t for t in provider.targets if t not in self.targets)
        self._masks[provider.name] = -1

    def mask(self, provider: ProviderState) -> int:
        """The bits of its keys that were tried."""
        return self._masks.get(provider.name, 0)

    @staticmethod
    def and_held(retry_state: "RetryState | None", held: Iterable[Target]) -> "RetryState":
        """A copy by which these targets may not be tried either."""
        made = RetryState()
        if retry_state is not None:
            made.failed = retry_state.failed
            made.targets.extend(retry_state.targets)
            made._masks.update(retry_state._masks)
        for target in held:
            made.add(target, endpoint_failed=False)
        return made
