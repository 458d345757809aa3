"""What one exchange has tried, so that no target is tried twice."""

from collections.abc import Iterable

from ccrelay.fleet.service import Service, Target


class Tries:
    """What an exchange has tried, so that no target is tried twice."""

    __slots__ = ("_masks", "count", "failed", "targets", "why")

    def __init__(self) -> None:
        self.count = 0
        self.targets: list[Target] = []
        self.failed: list[Service] = []  # whose endpoint failed, whatever the key
        self.why = ""  # the last one failed; empty once that has been told
        self._masks: dict[str, int] = {}

    def add(self, target: Target, why: str = "", *, endpoint_failed: bool) -> None:
        """Note an attempt that failed."""
        self.count += 1
        self.why = why
        self.targets.append(target)
        name = target.service.name
        self._masks[name] = self._masks.get(name, 0) | 1 << target.index
        if endpoint_failed and target.service not in self.failed:
            self.failed.append(target.service)

    def exclude(self, service: Service) -> None:
        """Nothing of this provider is worth trying: it lacks the model."""
        self.targets.extend(t for t in service.targets if t not in self.targets)
        self._masks[service.name] = -1

    def mask(self, service: Service) -> int:
        """The bits of its keys that were tried."""
        return self._masks.get(service.name, 0)

    @staticmethod
    def and_held(tries: "Tries | None", held: Iterable[Target]) -> "Tries":
        """A copy by which these targets may not be tried either."""
        made = Tries()
        if tries is not None:
            made.failed = tries.failed
            made.targets.extend(tries.targets)
            made._masks.update(tries._masks)
        for target in held:
            made.add(target, endpoint_failed=False)
        return made
