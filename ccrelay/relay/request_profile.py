"""What is known of a request before it is sent: its needs, its conversation, its sticky target.

Each function answers from what has arrived, or says that it needs the whole body first.
"""

from ccrelay._fast.affinity_table import MODEL_BITS, hash64
from ccrelay._fast.http1 import FieldId
from ccrelay.fleet.estimate import ModelEstimate
from ccrelay.relay import affinity
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.features import read_features, traffic_of, traffic_of_head
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.rules import CompiledRule
from ccrelay.types import OutputClass, RequestClass, TrafficClass
from ccrelay.wire.media import newest

_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_X_API_KEY = int(FieldId.F_X_API_KEY)
_AGENT = int(FieldId.F_AGENT_ID)
_CLASS = int(FieldId.F_REQUEST_CLASS)
_MESSAGES = int(RequestClass.MESSAGES)
_MODEL_BITS = int(MODEL_BITS)
_BACKGROUND = int(TrafficClass.BACKGROUND)
_WEB_SEARCH = int(TrafficClass.WEB_SEARCH)
_STREAM = int(OutputClass.STREAM)
_THINKING = int(OutputClass.THINKING)
_WHOLE = int(OutputClass.WHOLE)
# Images and PDFs are looked for in this much new text; so much at once is rare.
MEDIA_LOOK_BYTES = 65_536
# The share of a key's limits that has to be free for an estimate to be allowed to be far too high.
MUCH_ROOM = 0.5


# ---- rules


def rules_need_body(config: RuntimeConfig, client: ClientRequest) -> bool:
    """Whether rules cannot be matched before the whole body is here."""
    rules = config.rules
    assert rules is not None
    if client.is_complete():
        return False
    if rules.needs_body:
        return True
    return rules.needs_tokens and client.size() >= MEDIA_LOOK_BYTES and client.down.can_replay()


def match_rule(
    context: WorkerContext, config: RuntimeConfig, client: ClientRequest, model: str
) -> CompiledRule | None:
    """The first rule that applies; notes what the request is for."""
    rules = config.rules
    assert rules is not None
    head = client.down.head
    features = read_features(client.whole()) if rules.needs_body else None
    hint = traffic_of_head(head.value(_AGENT), head.value(_CLASS), RequestClass(client.kind))
    traffic = traffic_of(hint, features)
    client.set_traffic(traffic)
    tokens = 0
    if rules.needs_tokens:
        tokens = _tokens_of(client, context.estimator.of(model), client.size())
    return rules.match(model, traffic, tokens, features, head.get)


# ---- needs


def build(
    context: WorkerContext,
    config: RuntimeConfig,
    client: ClientRequest,
    route: Route,
    queued_s: float,
) -> RoutingRequest | None:
    """What the request needs of a target; None: only the whole body tells."""
    request = RoutingRequest.__new__(RoutingRequest)
    request.clear()
    request.kind = client.kind
    request.client = client.auth.client
    request.now = context.reactor.now
    request.waits_since = request.now - queued_s
    request.body_bytes = client.size()
    request.traffic = client.traffic()
    if route.passes:
        request.credential = own_credential(client)
    if (config.affinity or route.limited) and not affinity.find(
        context, config, client, route, request
    ):
        return None
    # Title calls and search calls do not think; turns of main loop and sub-agents do.
    if request.traffic != _BACKGROUND and request.traffic != _WEB_SEARCH:
        request.output_class = _THINKING
    if client.body is None and client.down.body_complete() and not client.down.stream_flag():
        request.output_class = _WHOLE
    if (
        route.limited
        and client.kind == _MESSAGES
        and not estimate(context, client, route, request, False)
    ):
        return None
    return request


def own_credential(client: ClientRequest) -> int:
    """Hash of the client's own credential; 0: it sent none. To recognise it, not to show it."""
    head, auth = client.down.head, client.auth
    fields = ((_AUTHORIZATION, auth.token_in_bearer), (_X_API_KEY, auth.token_in_key))
    for field, is_token in fields:
        value = None if is_token else head.value(field)
        if value is not None:
            return hash64(value)
    return 0


def estimate(
    context: WorkerContext,
    client: ClientRequest,
    route: Route,
    request: RoutingRequest,
    closely: bool,
) -> bool:
    """Estimate its tokens; False: only the whole body tells.

    What the target of its cache has cached is what its last answer reported, and nothing else: a
    provider that reports no cache is sent the whole prompt. A body that has become smaller does not
    continue the earlier one, nor does one for another model, and counts whole.

    A long body may hold images. It is sent by its length as long as that does no harm, although
    that is too much then: waiting for its end and reading it once more costs more.
    """
    down, cache, size = client.down, request.cache, request.body_bytes
    warm = 0
    if (
        cache is not None
        and cache.flags & _MODEL_BITS == route.tag
        and cache.body_bytes <= size
        and cache.prefix_tokens
    ):
        warm = cache.body_bytes
    known = context.estimator.of(route.model)
    request.tokens_out = known.tokens_out[request.output_class]
    _count(request, known.tokens_in(size - warm), warm)
    request.rough = size - warm >= MEDIA_LOOK_BYTES
    is_length_enough = not (request.rough and (closely or not _harmless(route, request)))
    if not (is_length_enough and (client.body is not None or down.length_known())):
        if not client.is_complete() and down.can_replay():
            return False
        _count(request, _tokens_of(client, known, size - warm), warm)
        request.rough = False
    return True


def _count(request: RoutingRequest, fresh: int, warm: int) -> None:
    """Set its input tokens: `fresh` ones behind the `warm` bytes of the last turn."""
    request.tokens_home = request.tokens_in = fresh
    cache = request.cache
    if warm and cache is not None:
        # The usage of the last turn is better than any estimate by length.
        request.tokens_in = fresh + cache.prefix_tokens
        request.tokens_home = request.tokens_in - min(cache.cached_tokens, cache.prefix_tokens)


def _harmless(route: Route, request: RoutingRequest) -> bool:
    """Whether every target it may go to has room for its tokens and for others beside."""
    if route.weighs_cache:
        return False
    binding = request.binding
    sticky = route.by_slot.get(binding.slot) if binding is not None else None
    for _, target in [sticky] if sticky is not None else route.by_slot.values():
        need = request.need(target.slot)
        if target.limits.room(request.now, need, request.tokens_out) < MUCH_ROOM:
            return False
    return True


def estimate_closely(
    context: WorkerContext, client: ClientRequest, route: Route, request: RoutingRequest
) -> bool:
    """Count images and PDFs by what they are, since no target has room for their length.

    False: that is done already, or the body has not arrived.
    """
    if not request.rough or not client.is_readable():
        return False
    return estimate(context, client, route, request, True)


def _tokens_of(client: ClientRequest, known: ModelEstimate, size: int) -> int:
    """About how many tokens the last `size` bytes are."""
    if size < MEDIA_LOOK_BYTES or not client.is_readable():
        return known.tokens_in(size)
    media = newest(client.whole(), size)
    return known.tokens_in(size - media.size) + media.tokens


def queue_position(client: ClientRequest, request: RoutingRequest) -> tuple[int, int]:
    """Traffic class and conversation by which a request queues."""
    conversation = request.conversation or request.thread
    if not conversation:  # nothing has asked for it yet
        session = affinity.session_of(client)
        conversation = hash64(session) if session is not None else 0
    return request.traffic, conversation
