"""Why this key of the chosen provider: the routing strategy chooses a provider, and no key."""

from collections.abc import Collection

from ccrelay.config.model import KeyStrategy
from ccrelay.fleet.provider_state import Target
from ccrelay.routing.routing_request import RoutingRequest

HOW: dict[KeyStrategy, str] = {
    "most-room": "that with the most room",
    "least-loaded": "that with the fewest exchanges under way",
    "round-robin": "the next in turn",
    "random": "one at random",
}


def key_words(
    taken: Target, free: Collection[int], strategy: KeyStrategy, request: RoutingRequest
) -> str:
    """Which of the free keys of its provider was taken, in words; empty: only that one was free.

    Args:
        taken: the target.
        free: slots of the targets that could take the request.
        strategy: `key_strategy` of the provider.
        request: as the router had it.
    """
    provider = taken.provider
    keys = [target for target in provider.targets if target.slot in free]
    if len(keys) < 2:
        return ""
    of = f"of the {len(keys)} free keys of {provider.name}"
    tier = [key for key in keys if _tier(key) == _tier(taken)]
    if len(tier) == 1:
        return f"{of} the first by priority (weight 0 last)"
    if request.conversation and provider.key_pool.preferred_key(request.conversation) == (
        taken.index
    ):
        return f"{of} the conversation's own, by its hash (affinity)"
    return f"{of} {HOW[strategy]} (key_strategy {strategy})"


def _tier(target: Target) -> tuple[bool, int]:
    return (bool(target.weight), target.priority)
