"""The conversation of a request: its binding, and the prompt cache that it would find.

For the relay, which asks for a request that has come, and for who asks where one would go.
"""

from ccrelay._fast.affinity_table import FOREIGN, UNSIGNED, AffinityTable, Binding, hash64
from ccrelay.fleet.provider_state import Target
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import TrafficClass

AGENT_BYTES_MAX = 128
_MAIN = int(TrafficClass.MAIN)
_COMPACTION = int(TrafficClass.COMPACTION)
_FOREIGN = int(FOREIGN)
_MARKS = int(FOREIGN | UNSIGNED)


def client_number(kind: bytes, shown: bytes) -> int:
    """Whose a conversation is: 63 bits, positive, equal in all workers.

    Args:
        kind: what tells it: `token`, `peer`, `own`.
        shown: a digest of the relay token; else the address, or the client's own credential.
    """
    return hash64(kind + b"\0" + shown) >> 1 or 1


def find_conversation(
    table: AffinityTable,
    targets: dict[int, Target],
    is_sticky: bool,
    route: Route,
    request: RoutingRequest,
    session: bytes,
    agent: bytes | None,
) -> None:
    """Note the conversation, its binding and its prompt cache in the request.

    Args:
        table: the bindings.
        targets: those in force, by slot.
        is_sticky: False: without affinity; what is found is used to count tokens, and not to route.
        route: of the request.
        request: its class, client and time are known.
        session: what identifies the conversation (`wire.session`).
        agent: id of the sub-agent; None: none.
    """
    if route.entry:
        session += b"\n" + route.entry
    if route.aside and request.traffic != _MAIN and request.traffic != _COMPACTION:
        session += b"\n" + route.aside
    conversation = hash64(session)
    binding = table.find(conversation, request.now, request.client)
    request.thread = conversation
    request.cache = binding
    if is_sticky:
        request.conversation = conversation
        request.binding = binding
        if binding is not None and binding.slot in route.by_slot:
            request.marks = binding.flags & _MARKS
        elif binding is not None:
            _find_for_model(table, targets, route, request, session, binding)
    if request.traffic != _MAIN:
        _find_thread(table, route, request, session, agent)


def _find_thread(
    table: AffinityTable,
    route: Route,
    request: RoutingRequest,
    session: bytes,
    agent: bytes | None,
) -> None:
    """A sub-agent's prompt has a cache of its own. What else runs aside has no next turn."""
    request.thread, request.cache = 0, None
    if agent and route.limited:
        request.thread = hash64(session + b"\0" + agent[:AGENT_BYTES_MAX])
        request.cache = table.find(request.thread, request.now, request.client)


def _find_for_model(
    table: AffinityTable,
    targets: dict[int, Target],
    route: Route,
    request: RoutingRequest,
    session: bytes,
    binding: Binding,
) -> None:
    """A model of the same session that other providers serve has a binding of its own."""
    request.marks = binding.flags & _MARKS
    known = targets.get(binding.slot)
    if known is None:
        return  # its target is gone: the conversation moves
    if not known.provider.validates:
        request.marks |= _FOREIGN  # what is known of its thinking holds for all models
    request.conversation = request.thread = hash64(session + b"\n" + route.model.encode())
    request.binding = request.cache = found = table.find(
        request.conversation, request.now, request.client
    )
    if found is not None:
        request.marks |= found.flags & _MARKS
