"""Asks a provider, before anything is written: whether it takes the key, and which models it has.

What costs nothing comes first: the list of models. Some services show theirs without a key, so a
list proves a key only where the same request without one is refused. A message of one token is sent
only where a model is named.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ccrelay import __version__
from ccrelay._fast.usage import Usage, usage_of_json
from ccrelay.config.load import load_text
from ccrelay.config.model import Provider
from ccrelay.config.problems import ConfigError, path_text
from ccrelay.config.secret_shapes import without_secrets
from ccrelay.config.starter_clouds import find_clouds
from ccrelay.errors import BadRequest, UpstreamFailed
from ccrelay.first_run.choice import Choice, SetupProblem, check_key, settled
from ccrelay.first_run.machine import machine_of
from ccrelay.first_run.text import config_text
from ccrelay.ledger.pricing import cost_micros, price_at
from ccrelay.printable import printable
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import ProbeRequest, countable_model, keyed_probe, probe_model
from ccrelay.providers.registry import dialect_for
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import proxy_for
from ccrelay.upstream.request import Response, send_request

PROBE_INPUT_TOKENS = 10
LIST_LIMIT_S = 10.0
MESSAGE_LIMIT_S = 60.0  # a model takes its time for the first token
CONNECT_S = 5.0
LIST_BYTES_MAX = 4 << 20
ANSWER_BYTES_MAX = 65_536
MODELS_MAX = 500
SAID_CHARACTERS_MAX = 200
STAND_IN = "CCRELAY_FIRST_RUN_KEY"  # the variable that the key has while it is checked
_QUERY = b"/v1/models?limit=1000"
_REFUSED = frozenset({401, 403})
_NO_LIST = frozenset({404, 405, 501})
_UNBILLED = frozenset({"ollama"})
_MEANINGS = {
    400: "rejects the request",
    401: "refuses the key: look whether it was copied whole, and is one of this service",
    402: "accepts the key, and says that its balance or quota is spent",
    403: "refuses the key, or this use of it: look at its permissions",
    404: "has not what was asked for: check the base URL and the model's name",
    408: "has waited too long for the request: try again",
    413: "finds the request too large",
    429: "accepts the key, and limits it now: it will answer later",
    529: "is overloaded: try again later",
}


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check.

    Args:
        ok: whether the key was accepted; where there is none, whether the provider answers.
        message: one sentence: what came, and what to do where that is bad.
        status: of HTTP; 0: there was none.
        latency_ms: until the last answer.
        models: that it lists.
        cost_micros: of the message, millionths of a dollar.
        is_open: nothing was refused, and nothing proves the key: a message would.
    """

    ok: bool
    message: str
    status: int = 0
    latency_ms: float = 0.0
    models: tuple[str, ...] = ()
    cost_micros: int = 0
    is_open: bool = False


def is_billed(choice: Choice) -> bool:
    """Whether a message of this provider is charged."""
    return choice.type not in _UNBILLED and choice.settings.get("billing") != "plan"


def price_of_check(choice: Choice, model: str, env: Mapping[str, str]) -> str:
    """What one token of a model costs, as a sentence. Raises SetupProblem."""
    if not is_billed(choice):
        return "It is free of charge."
    [one] = settled([choice])
    price = price_at(provider_of(one, "price-of-a-check", env), model)
    if price is None:
        return "It is billed; its price is not known here."
    micros = cost_micros(price, Usage(input=PROBE_INPUT_TOKENS, output=1))
    return f"It is billed, with about ${max(micros, 1) / 1e6:.6f}."


async def check(choice: Choice, env: Mapping[str, str], *, model: str = "") -> Checked:
    """Ask a provider.

    Args:
        choice: what would be set up.
        env: for `variable`, proxies, regions of clouds.
        model: ask for one token of it, which is billed; empty: nothing that is.

    Raises:
        SetupProblem: it could not be set up like this.
    """
    [one] = settled([choice])
    secret = one.key or env.get(one.variable, "")
    if one.variable and not secret:
        return Checked(ok=False, message=f"The variable {one.variable} is not set or empty here.")
    if secret:
        check_key(secret)
    provider = await asyncio.to_thread(provider_of, one, secret, env)
    try:
        asking = _Asking(provider, secret or None, env)
    except ValueError as error:
        raise SetupProblem(f"{error}.") from None
    began_at = asking.loop.time()
    limit_s = MESSAGE_LIMIT_S if model else LIST_LIMIT_S
    try:
        async with asyncio.timeout(limit_s + 2 * LIST_LIMIT_S):
            checked = await asking.check(model)
    except TimeoutError:
        checked = Checked(
            ok=False,
            message=f"{asking.host} does not answer in time: check the base URL, the network and "
            "a proxy between.",
        )
    except (UpstreamFailed, BadRequest, ValueError) as error:
        text = error.message if isinstance(error, UpstreamFailed | BadRequest) else str(error)
        checked = Checked(ok=False, message=_unreached(text))
    finally:
        await asking.close()
    took_ms = round((asking.loop.time() - began_at) * 1000, 1)
    return msgspec.structs.replace(checked, latency_ms=checked.latency_ms or took_ms)


def provider_of(choice: Choice, secret: str, env: Mapping[str, str]) -> Provider:
    """The provider as the configuration would have it, resolved, with the key itself.

    Raises:
        SetupProblem: it is not valid.
    """
    references = {choice.name: f"${{{STAND_IN}}}"} if secret else {}
    text = config_text([choice], references, find_clouds(machine_of(env)))
    here = {**env, STAND_IN: secret}
    try:
        return load_text(text.encode(), Path("config.yaml"), env=here).config.providers[0]
    except ConfigError as error:
        raise SetupProblem(problem_text(error)) from None


def problem_text(error: ConfigError) -> str:
    """The first mistake, as a sentence; its place in a text that is not there would not help."""
    first = next(one for one in error.problems if one.severity == "error")
    place = path_text(first.path)
    where = place.partition("].")[2]
    return f"{where}: {first.message}" if where else first.message


class _Asking:
    """Requests to one provider; each has a connection of its own."""

    def __init__(self, provider: Provider, key: str | None, env: Mapping[str, str]) -> None:
        self.loop = asyncio.get_running_loop()
        self._provider = provider
        self._key = key
        self._dialect = dialect_for(provider)
        origin = Origin.parse(provider.base_url or "")
        self.host = self._dialect.host().decode()
        self._dialer = Dialer(
            origin,
            self.loop,
            connect_s=CONNECT_S,
            proxy=proxy_for(origin, env),
            provider=provider.name,
        )

    async def close(self) -> None:
        """Forget what the dialer keeps."""
        await self._dialer.close()

    async def check(self, model: str) -> Checked:
        """See `check`. Raises UpstreamFailed, BadRequest, ValueError and TimeoutError."""
        if self._dialect.passes_client_credential:
            return await self._connect("Claude Code's login passes through, and is not known here")
        has_no_key = self._key is None and bool(self._provider.keys)
        if has_no_key:
            return await self._connect("the relay obtains its credential when it starts")
        if self._dialect.bridges:
            listed = await self._counted()
        else:
            listed = await self._listed()
        # Elsewhere a list may be refused to a key that answers messages.
        is_final = listed.status in _REFUSED and self._provider.type == "anthropic"
        if not model or is_final:
            return listed
        return await self._answered(model, listed.models)

    async def _connect(self, remark: str) -> Checked:
        dialed = await self._dialer.dial()
        dialed.sock.close()
        return Checked(ok=True, message=f"{self.host} can be reached; {remark}.")

    async def _listed(self) -> Checked:
        async with asyncio.timeout(LIST_LIMIT_S):
            response = await self._get(self._key)
            if response.status in _NO_LIST:
                return await self._counted()
            if response.status != 200:
                return self._failed(response)
            models = model_ids(response.body)
            if models is None:
                return self._strange(response)
            count = f"{len(models)} model{'' if len(models) == 1 else 's'}"
            if self._key is None:
                return _listed(response, models, True, f"{self.host} answers, and has {count}.")
            if not await self._is_private():
                return msgspec.structs.replace(await self._counted(), models=models)
        return _listed(response, models, True, f"{self.host} accepts the key, and has {count}.")

    async def _is_private(self) -> bool:
        """Whether the list is refused without a key."""
        return (await self._get(None)).status in _REFUSED

    async def _counted(self) -> Checked:
        """Count tokens, which is free; where that cannot be asked, nothing is proven."""
        dialect = self._dialect
        model = countable_model(dialect)
        if self._key is None or model is None or dialect.counts_tokens == "estimate":
            return self._unproven()
        response = await self._post("count_tokens", model)
        if response.status in _NO_LIST:
            return self._unproven()
        if response.status != 200:
            return self._failed(response)
        return Checked(ok=True, status=200, message=f"{self.host} accepts the key.")

    def _unproven(self) -> Checked:
        return Checked(
            ok=False,
            is_open=True,
            message=f"{self.host} answers; whether it accepts the key shows only a request for one "
            "token of a model.",
        )

    async def _answered(self, model: str, models: tuple[str, ...]) -> Checked:
        began_at = self.loop.time()
        sent = probe_model(self._dialect, model) or model  # as the provider knows it
        response = await self._post("message", sent)
        took_ms = round((self.loop.time() - began_at) * 1000, 1)
        if response.status != 200:
            failed = self._failed(response)
            return msgspec.structs.replace(failed, latency_ms=took_ms, models=models)
        usage = _usage(response.body)
        if usage is None:
            return msgspec.structs.replace(self._strange(response), models=models)
        return Checked(
            ok=True,
            status=200,
            latency_ms=took_ms,
            models=models,
            cost_micros=_cost(self._provider, sent, usage),
            message=f"{self.host} answered with {model} in {took_ms / 1000:.1f} s.",
        )

    async def _get(self, key: str | None) -> Response:
        dialect = self._dialect
        own = [
            (b"host", dialect.host()),
            (b"accept", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"connection", b"close"),
            (b"user-agent", f"ccrelay/{__version__}".encode()),
            (b"anthropic-version", b"2023-06-01"),
            *dialect.credential_lines(key),
        ]
        path = dialect.prefix() + _QUERY
        return await send_request(
            self._dialer, self.loop, b"GET", path, own, b"", bytes_max=LIST_BYTES_MAX
        )

    async def _post(self, kind: ProbeRequest, model: str) -> Response:
        sent = keyed_probe(self._dialect, kind, model, self._key)
        return await send_request(
            self._dialer, self.loop, b"POST", *sent, bytes_max=ANSWER_BYTES_MAX
        )

    def _failed(self, response: Response) -> Checked:
        status = response.status
        if 300 <= status < 400:
            meaning = "redirects: set the base URL to where it leads"
        elif status >= 500 and status not in _MEANINGS:
            meaning = "fails: try again later"
        else:
            meaning = _MEANINGS.get(status, "does not answer the request")
        said = _said(self._dialect, response)
        message = f"{self.host} {meaning} (status {status}).{said}"
        return Checked(ok=status == 429, status=status, message=message)

    def _strange(self, response: Response) -> Checked:
        return Checked(
            ok=False,
            status=response.status,
            message=f"What {self.host} answers is not of this API, in spite of status "
            f"{response.status}: check the base URL.",
        )


def _listed(response: Response, models: tuple[str, ...], ok: bool, message: str) -> Checked:
    return Checked(ok=ok, status=response.status, message=message, models=models)


def model_ids(body: bytes) -> tuple[str, ...] | None:
    """The ids of a list of models, Anthropic's or OpenAI's; None: it is no list."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    ids = [row.get("id") for row in rows[:MODELS_MAX] if isinstance(row, dict)]
    return tuple(one for one in ids if isinstance(one, str) and one and one.isprintable())


def _usage(body: bytes) -> bytes | None:
    """The usage of an answer; None: it is no message."""
    try:
        found = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return bytes(found.usage) if found.type == "message" else None


class _Answer(msgspec.Struct):
    type: str = ""
    usage: msgspec.Raw = msgspec.Raw(b"")


def _cost(provider: Provider, model: str, raw: bytes) -> int:
    """What it costs; 0 where it is not charged, or no price is known."""
    price = price_at(provider, model)
    usage = usage_of_json(raw) if raw else None
    if price is None or usage is None or provider.billing == "plan":
        return 0
    return 0 if provider.type in _UNBILLED else cost_micros(price, usage)


def _said(dialect: Dialect, response: Response) -> str:
    """The provider's own words, without secrets; some repeat a part of the key."""
    line = _line(dialect.read_error(response.status, response.body).message)
    return f' It says: "{line}"' if line else ""


def _line(text: str) -> str:
    line = " ".join(printable(without_secrets(text)).split())
    return f"{line[:SAID_CHARACTERS_MAX]}..." if len(line) > SAID_CHARACTERS_MAX else line


def _unreached(text: str) -> str:
    line = f"{_line(text).rstrip('.')}."
    hint = " Check the base URL (host, port, http or https), the network and a proxy between."
    return line + hint
