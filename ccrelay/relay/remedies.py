"""What an exchange has mended of a request to a cloud, to send it to the same target once more."""

from ccrelay.fleet.provider_state import Target
from ccrelay.wire.cloud_credential import IssuedCredential

# Features that are left out of one request because a cloud refuses them.
FEATURES_MAX = 3


class Remedies:
    """Each remedy is tried once per target, and so many features are left out at most."""

    __slots__ = (
        "_dropped",
        "_guesses",
        "_refreshed",
        "_set",
        "count",
        "has_caught_up",
        "refused",
    )

    def __init__(self) -> None:
        self.count = 0  # features left out
        self.has_caught_up = False  # with what other exchanges had learned meanwhile
        # What was in force when the cloud refused it: another one is waited for.
        self.refused: IssuedCredential | None = None
        self._dropped: dict[tuple[str, str], frozenset[str]] = {}
        self._guesses: list[tuple[str, str, str]] = []
        self._refreshed: list[Target] = []
        self._set: list[Target] = []  # whose clock was set

    def may_refresh(self, target: Target) -> bool:
        """Whether its credential may be replaced; once."""
        if target in self._refreshed:
            return False
        self._refreshed.append(target)
        return True

    def may_set_clock(self, target: Target) -> bool:
        """Whether its request may be signed again by another clock; once."""
        if target in self._set:
            return False
        self._set.append(target)
        return True

    def dropped(self, provider: str, model: str) -> frozenset[str]:
        """The features that this request does without there."""
        return self._dropped.get((provider, model), frozenset())

    def guessed(self, provider: str, model: str, features: tuple[str, ...]) -> None:
        """These are left out there on a guess: whether they were in the way, the answer tells."""
        self._guesses += [(provider, model, feature) for feature in features]

    def helped(self, provider: str) -> list[tuple[str, str, str]]:
        """What was guessed right, now that this provider answers: (provider, model, feature).

        What was left out of a request that failed all the same is forgotten.
        """
        guesses, self._guesses = self._guesses, []
        return [one for one in guesses if one[0] == provider]

    def drop(self, provider: str, model: str, features: tuple[str, ...]) -> tuple[str, ...]:
        """Leave out features, as far as that is allowed. Returns those that are left out now."""
        known = self.dropped(provider, model)
        fresh = [feature for feature in dict.fromkeys(features) if feature not in known]
        fresh = fresh[: FEATURES_MAX - self.count]
        if fresh:
            self.count += len(fresh)
            self._dropped[provider, model] = known.union(fresh)
        return tuple(fresh)
