"""Where a request would go now: the relay's own router on a copy of the live state.

Nothing is reserved and no breaker is touched by asking: all that the router acquires, it acquires
on the copy.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ccrelay._fast.affinity_table import MODEL_BITS, AffinityTable
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config
from ccrelay.fleet.estimate import BYTES_PER_TOKEN, OUTPUT_TOKENS
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.fleet.refused_features import COUNTED, RefusedFeatures
from ccrelay.manager.clock import Clock
from ccrelay.manager.key_choice import key_words
from ccrelay.manager.live import LiveKey, LiveState
from ccrelay.routing.availability import ready_at, state_of
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.conversation import client_number, find_conversation
from ccrelay.routing.explain import Explanation, Question, explain, header_of, match_rules
from ccrelay.routing.route_table import Route, RouteTable
from ccrelay.routing.router import Router
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.rules import CompiledRule
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.routing.strategies import Strategy, strategy_for
from ccrelay.types import OutputClass, RequestClass, TrafficClass
from ccrelay.v1 import exchanges_pb2, routing_pb2 as v1
from ccrelay.wire.session import conversation_key

READY = "ready"
LOOK_MS = 100  # an end in less is none that is known
_MODEL_BITS = int(MODEL_BITS)
_WITHOUT_THINKING = (TrafficClass.BACKGROUND, TrafficClass.WEB_SEARCH)


class _Found(NamedTuple):
    """What the router said, and what it was asked with."""

    route: Route
    request: RoutingRequest
    choice: Selection | Unavailable


class LiveRouting:
    """Routing of one configuration on a private copy of the shared memory.

    Args:
        memory: the copy; it is written to.
        config: in force, overrides included.
        layout: whose words are where.
        clock: both clocks.
        rng: chance.
    """

    def __init__(
        self,
        memory: SharedMemory,
        config: Config,
        layout: Layout,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._now = clock.now()
        self._table = AffinityTable(memory)
        self._refused = RefusedFeatures(memory).all(clock.now_ms() / 1000)
        self.live = LiveState(memory, config, layout, clock)
        self.providers = [
            ProviderState(
                provider,
                config.health,
                memory=memory,
                slots=layout.targets[provider.name],
                endpoint_slot=layout.endpoints[provider.name],
            )
            for provider in config.providers
            if provider.enabled and provider.name in layout.targets
        ]
        self._by_slot = {t.slot: t for provider in self.providers for t in provider.targets}
        self._strategies: dict[str, Strategy] = {}
        self._routes = RouteTable(self.providers, self._strategy_of)
        self._router = Router(config.routing)

    def _strategy_of(self, rule: CompiledRule | None) -> Strategy:
        routing = self._config.routing
        name = (rule.strategy if rule is not None else None) or routing.strategy
        if name not in self._strategies:
            self._strategies[name] = strategy_for(routing, name)
        return self._strategies[name]

    def answer(self, question: Question, session: str) -> v1.ExplainResponse:
        """Explain one request. May be called once: the router has reserved on the copy.

        Args:
            question: the request.
            session: as Claude Code sends it; empty: that of the headers, else a new one.
        """
        told = explain(self._config, question)
        match = match_rules(self._config.routing, question)
        if match.rule is not None:
            route = self._routes.under(match.rule, question.model)
        else:
            route = self._routes.of(question.model.encode(), question.model)
        request = self._request(question, match.traffic)
        self._find(route, request, session.encode() or _session_of(question), _agent_of(question))
        candidates = self._candidates(route, request, told)
        choice = self._choose(route, request)
        response = v1.ExplainResponse(
            traffic_class=told.seen_as,
            candidates=candidates,
            ineligible=[
                v1.Ineligible(provider=one.provider, reasons=one.reasons) for one in told.outside
            ],
            rules_missed=[v1.RuleMiss(rule=one.rule, unmet=one.unmet) for one in told.passed_over],
        )
        self._put_affinity(response, request)
        self._put_choice(response, _Found(route, request, choice), told)
        return response

    # ---- the request

    def _request(self, question: Question, traffic: TrafficClass) -> RoutingRequest:
        is_count = traffic is TrafficClass.COUNT_TOKENS
        thinks = traffic not in _WITHOUT_THINKING
        return RoutingRequest(
            kind=RequestClass.COUNT_TOKENS if is_count else RequestClass.MESSAGES,
            traffic=traffic,
            tokens_in=question.tokens,
            tokens_out=OUTPUT_TOKENS,
            body_bytes=math.ceil(question.tokens * BYTES_PER_TOKEN),
            output_class=OutputClass.THINKING if thinks else OutputClass.STREAM,
            now=self._now,
        )

    def _find(
        self, route: Route, request: RoutingRequest, session: bytes | None, agent: bytes | None
    ) -> None:
        """Find its conversation, under each relay token until one has it."""
        known = conversation_key(session, None) if session else None
        if known is None:
            return
        tokens = self._config.server.auth.tokens
        clients = [
            client_number(b"token", hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest())
            for token in tokens
        ]
        is_sticky = self._config.routing.affinity.enabled
        for client in clients or [0]:
            request.client = client
            find_conversation(self._table, self._by_slot, is_sticky, route, request, known, agent)
            if request.cache is not None or request.binding is not None:
                break
        cache = request.cache
        if cache is not None and cache.flags & _MODEL_BITS == route.tag:
            request.tokens_home = max(request.tokens_in - cache.cached_tokens, 0)

    def _choose(self, route: Route, request: RoutingRequest) -> Selection | Unavailable:
        """As an exchange does: wait if that is worth it, else take what there is."""
        if not route.candidates:
            return Unavailable(math.inf, False, "")
        choice = self._router.choose(route, request, None, self._rng)
        if isinstance(choice, Unavailable) and not self._waits(choice, request):
            return self._router.choose(route, request, None, self._rng, stays=False)
        return choice

    def _waits(self, choice: Unavailable, request: RoutingRequest) -> bool:
        """Whether a request waits for that in the queue."""
        return choice.until <= request.now + self._config.routing.queue_timeout_s

    # ---- the answer

    def _candidates(
        self, route: Route, request: RoutingRequest, told: Explanation
    ) -> list[v1.Candidate]:
        keys = {key.slot: key for one in self.live.providers for key in one.keys}
        by_name = {candidate.provider.name: candidate for candidate in route.candidates}
        found = []
        for inside in told.inside:
            candidate = by_name.get(inside.provider)
            if candidate is None:
                continue  # all its keys are disabled
            for target in _in_order(candidate.provider.targets):
                one = self._candidate(candidate, target, request, keys[target.slot])
                if inside.new_micros is not None:
                    one.new_micros = round(inside.new_micros)
                if inside.cached_micros is not None:
                    one.cached_micros = round(inside.cached_micros)
                found.append(one)
        return found

    def _candidate(
        self, candidate: Candidate, target: Target, request: RoutingRequest, key: LiveKey
    ) -> v1.Candidate:
        why = state_of(candidate, target, request)
        at = 0.0
        if why != READY:
            at = ready_at(candidate, target, request, False)
        room = key.room(request.now, key.windows(request.now))
        average = candidate.provider.endpoint.stats.average(request.output_class)
        models = [candidate.sent]
        if request.kind == RequestClass.COUNT_TOKENS:
            models.append(COUNTED + candidate.sent)
        message = v1.Candidate(
            target=_name(target),
            sent_model=candidate.sent,
            available=why == READY,
            why="" if why == READY else why,
            available_at_ms=self._clock.ms(at) if at > request.now else 0,
            in_flight=target.limits.in_flight,
            first_event_ms=round(average * 1000, 1),
            left_out=[
                v1.RefusedFeature(feature=one.feature, until_ms=round(one.expires * 1000))
                for one in self._refused
                if one.provider == target.provider.name and one.model in models
            ],
        )
        if room is not None:
            message.room = room
        return message

    def _put_affinity(self, response: v1.ExplainResponse, request: RoutingRequest) -> None:
        cache = request.cache
        target = self._by_slot.get(cache.slot) if cache is not None else None
        if cache is not None and target is not None:
            response.affinity_target = _name(target)
            response.affinity_tokens = cache.cached_tokens

    def _put_choice(self, response: v1.ExplainResponse, found: _Found, told: Explanation) -> None:
        choice = found.choice
        states = {one.target: one.why or "available" for one in response.candidates}
        taken = ""
        if isinstance(choice, Selection):
            taken = response.target = _name(choice.target)
            response.sent_model = choice.candidate.sent
            reason = reason_of(found, states[taken])
        else:
            reason = ""
            if self._waits(choice, found.request):
                reason = "queue"
                response.waits_ms = math.ceil((choice.until - found.request.now) * 1000)
        response.choice.CopyFrom(
            exchanges_pb2.Choice(
                rule=told.rule or "",
                strategy=told.strategy,
                reason=reason,
                passed=[
                    exchanges_pb2.Passed(target=name, why=why)
                    for name, why in states.items()
                    if name != taken
                ],
            )
        )
        keys = ""
        if isinstance(choice, Selection):
            keys = self._key_words(choice.target, found, states)
        response.choice.sentence = sentence(response, told, keys)

    def _key_words(self, taken: Target, found: _Found, states: Mapping[str, str]) -> str:
        by_slot = self._by_slot.values()
        free = {one.slot for one in by_slot if states.get(_name(one)) == "available"}
        name = taken.provider.name
        config = next(one for one in self._config.providers if one.name == name)
        return key_words(taken, free, config.key_strategy, found.request)


def reason_of(found: _Found, state: str) -> str:
    """Why the router took a target; a word of `Choice.reason`.

    Args:
        found: what it said.
        state: of the target, before it was asked.
    """
    choice, request = found.choice, found.request
    assert isinstance(choice, Selection)
    if state == "breaker_open":
        return "panic"
    if state != "available":
        return "last_resort"
    if request.binding is not None and request.binding.slot == choice.target.slot:
        return "affinity"
    return "only" if len(found.route.by_slot) == 1 else "strategy"


def sentence(response: v1.ExplainResponse, told: Explanation, keys: str = "") -> str:
    """The answer in one plain sentence.

    Args:
        response: all but the sentence is set.
        told: by the configuration alone.
        keys: why this key of its provider; empty: no other one was free.
    """
    target, reason = response.target, response.choice.reason
    if not target:
        return _no_target(response, told)
    match reason:
        case "affinity":
            if not response.affinity_tokens:
                return f"It goes to {target}, which has served the conversation before."
            tokens = f"{response.affinity_tokens:,} tokens"
            return f"It goes to {target}, where {tokens} of the conversation are cached."
        case "only":
            return f"It goes to {target}, the only target that serves {told.model}."
        case "panic":
            return f"It goes to {target} although its breaker is open: no other target is left."
        case "last_resort":
            return f"It goes to {target} although that is not free: no other target is left."
        case _:
            pass
    free = [one.target for one in response.candidates if one.available]
    if len(free) == 1:
        return f"It goes to {target}, the only target that is free now."
    all_providers, providers = (
        {name.partition("/")[0] for name in names}
        for names in ([one.target for one in response.candidates], free)
    )
    if len(all_providers) == 1:
        why = f"the only provider for {told.model}"
    elif len(providers) == 1:
        why = "the only provider that is free now"
    else:
        why = f"by strategy {told.strategy}: {told.how}"
    return f"It goes to {target}, {why}{f'; {keys}' if keys else ''}."


def _no_target(response: v1.ExplainResponse, told: Explanation) -> str:
    if not response.candidates:
        return f"No enabled provider serves {told.model}."
    if response.waits_ms:
        seconds = max(response.waits_ms / 1000, 0.1)
        where = f" for {response.affinity_target}" if response.affinity_target else ""
        # The end of exchanges under way is not known: the router names the next look at them.
        is_busy = any(one.why == "max_concurrent" for one in response.candidates)
        if is_busy and response.waits_ms <= LOOK_MS:
            return f"It waits{where} until an exchange under way ends: max_concurrent is reached."
        return f"It waits{where}: the next target is free in {seconds:.1f} s."
    return "No target can take it now, nor in the time that a request waits in the queue."


def _in_order(targets: Sequence[Target]) -> list[Target]:
    """Keys as they are preferred: weighted before unweighted, then by priority."""
    return sorted(targets, key=lambda target: (not target.weight, -target.priority))


def _name(target: Target) -> str:
    return f"{target.provider.name}/{target.name}"


def _session_of(question: Question) -> bytes | None:
    return header_of(question)(b"x-claude-code-session-id")


def _agent_of(question: Question) -> bytes | None:
    return header_of(question)(b"x-claude-code-agent-id")
