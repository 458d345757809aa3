"""Asks a configured provider something, now: one probe at a time for each key."""

import asyncio
import os
from collections.abc import Mapping

import grpc

from ccrelay.config.model import Health, Key, Provider, Routing
from ccrelay.errors import RelayError
from ccrelay.manager.errors import Refused, precondition
from ccrelay.probing.asker import MESSAGE_LIMIT_S, Asker
from ccrelay.probing.verdict import judged, unreached
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import ProbeRequest, countable_model, probe_model
from ccrelay.v1 import providers_pb2 as v1

# The connection's own limit comes first: it knows what was waited for, such as a TLS handshake.
PHASE_S = 0.25
_KINDS: dict[int, ProbeRequest] = {
    v1.PROBE_KIND_COUNT_TOKENS: "count_tokens",
    v1.PROBE_KIND_MESSAGE: "message",
}


class Prober:
    """Probes, one at a time for each key.

    Args:
        env: variables that name proxies.
    """

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        self._env = env
        self._running: set[tuple[str, str]] = set()

    async def probe(
        self,
        provider: Provider,
        key: Key | None,
        *,
        fingerprint: str,
        kind: int,
        model: str,
        health: Health,
        routing: Routing,
    ) -> v1.ProbeResponse:
        """Probe a provider with a key; None: it has none.

        Raises:
            Refused: it cannot be asked that, or a probe with this key is under way.
        """
        place = (provider.name, fingerprint)
        if place in self._running:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"A probe of {provider.name}/{fingerprint} is under way: wait for its answer.",
            )
        timeouts = provider.timeouts or routing.timeouts
        try:
            asker = Asker(
                provider,
                key.key if key is not None else None,
                self._env,
                connect_s=min(timeouts.connect_s, health.probe_timeout_s),
                who=provider.name,
            )
        except ValueError as error:
            raise precondition(f"{provider.name} cannot be asked: {error}.") from None
        self._running.add(place)
        try:
            return await _probed(asker, key, _KINDS.get(kind), model, health)
        finally:
            self._running.discard(place)
            await asker.close()


async def _probed(
    asker: Asker, key: Key | None, kind: ProbeRequest | None, model: str, health: Health
) -> v1.ProbeResponse:
    named = _model_for(asker.dialect, kind, model, health, key) if kind is not None else ""
    limit_s = MESSAGE_LIMIT_S if kind == "message" else health.probe_timeout_s
    began_at = asker.loop.time()
    try:
        async with asyncio.timeout(limit_s + PHASE_S):
            answer = await _answer(asker, kind, named)
    except TimeoutError:
        answer = v1.ProbeResponse(
            message=f"No answer within {limit_s:g} s: try again later, or raise "
            "health.probe_timeout_s where it is always slow."
        )
    except (RelayError, ValueError) as error:  # ValueError: a key that no header carries
        answer = v1.ProbeResponse(message=unreached(error))
    answer.latency_ms = round((asker.loop.time() - began_at) * 1000, 1)
    answer.model = named
    return answer


async def _answer(asker: Asker, kind: ProbeRequest | None, model: str) -> v1.ProbeResponse:
    if kind is None:
        dialed = await asker.connect()
        how = "without TLS" if dialed.tls is None else str(dialed.tls.obj.version())
        return v1.ProbeResponse(ok=True, message=f"Connected to {dialed.peer}, {how}.")
    response = await asker.probe(kind, model)
    verdict = judged(asker.asked(kind, model), response.status, response.body)
    return v1.ProbeResponse(
        ok=verdict.ok,
        status=verdict.status,
        message=verdict.message,
        cost_micros=verdict.cost_micros,
    )


def _model_for(
    dialect: Dialect, kind: ProbeRequest, model: str, health: Health, key: Key | None
) -> str:
    """The model to ask for. Raises Refused: this cannot be asked."""
    name = dialect.name
    if key is not None and key.credential is not None:
        raise precondition(
            f"Only workers know the credential of {name}/{key.name}: probe it with `connect`."
        )
    if dialect.passes_client_credential:
        raise precondition(
            f"{name} has no key of its own, it passes on the client's: probe it with `connect`."
        )
    if kind == "count_tokens" and dialect.counts_tokens == "estimate":
        raise precondition(f"{name} does not count tokens: probe it with `message`.")
    found = probe_model(dialect, model or health.probe_model)
    if found is None and kind == "count_tokens":
        found = countable_model(dialect)
    if found is None:
        raise precondition(
            f"No model of {name} is known by name: name one, or set health.probe_model."
        )
    return found
