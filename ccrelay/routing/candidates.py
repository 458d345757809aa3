"""Who serves a model: the providers in configured order, with the name to send to each."""

from collections.abc import Sequence

import msgspec

from ccrelay.fleet.service import Service

# Names of models come from clients: the memory of past answers is bounded.
REMEMBERED_MODELS_MAX = 1024

_encode = msgspec.json.Encoder().encode


class Candidate:
    """A provider that serves the asked model."""

    __slots__ = ("endpoint", "estimates", "rewrites", "sent", "service", "splice", "weight")

    def __init__(self, service: Service, asked: str, sent: str) -> None:
        self.service = service
        self.sent = sent
        self.splice: bytes | None = None if sent == asked else _encode(sent)
        self.endpoint = service.endpoint
        self.weight = service.weight
        self.estimates = service.dialect.counts_tokens == "estimate"
        self.rewrites = service.dialect.needs_rewrite(sent)

    def __repr__(self) -> str:
        return f"<Candidate {self.service.name} {self.sent}>"


class Slate:
    """Everybody who serves one model, in configured order."""

    __slots__ = ("candidates", "model")

    def __init__(self, model: str, candidates: Sequence[Candidate]) -> None:
        self.model = model
        self.candidates = candidates


class Candidates:
    """Answers which providers serve a model."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self.remembered: dict[bytes, Slate] = {}

    def of(self, raw: bytes, model: str) -> Slate:
        """The slate for a model; `raw` is how the client spelt it, to be known the next time."""
        slate = Slate(
            model,
            [
                Candidate(service, model, sent)
                for service in self.services
                if service.targets and (sent := service.dialect.matcher.resolve(model)) is not None
            ],
        )
        if len(self.remembered) >= REMEMBERED_MODELS_MAX:
            self.remembered.clear()
        self.remembered[raw] = slate
        return slate

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
