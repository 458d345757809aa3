"""Who serves a model: the providers in configured order, with the name to send to each."""

from collections.abc import Callable, Sequence

import msgspec

from ccrelay.config.model import Price
from ccrelay.fleet.service import Service, Target
from ccrelay.ledger.pricing import PriceList, price_for
from ccrelay.routing.rules import CompiledRule
from ccrelay.routing.strategies import Chooser, ModelBased

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
        "rewrites",
        "sent",
        "service",
        "splice",
    )

    def __init__(self, service: Service, asked: str, sent: str, spelt: str) -> None:
        """Make one.

        Args:
            service: the provider.
            asked: the model that is looked for.
            sent: the model named to the provider.
            spelt: the model as the client's body has it.
        """
        self.service = service
        self.asked = asked
        self.sent = sent
        self.splice: bytes | None = None if sent == spelt else _encode(sent)
        self.estimates = service.dialect.counts_tokens == "estimate"
        self.rewrites = service.dialect.needs_rewrite(sent)
        prices: dict[str, Price] = service.config.prices
        self.price: PriceList | None = price_for(service.config.type, sent, prices)
        self._slots = frozenset(target.slot for target in service.targets)

    def holds(self, slot: int) -> bool:
        """Whether a target slot is one of its keys'."""
        return slot in self._slots

    def __repr__(self) -> str:
        return f"<Candidate {self.service.name} {self.sent}>"


class Slate:
    """Everybody who serves one model, in configured order, and how one of them is chosen."""

    __slots__ = (
        "aside",
        "by_slot",
        "candidates",
        "chooser",
        "entry",
        "limited",
        "lone",
        "model",
        "passes",
        "rule",
    )

    def __init__(
        self,
        model: str,
        candidates: Sequence[Candidate],
        chooser: Chooser,
        rule: CompiledRule | None = None,
    ) -> None:
        self.model = model
        self.candidates = candidates
        self.chooser = chooser
        self.rule = rule
        self.by_slot: dict[int, tuple[Candidate, Target]] = {
            target.slot: (candidate, target)
            for candidate in candidates
            for target in candidate.service.targets
        }
        # The only target there is: nothing to choose.
        self.lone = next(iter(self.by_slot.values())) if len(self.by_slot) == 1 else None
        # Whether a client's own credential goes to one of them.
        self.passes = any(c.service.passes_client_credential for c in candidates)
        # A conversation has a place for each entry of `routing.models`: other providers are meant
        # for its models. Calls beside the main loop that a rule sends elsewhere have one of their
        # own, too: they neither follow the conversation nor take it along.
        asked = candidates[0].asked if candidates else model
        entry = chooser.entry(asked) if isinstance(chooser, ModelBased) else None
        self.entry = entry.encode() if entry is not None else b""
        is_apart = rule is not None and (rule.providers or rule.strategy is not None)
        self.aside = rule.name.encode() if rule is not None and is_apart else b""
        # Whether anybody asks how many tokens a request has.
        self.limited = chooser.weighs_cache or any(c.service.limited for c in candidates)


class Candidates:
    """Answers which providers serve a model.

    Args:
        services: the providers in configured order.
        chooser_for: the strategy by name; None: the configured one.
    """

    def __init__(
        self, services: list[Service], chooser_for: Callable[[CompiledRule | None], Chooser]
    ) -> None:
        self.services = services
        self._chooser_for = chooser_for
        self.remembered: dict[bytes, Slate] = {}
        self._ruled: dict[tuple[int, str], Slate] = {}

    def of(self, raw: bytes, model: str) -> Slate:
        """The slate for a model; `raw` is how the client spelt it, to be known the next time."""
        slate = self._slate(model, model, None)
        if len(self.remembered) >= REMEMBERED_MODELS_MAX:
            self.remembered.clear()
        self.remembered[raw] = slate
        return slate

    def under(self, rule: CompiledRule, asked: str) -> Slate:
        """The slate for a model when a rule applies."""
        found = self._ruled.get((rule.number, asked))
        if found is None:
            if len(self._ruled) >= REMEMBERED_MODELS_MAX:
                self._ruled.clear()
            found = self._slate(rule.model or asked, asked, rule)
            self._ruled[rule.number, asked] = found
        return found

    def _slate(self, model: str, spelt: str, rule: CompiledRule | None) -> Slate:
        services = self.services
        if rule is not None and rule.providers:
            services = sorted(
                (service for service in services if service.name in rule.providers),
                key=lambda service: rule.providers.index(service.name),
            )
        candidates = [
            Candidate(service, model, sent, spelt)
            for service in services
            if service.targets and (sent := service.dialect.matcher.resolve(model)) is not None
        ]
        return Slate(spelt, candidates, self._chooser_for(rule), rule)

    def note_limited(self, service: Service) -> None:
        """Limits of a provider have become known: whoever may be sent there estimates from now."""
        for slate in (*self.remembered.values(), *self._ruled.values()):
            if any(candidate.service is service for candidate in slate.candidates):
                slate.limited = True

    def served(self) -> list[str]:
        """What is served, for a 404 that helps: mapped names and own models, globs included."""
        names: dict[str, None] = {}
        for service in self.services:
            names.update(dict.fromkeys(service.config.model_mapping))
            for model in service.config.models or ():
                names[model if isinstance(model, str) else model.id] = None
        return list(names)

    def anthropic(self) -> Service | None:
        """The first provider of type anthropic, for endpoints beyond messages; else None."""
        for service in self.services:
            if service.config.type == "anthropic" and service.targets:
                return service
        return None
