"""Routes: the providers that serve a model, in configured order, and how one is selected."""

from collections.abc import Callable

from ccrelay._fast.affinity_table import MODEL_BITS, hash64
from ccrelay._fast.record_ring import NAMES_BYTES_MAX, pack
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.rules import CompiledRule
from ccrelay.routing.strategies import ModelBased, Strategy
from ccrelay.routing.target_names import listed

# Model names come from clients: the cache is bounded.
ROUTES_MAX = 1024


class Route:
    """The providers that serve one model, in configured order, and the strategy that applies.

    Args:
        model: as the client spells it.
        candidates: may be empty: no provider serves it.
        strategy: selects one of several.
        rule: the rule that made this route; None: no rule applies.
    """

    __slots__ = (
        "aside",
        "by_slot",
        "candidates",
        "entry",
        "limited",
        "lone",
        "model",
        "packed_choice",
        "packed_targets",
        "passes",
        "rule",
        "strategy",
        "tag",
        "targets",
        "weighs_cache",
    )

    def __init__(
        self,
        model: str,
        candidates: list[Candidate],
        strategy: Strategy,
        rule: CompiledRule | None = None,
    ) -> None:
        self.model = model
        self.candidates = candidates
        # Of the model, in a binding: a prompt cache belongs to one model.
        self.tag = hash64(model.encode()) & MODEL_BITS or 1 << 4
        self.strategy = strategy
        self.weighs_cache = strategy.weighs_cache
        self.rule = rule
        self.by_slot: dict[int, tuple[Candidate, Target]] = {
            target.slot: (candidate, target)
            for candidate in candidates
            for target in candidate.provider.targets
        }
        # For records of exchanges.
        self.targets = listed(c.names[t.index] for c, t in self.by_slot.values())
        self.packed_targets = pack(self.targets, most=NAMES_BYTES_MAX)
        self.packed_choice = pack(rule.name if rule is not None else None, strategy.name)
        # The only target: there is nothing to select.
        self.lone = next(iter(self.by_slot.values())) if len(self.by_slot) == 1 else None
        # Whether a client's own credential goes to one of them.
        self.passes = any(c.provider.passes_client_credential for c in candidates)
        # A conversation has one binding per entry of `routing.models`, whose providers differ.
        # Calls beside the main loop that a rule sends elsewhere have a binding of their own: they
        # neither follow the conversation nor move it.
        asked = candidates[0].asked if candidates else model
        entry = strategy.entry(asked) if isinstance(strategy, ModelBased) else None
        self.entry = entry.encode() if entry is not None else b""
        is_apart = rule is not None and (rule.providers or rule.strategy is not None)
        self.aside = rule.name.encode() if rule is not None and is_apart else b""
        # Whether the request's tokens have to be estimated.
        self.limited = strategy.weighs_cache or any(c.provider.limited for c in candidates)


class RouteTable:
    """Finds the route of a model.

    Args:
        providers: in configured order.
        strategy_for_rule: the strategy of a rule; of None the configured one.
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
        """The route of a model, remembered by `raw`, its JSON as the client sent it."""
        route = self._route(model, model, None)
        if len(self.remembered) >= ROUTES_MAX:
            self.remembered.clear()
        self.remembered[raw] = route
        return route

    def under(self, rule: CompiledRule, asked: str) -> Route:
        """The route of a model under a rule."""
        found = self._ruled.get((rule.number, asked))
        if found is None:
            if len(self._ruled) >= ROUTES_MAX:
                self._ruled.clear()
            found = self._route(rule.model or asked, asked, rule)
            self._ruled[rule.number, asked] = found
        return found

    def _route(self, model: str, spelt: str, rule: CompiledRule | None) -> Route:
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
        """Limits of a provider were learned: routes to it estimate tokens from now on."""
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
