"""How a request would be routed, by the configuration alone: for `ccrelay route explain`.

Rules, model names and prices are evaluated as the relay does. Runtime state is left out: usage of
limits, cooldowns, open breakers, bindings of conversations.
"""

from collections.abc import Container, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import (
    Config,
    Key,
    Provider,
    RequestKind,
    Routing,
    Rule,
    StrategyName,
    When,
)
from ccrelay.ledger.pricing import TTL_SHORT_S, PriceList, expected_micros, price_at
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for
from ccrelay.routing.features import Features, traffic_of, traffic_of_head
from ccrelay.routing.rules import CLASSES, CompiledRule, Header, Rules, compile_rules
from ccrelay.routing.strategies import ModelBased
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.wire.matching import ModelMatcher, is_glob, strip_window

TOKENS = 20_000  # an early turn of Claude Code
OUTPUT_TOKENS = 1000  # assumed for the price of a turn
NEAREST_MAX = 3

# Thinking and tools of such a request of Claude Code (client reference, section 5).
USUAL: dict[RequestKind, tuple[bool, bool]] = {
    "main": (True, True),
    "subagent": (True, True),
    "compaction": (True, True),
    "background": (False, False),
    "web-search": (False, True),
    "count_tokens": (False, True),
}
HOW: dict[StrategyName, str] = {
    "simple-shuffle": "random, weighted by remaining capacity",
    "round-robin": "in rotation, by weight",
    "least-busy": "the fewest exchanges in flight per weight",
    "failover": "the first available",
    "cost-based": "the cheapest available, warm caches included",
    "latency-based": "the lowest time to first event, with occasional exploration",
    "model-based": "the first available",
}
SHARED = frozenset[StrategyName]({"simple-shuffle", "round-robin"})

_KINDS = {traffic: kind for kind, traffic in CLASSES.items()}
_LIMITS = ("rpm_limit", "tpm_limit", "itpm_limit", "otpm_limit", "max_concurrent")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of a request that routing reads. None: as usual for its class."""

    model: str
    kind: RequestKind | None = None  # None: from the headers, else main
    tokens: int = TOKENS  # input, estimated
    images: bool = False
    thinking: bool | None = None
    tools: bool | None = None
    headers: dict[str, str] = msgspec.field(default_factory=dict)  # names in any case


class Asked(msgspec.Struct, frozen=True):
    """The question with defaults filled in."""

    model: str
    kind: RequestKind
    tokens: int
    images: bool
    thinking: bool
    tools: bool


class PassedOver(msgspec.Struct, frozen=True):
    """A rule before the one that matches, with its unmet conditions."""

    rule: str
    unmet: list[str]


class KeyNote(msgspec.Struct, frozen=True):
    """A key of a provider, by its fingerprint."""

    fingerprint: str  # "unknown" when the secret could not be resolved
    name: str | None
    enabled: bool
    weight: int
    priority: int
    limits: dict[str, int]  # setting -> value; only configured ones


class Inside(msgspec.Struct, frozen=True):
    """An eligible provider."""

    provider: str
    sent: str  # the model sent to it
    why: str  # the provider's setting that matches the model
    weight: int
    priority: int
    # 0..1 of the requests while all have capacity; None: the strategy has no shares.
    share: float | None
    new_micros: float | None  # price of the turn without a cache, in millionths of a dollar
    cached_micros: float | None  # the same with the whole prompt cached
    keys: list[KeyNote]  # empty: the client's own credential, or none


class Outside(msgspec.Struct, frozen=True):
    """A provider that is not eligible, with reasons."""

    provider: str
    reasons: list[str]


class Explanation(msgspec.Struct, frozen=True):
    """The result. `inside` is in order of preference where the strategy has one.

    `seen_as` is the class that the relay would assign. A body is read only when a rule needs it;
    otherwise the class comes from the headers alone.
    """

    asked: Asked
    seen_as: RequestKind
    reads_body: bool
    passed_over: list[PassedOver]
    rule: str | None
    model: str  # the requested one, or that of the rule
    strategy: StrategyName
    how: str
    inside: list[Inside]
    outside: list[Outside]


def explain(
    config: Config, question: Question, *, not_had: Container[str] = frozenset()
) -> Explanation:
    """Explain the route of a request.

    Args:
        config: checked and resolved.
        question: the request.
        not_had: placeholders of secrets that could not be resolved.
    """
    match = match_rules(config.routing, question)
    asked, rule = match.asked, match.rule
    model = (rule.model if rule is not None else None) or asked.model
    strategy = (rule.strategy if rule is not None else None) or config.routing.strategy
    inside: list[Inside] = []
    outside: list[Outside] = []
    for provider in _in_order(config.providers, rule):
        reasons, sent = _judge(provider, rule, model)
        if sent is None or reasons:
            outside.append(Outside(provider.name, reasons))
        else:
            why = _why(provider, model, sent)
            price = price_at(provider, sent, model)
            inside.append(_inside(provider, sent, why, price, asked.tokens, not_had))
    return Explanation(
        asked=asked,
        seen_as=_KINDS[match.traffic],
        reads_body=match.reads_body,
        passed_over=match.passed_over,
        rule=rule.name if rule is not None else None,
        model=model,
        strategy=strategy,
        how=HOW[strategy],
        inside=_with_shares(_preferred(inside, strategy, config.routing, model), strategy),
        outside=outside,
    )


# --- the request and its rule -----------------------------------------------------------------


class Match(NamedTuple):
    """The rule that applies to a request, and the class that the relay would assign."""

    asked: Asked
    traffic: TrafficClass
    reads_body: bool
    rule: CompiledRule | None
    passed_over: list[PassedOver]


def match_rules(routing: Routing, question: Question) -> Match:
    """Find the rule of a request, as the relay does."""
    asked = _asked(question)
    rules = compile_rules(routing)
    seen = _seen(question, asked, reads_body=rules.needs_body)
    rule, passed_over = _rule(rules, routing, seen)
    return Match(asked, seen.traffic, rules.needs_body, rule, passed_over)


def _asked(question: Question) -> Asked:
    kind = question.kind
    if kind is None:
        kind = _KINDS[traffic_of(_told_by_head(question, RequestClass.MESSAGES), None)]
    thinking, tools = USUAL[kind]
    return Asked(
        model=question.model,
        kind=kind,
        tokens=question.tokens,
        images=question.images,
        thinking=thinking if question.thinking is None else question.thinking,
        tools=tools if question.tools is None else question.tools,
    )


def header_of(question: Question) -> Header:
    """Look up a header of the request by its lower-case name."""
    values = {name.lower().encode(): value.encode() for name, value in question.headers.items()}
    return values.get


def _told_by_head(question: Question, kind: RequestClass) -> TrafficClass | None:
    header = header_of(question)
    agent_id, request_class = b"x-claude-code-agent-id", b"x-claude-code-request-class"
    return traffic_of_head(header(agent_id), header(request_class), kind)


class _Seen(NamedTuple):
    # The request as rules see it: the arguments of `CompiledRule.applies`, in order.
    model: str
    traffic: TrafficClass
    tokens: int
    features: Features | None
    header: Header


def _seen(question: Question, asked: Asked, *, reads_body: bool) -> _Seen:
    is_count = asked.kind == "count_tokens"
    told = _told_by_head(question, RequestClass.COUNT_TOKENS if is_count else RequestClass.MESSAGES)
    if told is None and asked.kind == "subagent":
        told = TrafficClass.SUBAGENT  # from a header: client reference, section 5
    features = None
    if reads_body:
        own = CLASSES[asked.kind]
        features = Features(asked.images, asked.thinking, asked.tools, True, own)
    traffic = traffic_of(told, features)
    return _Seen(asked.model, traffic, asked.tokens, features, header_of(question))


def _rule(
    rules: Rules, routing: Routing, seen: _Seen
) -> tuple[CompiledRule | None, list[PassedOver]]:
    passed_over: list[PassedOver] = []
    for rule, written in zip(rules.rules, routing.rules, strict=True):
        if rule.applies(*seen):
            return rule, passed_over
        unmet = [told for told, single in _conditions(written.when) if not single.applies(*seen)]
        passed_over.append(PassedOver(rule.name, unmet))
    return None, passed_over


def _conditions(when: When) -> list[tuple[str, CompiledRule]]:
    # Each condition as a rule of its own, to find those that fail.
    found: dict[str, When] = {}
    for name, value in msgspec.structs.asdict(when).items():
        if value is None or value in ([], {}):
            continue
        if isinstance(value, dict):
            for header, glob in value.items():
                found[f"{name}: {header}={glob}"] = When(headers={header: glob})
        else:
            told = ", ".join(value) if isinstance(value, list) else str(value).lower()
            found[f"{name}: {told}"] = When(**{name: value})
    return [(told, CompiledRule(0, Rule(when=single))) for told, single in found.items()]


# --- providers --------------------------------------------------------------------------------


def _in_order(providers: Sequence[Provider], rule: CompiledRule | None) -> list[Provider]:
    # Providers of the rule first, in its order.
    if rule is None or not rule.providers:
        return list(providers)
    ranks = {name: number for number, name in enumerate(rule.providers)}
    return sorted(providers, key=lambda provider: ranks.get(provider.name, len(ranks)))


def _judge(
    provider: Provider, rule: CompiledRule | None, model: str
) -> tuple[list[str], str | None]:
    """Why a provider is not eligible (empty: it is), and the model that would be sent."""
    if not provider.enabled:
        return ["disabled (enabled: false)"], None  # its other settings may be unfinished
    reasons = []
    if rule is not None and rule.providers and provider.name not in rule.providers:
        reasons.append(f"not among the providers of rule {rule.name}")
    if provider.keys and not any(key.enabled for key in provider.keys):
        reasons.append("all its keys are disabled")
    dialect = dialect_for(provider)
    sent = dialect.matcher.resolve(model)
    if sent is None:
        reasons.append(_not_served(dialect, model))
    return reasons, sent


def _not_served(dialect: Dialect, model: str) -> str:
    provider = dialect.provider
    names = dict.fromkeys(provider.model_mapping)
    for own in provider.models or ():
        names[own if isinstance(own, str) else own.id] = None
    if not names:
        return f"does not serve {model}, nor any other model"
    wanted = strip_window(model)
    nearest = sorted(names, key=lambda name: -SequenceMatcher(None, wanted, name).ratio())
    return f"does not serve {model}; nearest: {', '.join(nearest[:NEAREST_MAX])}"


def _why(provider: Provider, model: str, sent: str) -> str:
    # Each entry is tried alone, in the order of `ModelMatcher`: exact names, those with `[1m]`
    # first, then globs as written.
    mapping = provider.model_mapping
    for name in sorted(mapping, key=lambda name: 0 if is_glob(name) else -len(name)):
        if ModelMatcher({name: mapping[name]}, ()).resolve(model) == sent:
            return f"model_mapping {name}"
    for own in provider.models or ():
        if ModelMatcher({}, [own]).resolve(model) is not None:
            return f"models {own if isinstance(own, str) else own.id}"
    return ""


def _inside(
    provider: Provider,
    sent: str,
    why: str,
    price: PriceList | None,
    tokens: int,
    not_had: Container[str],
) -> Inside:
    new = cached = None
    if price is not None:
        new = expected_micros(
            price,
            fresh_tokens=tokens,
            cached_tokens=0,
            output_tokens=OUTPUT_TOKENS,
            ttl_s=TTL_SHORT_S,
        )
        cached = expected_micros(
            price,
            fresh_tokens=0,
            cached_tokens=tokens,
            output_tokens=OUTPUT_TOKENS,
            ttl_s=TTL_SHORT_S,
        )
    return Inside(
        provider=provider.name,
        sent=sent,
        why=why,
        weight=provider.weight,
        priority=provider.priority,
        share=None,
        new_micros=new,
        cached_micros=cached,
        keys=[_key_note(key, not_had) for key in provider.keys],
    )


def _key_note(key: Key, not_had: Container[str]) -> KeyNote:
    limits = {name: getattr(key, name) for name in _LIMITS}
    return KeyNote(
        fingerprint="unknown" if key.key in not_had else fingerprint(key.key),
        name=key.name,
        enabled=key.enabled,
        weight=key.weight,
        priority=key.priority,
        limits={name: value for name, value in limits.items() if value is not None},
    )


# --- order and shares by strategy -------------------------------------------------------------


def _preferred(
    inside: list[Inside], strategy: StrategyName, routing: Routing, model: str
) -> list[Inside]:
    # Sorting is stable: ties keep their order, as in ccrelay.routing.strategies.
    match strategy:
        case "failover":
            return sorted(inside, key=lambda one: -one.priority)
        case "cost-based":
            return sorted(inside, key=lambda one: (one.new_micros is None, one.new_micros or 0.0))
        case "model-based":
            listed = ModelBased(routing.models, routing.models_default).providers(model)
            names = list(dict.fromkeys([*listed, *routing.models_default]))
            return sorted(
                inside,
                key=lambda one: names.index(one.provider) if one.provider in names else len(names),
            )
        case _:
            return inside


def _with_shares(inside: list[Inside], strategy: StrategyName) -> list[Inside]:
    if strategy not in SHARED:
        return inside
    total = sum(one.weight for one in inside)
    return [
        msgspec.structs.replace(one, share=one.weight / total if total else 1 / len(inside))
        for one in inside
    ]
