"""Who serves a model: the providers in configured order, with the name to send to each."""

from collections.abc import Callable, Sequence

import msgspec

from ccrelay.config.model import Price
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.ledger.pricing import PriceList, price_for
from ccrelay.routing.rules import CompiledRule
from ccrelay.routing.strategies import ModelBased, Strategy

# Names of models come from clients: the memory of past answers is bounded.
REMEMBERED_MODELS_MAX = 1024

_encode = msgspec.json.Encoder().encode


class Candidate:
    """A provider that serves the asked model."""

    __slots__ = (
        "_slots",
        "asked",
        "estimates",
        "price",
        "provider",
        "rewrites",
        "sent",
        "splice",
    )

    def __init__(self, provider: ProviderState, asked: str, sent: str, spelt: str) -> None:
        """Make one.

        Args:
            service: the provider.
            asked: the model that is looked for.
            sent: the model named to the provider.
            spelt: the model as the client's body has it.
        """
        self.provider = provider
        self.asked = asked
        self.sent = sent
        self.splice: bytes | None = None if sent == spelt else _encode(sent)
        self.estimates = provider.dialect.counts_tokens == "estimate"
        self.rewrites = provider.dialect.needs_rewrite(sent)
        prices: dict[str, Price] = provider.config.prices
        self.price: PriceList | None = price_for(provider.config.type, sent, prices)
        self._slots = frozenset(target.slot for target in provider.targets)

    def holds(self, slot: int) -> bool:
        """Whether a target slot is one of its keys'."""
        return slot in self._slots

    def __repr__(self) -> str:
        return f"<Candidate {self.provider.name} {self.sent}>"


class Route:
    """Everybody who serves one model, in configured order, and how one of them is chosen."""

    __slots__ = (
        "aside",
        "by_slot",
        "candidates",
        "entry",
        "limited",
        "lone",
        "model",
        "passes",
        "rule",
        "strategy",
    )

    def __init__(
        self,
        model: str,
        candidates: Sequence[Candidate],
        strategy: Strategy,
        rule: CompiledRule | None = None,
    ) -> None:
        self.model = model
        self.candidates = candidates
        self.strategy = strategy
        self.rule = rule
        self.by_slot: dict[int, tuple[Candidate, Target]] = {
            target.slot: (candidate, target)
            for candidate in candidates
            for target in candidate.provider.targets
        }
        # The only target there is: nothing to choose.
        self.lone = next(iter(self.by_slot.values())) if len(self.by_slot) == 1 else None
        # Whether a client's own credential goes to one of them.
        self.passes = any(c.provider.passes_client_credential for c in candidates)
        # A conversation has a place for each entry of `routing.models`: other providers are meant
        # for its models. Calls beside the main loop that a rule sends elsewhere have one of their
        # own, too: they neither follow the conversation nor take it along.
        asked = candidates[0].asked if candidates else model
        entry = strategy.entry(asked) if isinstance(strategy, ModelBased) else None
        self.entry = entry.encode() if entry is not None else b""
        is_apart = rule is not None and (rule.providers or rule.strategy is not None)
        self.aside = rule.name.encode() if rule is not None and is_apart else b""
        # Whether anybody asks how many tokens a request has.
        self.limited = strategy.weighs_cache or any(c.provider.limited for c in candidates)


class RouteTable:
    """Answers which providers serve a model.

    Args:
        services: the providers in configured order.
        chooser_for: the strategy by name; None: the configured one.
    """

    def __init__(
        self,
        providers: list[ProviderState],
        strategy_for_rule: Callable[[CompiledRule | None], Strategy],
    ) -> None:
        self.providers = providers
        self._strategy_for_rule = strategy_for_rule
        self.remembered: dict[bytes, Route] = {}
        self._ruled: dict[tuple[int, str], Route] = {}

    def of(self, raw: bytes, model: str) -> Route:
        """The slate for a model; `raw` is how the client spelt it, to be known the next time."""
        route = self._slate(model, model, None)
        if len(self.remembered) >= REMEMBERED_MODELS_MAX:
            self.remembered.clear()
        self.remembered[raw] = route
        return route

    def under(self, rule: CompiledRule, asked: str) -> Route:
        """The slate for a model when a rule applies."""
        found = self._ruled.get((rule.number, asked))
        if found is None:
            if len(self._ruled) >= REMEMBERED_MODELS_MAX:
                self._ruled.clear()
            found = self._slate(rule.model or asked, asked, rule)
            self._ruled[rule.number, asked] = found
        return found

    def _slate(self, model: str, spelt: str, rule: CompiledRule | None) -> Route:
        providers = self.providers
        if rule is not None and rule.providers:
            providers = sorted(
                (provider for provider in providers if provider.name in rule.providers),
                key=lambda provider: rule.providers.index(provider.name),
            )
        candidates = [
            Candidate(provider, model, sent, spelt)
            for provider in providers
            if provider.targets and (sent := provider.dialect.matcher.resolve(model)) is not None
        ]
        return Route(spelt, candidates, self._strategy_for_rule(rule), rule)

    def note_limited(self, provider: ProviderState) -> None:
        """Limits of a provider have become known: whoever may be sent there estimates from now."""
        for route in (*self.remembered.values(), *self._ruled.values()):
            if any(candidate.provider is provider for candidate in route.candidates):
                route.limited = True

    def served(self) -> list[str]:
        """What is served, for a 404 that helps: mapped names and own models, globs included."""
        names: dict[str, None] = {}
        for provider in self.providers:
            names.update(dict.fromkeys(provider.config.model_mapping))
            for model in provider.config.models or ():
                names[model if isinstance(model, str) else model.id] = None
        return list(names)

    def anthropic(self) -> ProviderState | None:
        """The first provider of type anthropic, for endpoints beyond messages; else None."""
        for provider in self.providers:
            if provider.config.type == "anthropic" and provider.targets:
                return provider
        return None
