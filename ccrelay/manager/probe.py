"""Asks a provider something, now, and says in words what came."""

import asyncio
import os
from collections.abc import Mapping

import grpc
import msgspec

from ccrelay._fast.usage import usage_of_json
from ccrelay.config.model import Health, Key, Provider, Routing
from ccrelay.config.secret_shapes import without_secrets
from ccrelay.errors import RelayError
from ccrelay.ledger.pricing import cost_micros, price_at
from ccrelay.manager.errors import Refused, precondition
from ccrelay.manager.live import billing_of, passes_credential
from ccrelay.printable import printable
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import (
    ProbeRequest,
    countable_model,
    keyed_probe,
    probe_model,
)
from ccrelay.providers.registry import dialect_for
from ccrelay.types import RequestClass
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.fetch import post
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import proxy_for
from ccrelay.v1 import providers_pb2 as v1

ANSWER_BYTES_MAX = 65_536
# A model takes its time for the first token, whatever the limit of a health check.
MESSAGE_LIMIT_S = 60.0
SAID_CHARACTERS_MAX = 200
# The connection's own limit comes first: it knows what was waited for, such as a TLS handshake.
PHASE_S = 0.25
_UNREACHED = "Check base_url (host, port, http or https), and that the provider is running."
_KINDS: dict[int, ProbeRequest] = {
    v1.PROBE_KIND_COUNT_TOKENS: "count_tokens",
    v1.PROBE_KIND_MESSAGE: "message",
}
_MEANINGS = {
    400: "rejects the request",
    401: "refuses the key: replace it",
    402: "says that the balance or quota is spent",
    403: "refuses the key, or this use of it: replace it, or look at its permissions",
    404: "knows neither the model nor the path: check base_url and the model's name",
    408: "has waited too long for the request",
    413: "finds the request too large",
    429: "accepts the key and limits it now: try again later",
    529: "is overloaded: try again later",
}


class _Answer(msgspec.Struct):
    type: str = ""
    input_tokens: int | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")


_ANSWER = msgspec.json.Decoder(_Answer)


class Prober:
    """Probes, one at a time for each key.

    Args:
        loop: the running loop.
        env: variables that name proxies.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, env: Mapping[str, str] = os.environ
    ) -> None:
        self._loop = loop
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
        request = _KINDS.get(kind)
        try:
            dialect = dialect_for(provider)
            origin = Origin.parse(provider.base_url or "")
        except ValueError as error:
            raise precondition(f"{provider.name} cannot be asked: {error}.") from None
        named = _model_for(dialect, request, model, health, key) if request is not None else ""
        place = (provider.name, fingerprint)
        if place in self._running:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"A probe of {provider.name}/{fingerprint} is under way: wait for its answer.",
            )
        timeouts = provider.timeouts or routing.timeouts
        dialer = Dialer(
            origin,
            self._loop,
            connect_s=min(timeouts.connect_s, health.probe_timeout_s),
            proxy=proxy_for(origin, self._env),
            provider=provider.name,
        )
        limit_s = MESSAGE_LIMIT_S if request == "message" else health.probe_timeout_s
        began_at = self._loop.time()
        self._running.add(place)
        try:
            async with asyncio.timeout(limit_s + PHASE_S):
                if request is None:
                    answer = await _connect(dialer)
                else:
                    answer = await self._ask(dialect, dialer, request, named, key)
        except TimeoutError:
            answer = v1.ProbeResponse(
                message=f"No answer within {limit_s:g} s: try again later, or raise "
                "health.probe_timeout_s where it is always slow."
            )
        except RelayError as error:
            answer = v1.ProbeResponse(message=_failed(error.message))
        finally:
            self._running.discard(place)
            await dialer.close()
        answer.latency_ms = round((self._loop.time() - began_at) * 1000, 1)
        answer.model = named
        return answer

    async def _ask(
        self, dialect: Dialect, dialer: Dialer, kind: ProbeRequest, model: str, key: Key | None
    ) -> v1.ProbeResponse:
        sent = keyed_probe(dialect, kind, model, key.key if key is not None else None)
        status, data = await post(dialer, self._loop, *sent, bytes_max=ANSWER_BYTES_MAX)
        return judged(dialect, kind, model, status, data)


def _model_for(
    dialect: Dialect, kind: ProbeRequest, model: str, health: Health, key: Key | None
) -> str:
    """The model to ask for. Raises Refused: this cannot be asked."""
    name = dialect.name
    if key is not None and key.credential is not None:
        raise precondition(
            f"Only workers know the credential of {name}/{key.name}: probe it with `connect`."
        )
    if passes_credential(dialect.provider):
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


async def _connect(dialer: Dialer) -> v1.ProbeResponse:
    dialed = await dialer.dial()
    dialed.sock.close()
    how = "without TLS" if dialed.tls is None else str(dialed.tls.obj.version())
    return v1.ProbeResponse(ok=True, message=f"Connected to {dialed.peer}, {how}.")


def judged(
    dialect: Dialect, kind: ProbeRequest, model: str, status: int, data: bytes
) -> v1.ProbeResponse:
    """What an answer means."""
    name = dialect.name
    answer = v1.ProbeResponse(status=status)
    if not 200 <= status < 300:
        answer.message = _failure(dialect, kind, status, data)
        return answer
    try:
        if kind == "count_tokens":
            data = dialect.translate_answer(RequestClass.COUNT_TOKENS, data) or data
        found = _ANSWER.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = _Answer()
    if kind == "count_tokens" and found.input_tokens is not None:
        answer.ok = True
        answer.message = f"{name} accepts the key, and counted {found.input_tokens} tokens."
    elif kind == "message" and found.type == "message":
        answer.ok = True
        answer.message = f"{name} answered with {model}."
        answer.cost_micros = _cost(dialect, model, bytes(found.usage))
    elif found.type == "error":
        answer.message = f"{name} answers with an error in spite of status {status}."
        answer.message += _said(dialect, status, data)
    else:
        answer.message = (
            f"What {name} answers is not of this API, in spite of status {status}: check base_url."
        )
    return answer


def _failure(dialect: Dialect, kind: ProbeRequest, status: int, data: bytes) -> str:
    if status == 404 and kind == "count_tokens":
        meaning = "knows neither count_tokens nor the model: probe it with `message`"
    elif 300 <= status < 400:
        meaning = "redirects: set base_url to where it leads"
    elif status >= 500 and status not in _MEANINGS:
        meaning = "fails: try again later"
    else:
        meaning = _MEANINGS.get(status, "does not answer the request")
    return f"{dialect.name} {meaning} (status {status})." + _said(dialect, status, data)


def _said(dialect: Dialect, status: int, data: bytes) -> str:
    """The provider's own words, without secrets; some repeat a part of the key."""
    message = _line(dialect.read_error(status, data).message)
    return f' It says: "{message}"' if message else ""


def _failed(message: str) -> str:
    line = f"{_line(message).rstrip('.')}."
    return f"{line} {_UNREACHED}" if line.startswith("Cannot reach") else line


def _line(text: str) -> str:
    line = " ".join(printable(without_secrets(text)).split())
    if len(line) > SAID_CHARACTERS_MAX:
        return line[:SAID_CHARACTERS_MAX] + "..."
    return line


def _cost(dialect: Dialect, model: str, raw: bytes) -> int:
    """What it costs; 0 where it is not charged, or no price is known."""
    provider = dialect.provider
    price = price_at(provider, model)
    usage = usage_of_json(raw) if raw else None
    if price is None or usage is None or billing_of(provider) != v1.BILLING_TOKENS:
        return 0
    return cost_micros(price, usage)
