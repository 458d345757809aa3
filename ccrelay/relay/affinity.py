"""Where a conversation is bound: find its sticky target, bind it, and update the binding.

A binding names the target that holds the conversation's prompt cache. It is written when an answer
has begun: before it is served, a request costs others no place in the table. Another target takes
the conversation over when it has served a turn.
"""

from ccrelay._fast.affinity_table import FOREIGN, MODEL_BITS, MOVED, UNSIGNED, Binding
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.usage import Usage
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.pricing import switch_micros
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.availability import state_of
from ccrelay.routing.conversation import find_conversation
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.wire.session import conversation_key

_SESSION = int(FieldId.F_SESSION_ID)
_AGENT = int(FieldId.F_AGENT_ID)
_MESSAGES = int(RequestClass.MESSAGES)
_MAIN = int(TrafficClass.MAIN)
_COMPACTION = int(TrafficClass.COMPACTION)
_FOREIGN = int(FOREIGN)
_UNSIGNED = int(UNSIGNED)
_MODEL_BITS = int(MODEL_BITS)
_HYPHEN = ord("-")
_ZERO = ord("0")
UUID_BYTES = 36
HOUR_S = 3600.0
FIVE_MINUTES_S = 300.0


# ---- find


def session_of(client: ClientRequest) -> bytes | None:
    """The session's id, from the head; None: it has none, or one that distinguishes nothing."""
    value = client.down.head.value(_SESSION)
    if value is None:
        return None
    if (
        len(value) == UUID_BYTES
        and value[8] == value[13] == value[18] == value[23] == _HYPHEN
        and value[0] != _ZERO
    ):
        return value  # as Claude Code sends it: spare the look at words that are none
    return conversation_key(value, None)


def find(
    context: WorkerContext,
    config: RuntimeConfig,
    client: ClientRequest,
    route: Route,
    request: RoutingRequest,
) -> bool:
    """Find the conversation, its binding, and its prompt cache; False: only the whole body tells.

    Without affinity, what is found is used to count tokens, and not to route.
    """
    session = session_of(client)
    if session is None:
        if not client.is_complete():
            # At a lone target it is not worth waiting for: the body goes on while it arrives.
            return not client.down.can_replay() or route.lone is not None
        session = conversation_key(None, client.whole())
        if session is None:
            return True
    agent = client.down.head.value(_AGENT) if request.traffic != _MAIN else None
    find_conversation(
        context.affinity, config.by_slot, config.affinity, route, request, session, agent
    )
    return True


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
    """Note why the conversation goes elsewhere, should this attempt serve it.

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
    if (
        binding is not None
        and binding.slot != target.slot
        and binding.prefix_tokens
        and (not is_side_call(request, binding) or _is_left(config, request, binding))
    ):
        attempt.move_reason, attempt.moved_from = _move_reason(
            config, route, request, binding, retry_state
        )


def begin(context: WorkerContext, request: RoutingRequest, attempt: Attempt, now: float) -> None:
    """A first turn is being answered: bind the conversation, unless another turn has.

    Not earlier: a request that fails needs no binding.
    """
    if context.affinity.find(request.conversation, now, request.client) is not None:
        return
    validates = attempt.target.provider.validates
    context.affinity.keep(
        request.conversation,
        attempt.target.slot,
        now,
        ttl_s=FIVE_MINUTES_S,
        prefix_tokens=0,
        cached_tokens=0,
        body_bytes=0,
        flags=request.marks if validates else request.marks | _FOREIGN,
        client=request.client,
    )


def _is_left(config: RuntimeConfig, request: RoutingRequest, binding: Binding) -> bool:
    """Whether the conversation's own key will not be back for its next turn either.

    Then a compaction, or a turn that looks like a side call because it follows one, takes the
    conversation along. Otherwise each such turn could buy its prompt at another key.
    """
    if request.traffic != _MAIN and request.traffic != _COMPACTION:
        return False
    target = config.by_slot.get(binding.slot)
    if target is None:
        return True
    back_at = target.limits.cooldown_until()
    return back_at > request.now + config.config.routing.affinity.wait_s


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
    candidate, target = known
    if retry_state is not None and target in retry_state.targets:
        return "failed", target
    why = state_of(candidate, target, request)
    return "cheaper" if why == "ready" else why, target


# ---- update


def update(
    context: WorkerContext,
    route: Route,
    request: RoutingRequest,
    attempt: Attempt,
    usage: Usage,
    now: float,
    exchange_id: str,
) -> bool:
    """A turn was served: write where the conversation is now. True: it has moved."""
    if request.thread and request.thread != request.conversation:
        _keep_cache(context, route, request, attempt, usage, now)
        if not request.conversation:  # without affinity
            return False
    target = attempt.target
    # As it is now: another turn may have moved the conversation since this one began.
    binding = context.affinity.find(request.conversation, now, request.client)
    flags = _flags_of(request, attempt, binding)
    seen_at = now
    ttl_s = _ttl_of(usage, binding)
    moved = False
    is_aside = binding is not None and is_side_call(request, binding)
    if binding is not None and binding.slot != target.slot:
        if attempt.move_reason is not None:
            flags |= MOVED
            moved = True
            _log_move(context, request, attempt, binding, exchange_id)
        elif is_aside:
            _keep_binding(context, request, binding, flags)
            return False
    elif binding is not None and is_aside and binding.seen_at + binding.ttl_s > now + ttl_s:
        seen_at, ttl_s = binding.seen_at, binding.ttl_s  # it does not end the main loop's cache
    prefix, cached, size, tag = _turn_of(route, request, usage, binding, is_aside and not moved)
    context.affinity.keep(
        request.conversation,
        target.slot,
        seen_at,
        ttl_s=ttl_s,
        prefix_tokens=prefix,
        cached_tokens=cached,
        body_bytes=size,
        flags=flags | tag,
        client=request.client,
        again=request.binding is not None,
    )
    return moved


def _turn_of(
    route: Route,
    request: RoutingRequest,
    usage: Usage,
    binding: Binding | None,
    is_aside: bool,
) -> tuple[int, int, int, int]:
    """What is noted of the main loop's last turn: prompt, cached tokens, body, model bits."""
    if binding is None and request.traffic != _MAIN:
        return 0, 0, 0, 0
    prefix, cached = _prompt_of(usage), _cached_of(usage)
    if binding is None or not is_aside:
        return prefix, cached, request.body_bytes, route.tag
    tag = binding.flags & _MODEL_BITS
    if request.traffic != _MAIN:  # its short turn is not the main loop's prefix
        return binding.prefix_tokens, binding.cached_tokens, binding.body_bytes, tag
    # A title call looks like the main loop by its head: short turns count gradually.
    size = request.body_bytes
    if tag != route.tag:
        prefix = cached = size = 0
    return (
        max(prefix, binding.prefix_tokens // 2),
        max(cached, binding.cached_tokens // 2),
        max(size, binding.body_bytes // 2),
        tag,
    )


def _keep_cache(
    context: WorkerContext,
    route: Route,
    request: RoutingRequest,
    attempt: Attempt,
    usage: Usage,
    now: float,
) -> None:
    """Note where a prompt is cached that has no binding of its own."""
    context.affinity.keep(
        request.thread,
        attempt.target.slot,
        now,
        ttl_s=_ttl_of(usage, request.cache),
        prefix_tokens=_prompt_of(usage),
        cached_tokens=_cached_of(usage),
        body_bytes=request.body_bytes,
        flags=route.tag,
        client=request.client,
        again=request.cache is not None,
    )


def _prompt_of(usage: Usage) -> int:
    return usage.input + _cached_of(usage)


def _cached_of(usage: Usage) -> int:
    """What the next turn finds cached: of an answer without these reports nothing."""
    return usage.cache_read + usage.cache_write_5m + usage.cache_write_1h


def _ttl_of(usage: Usage, binding: Binding | None) -> float:
    if usage.cache_write_1h:
        return HOUR_S
    return FIVE_MINUTES_S if binding is None or usage.cache_write_5m else binding.ttl_s


def _flags_of(request: RoutingRequest, attempt: Attempt, binding: Binding | None) -> int:
    """What is known of the conversation's thinking blocks after this attempt."""
    flags = request.marks | (binding.flags & ~_MODEL_BITS if binding is not None else 0)
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
            cached_tokens=binding.cached_tokens // 2,
            body_bytes=binding.body_bytes // 2,
            flags=flags | binding.flags & _MODEL_BITS,
            client=request.client,
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
