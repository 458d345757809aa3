"""Where a conversation is bound: find its sticky target, bind it, and update the binding.

A binding names the target that holds the conversation's prompt cache. The first one is written when
a request is sent; another target takes the conversation over when it has served a turn.
"""

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, Binding, hash64
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.usage import Usage
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.pricing import switch_micros
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.availability import state_of
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.wire.session import conversation_key

_SESSION = int(FieldId.F_SESSION_ID)
_MESSAGES = int(RequestClass.MESSAGES)
_MAIN = int(TrafficClass.MAIN)
_COMPACTION = int(TrafficClass.COMPACTION)
_FOREIGN = int(FOREIGN)
_UNSIGNED = int(UNSIGNED)
_MARKS = int(FOREIGN | UNSIGNED)
HOUR_S = 3600.0
FIVE_MINUTES_S = 300.0


# ---- find


def find(
    context: WorkerContext,
    config: RuntimeConfig,
    client: ClientRequest,
    route: Route,
    request: RoutingRequest,
) -> bool:
    """Find the conversation and its binding; False: only the whole body tells."""
    session = client.down.head.value(_SESSION)
    if session is None:
        if client.is_complete():
            session = conversation_key(None, client.whole())
        elif client.down.can_replay():
            return False
    if session is None:
        return True
    if route.entry:
        session += b"\n" + route.entry
    if route.aside and request.traffic != _MAIN and request.traffic != _COMPACTION:
        session += b"\n" + route.aside
    request.conversation = hash64(session)
    binding = context.affinity.find(request.conversation, request.now)
    request.binding = binding
    if binding is not None:
        request.marks = binding.flags & _MARKS
        if binding.slot not in route.by_slot:
            _find_for_model(context, config, route, request, session, binding)
    return True


def _find_for_model(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route,
    request: RoutingRequest,
    session: bytes,
    binding: Binding,
) -> None:
    """A model of the same session that other providers serve has a binding of its own."""
    known = config.by_slot.get(binding.slot)
    if known is None:
        return  # its target is gone: the conversation moves
    if not known.provider.validates:
        request.marks |= _FOREIGN  # what is known of its thinking holds for all models
    request.conversation = hash64(session + b"\n" + route.model.encode())
    request.binding = found = context.affinity.find(request.conversation, request.now)
    if found is not None:
        request.marks |= found.flags & _MARKS


# ---- bind


def is_side_call(request: RoutingRequest, binding: Binding) -> bool:
    """Whether a turn is none of the main loop's, as far as its size tells.

    A title call looks like the main loop by its head; it must not move the conversation.
    """
    return request.traffic != _MAIN or request.body_bytes * 2 < binding.body_bytes


def bind(
    context: WorkerContext,
    config: RuntimeConfig,
    client: ClientRequest,
    route: Route,
    request: RoutingRequest,
    attempt: Attempt,
    retry_state: RetryState | None,
) -> None:
    """Note where the conversation goes: the first binding at once, a move when it has served.

    Also decides which thinking blocks the target must not see.
    """
    if client.kind != _MESSAGES:
        return  # counting tokens moves no conversation
    target, binding = attempt.target, request.binding
    validates = target.provider.validates
    if validates and attempt.strip_thinking is None:
        strip = request.strip
        if strip is None and request.marks:
            strip = bool(request.marks & _UNSIGNED)
        # A body that passes through a window cannot be edited.
        if strip is not None and client.is_kept():
            attempt.strip_thinking = strip
    if not request.conversation:
        return
    if binding is None:
        flags = request.marks if validates else request.marks | _FOREIGN
        context.affinity.keep(
            request.conversation, target.slot, request.now, body_bytes=0, flags=flags
        )
    elif (
        binding.slot != target.slot and binding.prefix_tokens and not is_side_call(request, binding)
    ):
        attempt.move_reason, attempt.moved_from = _move_reason(
            config, route, request, binding, retry_state
        )


def _move_reason(
    config: RuntimeConfig,
    route: Route,
    request: RoutingRequest,
    binding: Binding,
    retry_state: RetryState | None,
) -> tuple[str, Target | None]:
    """In a word why a conversation leaves its target, and that target."""
    known = route.by_slot.get(binding.slot)
    if known is None:
        return "not_offered", None  # gone, or it does not serve this model, or a rule excludes it
    target = known[1]
    if retry_state is not None and target in retry_state.targets:
        return "failed", target
    why = state_of(target, request)
    return "cheaper" if why == "ready" else why, target


# ---- update


def update(
    context: WorkerContext,
    request: RoutingRequest,
    attempt: Attempt,
    usage: Usage,
    now: float,
    exchange_id: str,
) -> bool:
    """A turn was served: write where the conversation is now. True: it has moved."""
    target = attempt.target
    # As it is now: another turn may have moved the conversation since this one began.
    binding = context.affinity.find(request.conversation, now)
    flags = _flags_of(request, attempt, binding)
    prefix = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    size, seen_at = request.body_bytes, now
    ttl_s = FIVE_MINUTES_S if binding is None or usage.cache_write_5m else binding.ttl_s
    if usage.cache_write_1h:
        ttl_s = HOUR_S
    if request.traffic != _MAIN:  # its short turn is not the main loop's prefix
        prefix = size = 0
        if binding is not None:
            prefix, size = binding.prefix_tokens, binding.body_bytes
    elif binding is not None and binding.slot == target.slot:
        # A title call looks like the main loop by its head: short turns count gradually.
        prefix = max(prefix, binding.prefix_tokens // 2)
        size = max(size, binding.body_bytes // 2)
    moved = False
    if binding is not None and is_side_call(request, binding):
        if binding.slot != target.slot:
            _keep_binding(context, request, binding, flags)
            return False
        if binding.seen_at + binding.ttl_s > now + ttl_s:  # it does not end the main loop's cache
            seen_at, ttl_s = binding.seen_at, binding.ttl_s
    elif attempt.move_reason is not None and binding is not None and binding.slot != target.slot:
        flags |= MOVED
        moved = True
        _log_move(context, request, attempt, binding, exchange_id)
    context.affinity.keep(
        request.conversation,
        target.slot,
        seen_at,
        ttl_s=ttl_s,
        prefix_tokens=prefix,
        body_bytes=size,
        flags=flags,
    )
    return moved


def _flags_of(request: RoutingRequest, attempt: Attempt, binding: Binding | None) -> int:
    """What is known of the conversation's thinking blocks after this attempt."""
    flags = request.marks | (binding.flags if binding is not None else 0)
    if not attempt.target.provider.validates:
        flags |= _FOREIGN
    if attempt.strip_thinking is not None:  # known before, or learned by a refusal
        flags |= _UNSIGNED if attempt.strip_thinking else _FOREIGN
    return flags


def _keep_binding(
    context: WorkerContext, request: RoutingRequest, binding: Binding, flags: int
) -> None:
    """A side call that went elsewhere leaves the conversation where it is.

    One that looks like the main loop may be it, grown short: a few of them move it after all.
    """
    if request.traffic == _MAIN:
        context.affinity.keep(
            request.conversation,
            binding.slot,
            binding.seen_at,
            ttl_s=binding.ttl_s,
            prefix_tokens=binding.prefix_tokens // 2,
            body_bytes=binding.body_bytes // 2,
            flags=flags,
        )


def _log_move(
    context: WorkerContext,
    request: RoutingRequest,
    attempt: Attempt,
    binding: Binding,
    exchange_id: str,
) -> None:
    candidate, target, origin = attempt.candidate, attempt.target, attempt.moved_from
    assert candidate is not None
    lost = 0.0
    if candidate.price is not None:
        lost = switch_micros(candidate.price, binding.prefix_tokens, binding.ttl_s) / 1e6
    context.log.event(
        "info",
        "conversation_moved",
        id=exchange_id,
        conversation=f"{request.conversation:016x}",
        why=attempt.move_reason,
        from_key=origin.fingerprint if origin is not None else None,
        provider=target.provider.name,
        key=target.fingerprint,
        prefix_tokens=binding.prefix_tokens,
        prefix_usd=round(lost, 4),
    )
