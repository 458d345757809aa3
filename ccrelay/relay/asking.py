"""What is known of a request before it is sent: its needs, its conversation, where that lives.

Functions on an `Exchange`; what follows when it is over is in `relay.settling`.
"""

from typing import TYPE_CHECKING

from ccrelay._fast.affinity_table import FOREIGN, UNSIGNED, Binding, hash64
from ccrelay._fast.http1 import FieldId
from ccrelay.fleet.estimate import ModelEstimate
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import rare
from ccrelay.routing.features import read_features, traffic_of, traffic_of_head
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import OutputClass, RequestClass, TrafficClass
from ccrelay.wire.bodies import json_string
from ccrelay.wire.media import newest
from ccrelay.wire.session import conversation_key

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

_SESSION = int(FieldId.F_SESSION_ID)
_AGENT = int(FieldId.F_AGENT_ID)
_CLASS = int(FieldId.F_REQUEST_CLASS)
_MESSAGES = RequestClass.MESSAGES
_MAIN = TrafficClass.MAIN
_THINKING = OutputClass.THINKING
_WHOLE = OutputClass.WHOLE
# Title calls and search calls do not think; turns of main loop and sub-agents do.
_SHORT = frozenset({TrafficClass.BACKGROUND, TrafficClass.WEB_SEARCH})
# What a conversation goes on with; all else is beside it.
_MAIN_LOOP = frozenset({TrafficClass.MAIN, TrafficClass.COMPACTION})
# So much new text at once is rare; images and PDFs are looked for in it.
MEDIA_LOOK_BYTES = 65_536
# The share of a key's limits that is left when a few tokens more or less are no matter.
MUCH_ROOM = 0.5
_MARKS = FOREIGN | UNSIGNED


def apply_rules(exchange: "Exchange", route: Route) -> None:
    """Begin with what the first matching rule makes of the slate; wait for the body if needed."""
    rules = exchange.snap.rules
    assert rules is not None
    down = exchange.down
    is_here = exchange.body is not None or down.body_complete
    size = _size(exchange)
    looks = rules.needs_body or (rules.needs_tokens and size >= MEDIA_LOOK_BYTES)
    if looks and not is_here and (rules.needs_body or down.can_replay):
        exchange.await_body(lambda: apply_rules(exchange, route))
        return
    head = down.head
    features = read_features(_whole(exchange)) if rules.needs_body else None
    told = traffic_of_head(head.value(_AGENT), head.value(_CLASS), exchange.kind)
    exchange.traffic = traffic = traffic_of(told, features)
    tokens = 0
    if rules.needs_tokens:
        tokens = _tokens_of(exchange, exchange.relay.estimator.of(route.model), size)
    rule = rules.match(route.model, traffic, tokens, features, head.get)
    exchange.begin(route if rule is None else exchange.snap.candidates.under(rule, route.model))


def _traffic(exchange: "Exchange") -> TrafficClass:
    if exchange.traffic is not None:
        return exchange.traffic
    head = exchange.down.head
    agent, told = head.value(_AGENT), head.value(_CLASS)
    if agent is None and told is None and exchange.kind is _MESSAGES:
        return _MAIN
    found = traffic_of_head(agent, told, exchange.kind)
    return _MAIN if found is None else found


def _size(exchange: "Exchange") -> int:
    if exchange.body is not None:
        return len(exchange.body)
    down = exchange.down
    length: int = down.head.content_length
    return length if length >= 0 else down.body_seen


def _whole(exchange: "Exchange") -> bytes:
    return exchange.body if exchange.body is not None else exchange.down.body_bytes()


# ---- what it needs


def ask_of(exchange: "Exchange", route: Route) -> RoutingRequest | None:
    """What the request asks for. None: its body has to come first, `begin` is called again."""
    relay, snap, down = exchange.relay, exchange.snap, exchange.down
    request = RoutingRequest(kind=exchange.kind, now=relay.reactor.now)
    request.waits_since = request.now - exchange.waited_s
    request.body_bytes = _size(exchange)
    only = snap.only
    if only is None or only.provider.mends:
        request.traffic = _traffic(exchange)
        if route.passes:
            request.credential = rare.own_credential(exchange)
        if snap.affinity and not _find_place(exchange, route, request):
            exchange.await_body(lambda: exchange.begin(route))
            return None
    elif only.limited:
        request.traffic = _traffic(exchange)
    else:
        return request
    if request.traffic not in _SHORT:
        request.output_class = _THINKING
    if down.body_complete and exchange.body is None and not down.stream_flag():
        request.output_class = _WHOLE
    if route.limited and exchange.kind is _MESSAGES and not _estimate(exchange, route, request):
        exchange.await_body(lambda: exchange.begin(route))
        return None
    return request


def _estimate(
    exchange: "Exchange", route: Route, request: RoutingRequest, *, closely: bool = False
) -> bool:
    """Guess its tokens. False: only the whole body tells, and it is coming.

    A long body may hold images. It is sent by its length, which is too much then, as long as that
    does no harm: waiting for its end and reading it once more costs more than all the rest.
    """
    down, binding, size = exchange.down, request.binding, request.body_bytes
    # A sub-agent's turns are not the main loop's, though their session is one. A body that has
    # become smaller is not the old one continued, and counts whole.
    warm = 0
    if binding is not None and request.traffic is _MAIN and binding.body_bytes <= size:
        warm = binding.body_bytes
    known = exchange.relay.estimator.of(route.model)
    home = known.tokens_in(size - warm)
    request.tokens_out = known.tokens_out[request.output_class]
    request.rough = size - warm >= MEDIA_LOOK_BYTES
    if down.length_known and not (
        request.rough and (closely or not _harmless(route, request, home))
    ):
        pass
    elif exchange.body is None and not down.body_complete and down.can_replay:
        return False
    else:
        home = _tokens_of(exchange, known, size - warm)
        request.rough = False
    request.tokens_home = request.tokens_in = home
    if warm and binding is not None:
        # What the last turn really had is known better than anything by its length.
        request.tokens_in = home + (binding.prefix_tokens or known.tokens_in(warm))
    return True


def _harmless(route: Route, request: RoutingRequest, tokens: int) -> bool:
    """Whether wherever it may go there is room for so many tokens, and for others beside them."""
    if route.strategy.weighs_cache:
        return False
    home = route.by_slot.get(request.binding.slot) if request.binding is not None else None
    return all(
        target.limits.room(request.now, tokens, request.tokens_out) >= MUCH_ROOM
        for _, target in ([home] if home is not None else route.by_slot.values())
    )


def look_closer(exchange: "Exchange") -> bool:
    """Count images and PDFs by what they are, since nobody has room for their length.

    False: that is done already, or the body has not come.
    """
    request, route = exchange.request, exchange.route
    assert request is not None
    assert route is not None
    if not request.rough or not _is_here(exchange):
        return False
    return _estimate(exchange, route, request, closely=True)


def knows_more(exchange: "Exchange") -> bool:
    """Whether it counts by its length only because its body is still coming."""
    request = exchange.request
    return request is not None and request.rough and bool(exchange.down.can_replay)


def await_rest(exchange: "Exchange") -> None:
    """Nobody can take it by its length: try again when all of it tells what it is."""

    def go_on() -> None:
        request = exchange.request
        assert request is not None
        request.waits_since = exchange.relay.reactor.now - exchange.waited_s
        exchange.attempt()

    exchange.await_body(go_on)


def _is_here(exchange: "Exchange") -> bool:
    down = exchange.down
    return exchange.body is not None or (down.body_complete and down.can_replay)


def _tokens_of(exchange: "Exchange", known: ModelEstimate, size: int) -> int:
    """About how many tokens the last `size` bytes are."""
    if size < MEDIA_LOOK_BYTES or not _is_here(exchange):
        return known.tokens_in(size)
    media = newest(_whole(exchange), size)
    return known.tokens_in(size - media.size) + media.tokens


# ---- where it lives


def _find_place(exchange: "Exchange", route: Route, request: RoutingRequest) -> bool:
    """Find the conversation and where it lives. False: only the body tells, and it is coming."""
    session = exchange.down.head.value(_SESSION)
    if session is None:
        if exchange.body is not None or exchange.down.body_complete:
            session = conversation_key(None, _whole(exchange))
        elif exchange.down.can_replay:
            return False
    if session is not None:
        if route.entry:
            session += b"\n" + route.entry
        if route.aside and request.traffic not in _MAIN_LOOP:
            session += b"\n" + route.aside
        affinity = exchange.relay.affinity
        request.conversation = hash64(session)
        request.binding = binding = affinity.find(request.conversation, request.now)
        if binding is not None:
            request.marks = binding.flags & _MARKS
            if binding.slot not in route.by_slot:
                _look_beside(exchange, route, request, session, binding)
    return True


def _look_beside(
    exchange: "Exchange", route: Route, request: RoutingRequest, session: bytes, binding: Binding
) -> None:
    """Another model of the same session, served elsewhere, has a place of its own."""
    known = exchange.snap.by_slot.get(binding.slot)
    if known is None:
        return  # its target is gone: the conversation moves
    if not known.provider.validates:
        request.marks |= FOREIGN  # what is known of its thinking holds for all models
    request.conversation = hash64(session + b"\n" + route.model.encode())
    request.binding = found = exchange.relay.affinity.find(request.conversation, request.now)
    if found is not None:
        request.marks |= found.flags & _MARKS


def is_side(request: RoutingRequest, binding: Binding) -> bool:
    """Whether a turn is none of the main loop's, as far as its size tells.

    A title call looks like the main loop by its head; it must not take the conversation along.
    """
    return request.traffic is not _MAIN or request.body_bytes * 2 < binding.body_bytes


def settle_down(exchange: "Exchange", target: Target) -> None:
    """Note where the conversation goes: its first place at once, another one when it has served."""
    request = exchange.request
    assert request is not None
    binding = request.binding
    if exchange.kind is not _MESSAGES:
        return  # counting tokens moves nobody
    validates = target.provider.validates
    if validates and exchange.strip is None:
        strip = request.strip
        if strip is None and request.marks:
            strip = bool(request.marks & UNSIGNED)
        # A body that passes through a window cannot be edited.
        if strip is not None and (exchange.body is not None or exchange.down.can_replay):
            exchange.strip = strip
    if not request.conversation:
        return
    if binding is None:
        flags = request.marks if validates else request.marks | FOREIGN
        exchange.relay.affinity.keep(
            request.conversation, target.slot, request.now, body_bytes=0, flags=flags
        )
    elif binding.slot != target.slot and binding.prefix_tokens and not is_side(request, binding):
        exchange.left = _why_left(exchange, binding)


def _why_left(exchange: "Exchange", binding: Binding) -> tuple[str, Target | None]:
    """In a word why a conversation goes elsewhere, and whom it leaves."""
    request, route = exchange.request, exchange.route
    assert request is not None
    assert route is not None
    known = route.by_slot.get(binding.slot)
    if known is None:
        return "not_offered", None  # gone, or it does not serve this model, or a rule leaves it out
    if exchange.retry_state is not None and known[1] in exchange.retry_state.targets:
        return "failed", known[1]
    why = exchange.snap.router.state_of(known[1], request)
    return "cheaper" if why == "ready" else why, known[1]


# ---- waiting


def turn_of(exchange: "Exchange") -> tuple[TrafficClass, int]:
    """Class and conversation by which a request waits. For a lone target they were not read yet."""
    request, route = exchange.request, exchange.route
    assert request is not None
    assert route is not None
    if route.lone is None:
        return request.traffic, request.conversation
    session = exchange.down.head.value(_SESSION)
    return _traffic(exchange), hash64(session) if session is not None else 0


def reroute(exchange: "Exchange") -> None:
    """The configuration has changed while the request waited: begin again with the new one."""
    exchange.snap = exchange.relay.snap
    exchange.retry_state = None
    raw = exchange.down.model()
    if raw is None:
        assert exchange.route is not None
        raw = bytes(json_string(exchange.route.model))
    exchange.route_model(raw)
