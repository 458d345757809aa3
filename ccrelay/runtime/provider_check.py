"""Asks providers without a relay: for `ccrelay doctor`, when none runs.

The same requests, dialer, proxies and certificates as the relay's own. Answers are facts, with one
sentence; what they mean for a user says who asks. Requests that cost money are sent only where that
is wanted.
"""

import asyncio
import email.utils
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Provider
from ccrelay.errors import BadRequest, UpstreamFailed
from ccrelay.probing.asker import Asker
from ccrelay.probing.verdict import NOT_SERVED, is_answer, said
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import ProbeRequest, countable_model, probe_model
from ccrelay.upstream.environment import environment_problems
from ccrelay.upstream.request import Response

if TYPE_CHECKING:
    from ccrelay.runtime.credentials_link import CredentialOutcome

__all__ = ["Answer", "Clock", "ask_clocks", "ask_providers", "environment_problems"]

# The key was looked at, and found good enough to judge the request.
ACCEPTED = frozenset({400, 402, 413, 422, 429})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking one target.

    Args:
        provider: its name.
        key: name, else fingerprint, of the key; `client` or `none` where there is none.
        kind: what was done: `connect`, `count_tokens` or `message`; `credential`: it was obtained,
            or was not, and nothing was sent with it.
        ok: whether it worked.
        status: of the response; 0: there was none.
        latency_ms: until the response, or until it failed.
        model: that was named; empty: none.
        problem: one clause; empty where it worked. Never holds a key.
        hint: what to do about the problem, where that is known.
        method: where a credential was found.
    """

    provider: str
    key: str
    kind: str
    ok: bool
    status: int = 0
    latency_ms: float = 0.0
    model: str = ""
    problem: str = ""
    hint: str = ""
    method: str = ""


class Clock(msgspec.Struct, frozen=True):
    """How far the clock of a host is before ours, seconds; to the second."""

    host: str
    ahead_s: float


async def ask_providers(
    config: Config,
    env: Mapping[str, str],
    limit_s: float,
    *,
    is_paid: bool,
    missing: Mapping[str, str],
) -> list[Answer]:
    """Ask all targets of the enabled providers at the same time.

    Args:
        config: resolved.
        env: for proxies.
        limit_s: for each target.
        is_paid: whether a message of one token may be sent, which is billed.
        missing: placeholders of secrets that are not known here, and why.
    """
    targets: list[tuple[Provider, Key | None]] = []
    for provider in config.providers:
        if provider.enabled:
            keys = [key for key in provider.keys if key.enabled]
            targets += [(provider, key) for key in keys] or [(provider, None)]
    asked = asyncio.gather(
        *(_ask(config, env, limit_s, p, k, is_paid, missing) for p, k in targets)
    )
    answers, outcomes = await asyncio.gather(asked, _obtained(config, limit_s, missing))
    return [
        _with_outcome(answer, outcomes.get((provider.name, key.key if key is not None else "")))
        for answer, (provider, key) in zip(answers, targets, strict=True)
    ]


async def _obtained(
    config: Config, limit_s: float, missing: Mapping[str, str]
) -> dict[tuple[str, str], "CredentialOutcome"]:
    """Obtain the credentials of clouds, in a process of their own; by provider and key."""
    known = []
    for provider in config.providers:
        if provider.enabled:
            keys = [key for key in provider.keys if key.credential and not _lacks(key, missing)]
            known += [msgspec.structs.replace(provider, keys=keys)] if keys else []
    if not known:
        return {}
    from ccrelay.runtime.credentials_once import ask_once

    wanted = msgspec.structs.replace(config, providers=known)
    outcomes = await asyncio.to_thread(ask_once, wanted, limit_s)
    return {(one.provider, one.key): one for one in outcomes}


def _with_outcome(answer: Answer, outcome: "CredentialOutcome | None") -> Answer:
    """What came of a credential, unless the provider cannot even be reached."""
    if outcome is None or not answer.ok:
        return answer
    return msgspec.structs.replace(
        answer,
        kind="credential",
        ok=not outcome.reason,
        problem=outcome.reason,
        hint=outcome.hint,
        method=outcome.method,
    )


def _lacks(key: Key, missing: Mapping[str, str]) -> str | None:
    """Why the secret of an entry is not known here; None: it is."""
    secret = key.credential.client_secret if key.credential is not None else None
    return missing.get(key.key) or missing.get(secret or "")


async def _ask(
    config: Config,
    env: Mapping[str, str],
    limit_s: float,
    provider: Provider,
    key: Key | None,
    is_paid: bool,
    missing: Mapping[str, str],
) -> Answer:
    answer = Answer(provider=provider.name, key=_shown(provider, key), kind="connect", ok=False)
    problem = _lacks(key, missing) if key is not None else None
    if problem is not None:
        return msgspec.structs.replace(answer, problem=problem)
    began_at = time.monotonic()
    try:
        async with asyncio.timeout(limit_s):
            found = await _asked(config, env, provider, key, answer, is_paid)
    except TimeoutError:
        found = msgspec.structs.replace(answer, problem=f"no answer within {limit_s:g} s")
    except (UpstreamFailed, BadRequest, ValueError) as error:
        text = str(error) if isinstance(error, ValueError) else error.message
        found = msgspec.structs.replace(answer, problem=text.rstrip("."))
    took_ms = (time.monotonic() - began_at) * 1000
    return msgspec.structs.replace(found, latency_ms=round(took_ms, 1))


async def _asked(
    config: Config,
    env: Mapping[str, str],
    provider: Provider,
    key: Key | None,
    answer: Answer,
    is_paid: bool,
) -> Answer:
    """Raises UpstreamFailed where there is no response, ValueError for what cannot be sent."""
    asker = _asker(config, env, provider, key)
    dialect = asker.dialect
    kind = _kind(dialect, key, is_paid)
    model = probe_model(dialect, config.health.probe_model)
    if model is None and kind is not None:
        # Without a name a message might ask for what does not exist; counting shows the key.
        kind, model = _kind(dialect, key, False), countable_model(dialect)
    if kind is None or model is None:
        await asker.connect()
        return msgspec.structs.replace(answer, ok=True)
    response = await asker.probe(kind, model)
    if response.status in NOT_SERVED and kind == "count_tokens":
        # Not every provider counts; that it answered is what is known.
        return msgspec.structs.replace(answer, ok=True, status=response.status)
    problem = _problem(asker, kind, response)
    return msgspec.structs.replace(
        answer,
        kind=kind,
        ok=not problem or response.status in ACCEPTED - {402},
        status=response.status,
        model=model,
        problem=problem,
    )


def _kind(dialect: Dialect, key: Key | None, is_paid: bool) -> ProbeRequest | None:
    """The request that shows most; None: a connection is all that can be tried."""
    if dialect.provider.type == "anthropic" and key is None:
        return None  # the client's own credential, which is not known here
    if key is not None and key.credential is not None:
        return None  # only workers sign requests
    if is_paid:
        return "message"
    return None if dialect.counts_tokens == "estimate" else "count_tokens"


def _problem(asker: Asker, kind: ProbeRequest, response: Response) -> str:
    """What is wrong with an answer, a clause; empty: nothing is."""
    status, body = response.status, response.body
    if status < 300:
        is_good = is_answer(asker.dialect, kind, body)
        return "" if is_good else f"{status}: what it answers is not of this API"
    text = said(asker.dialect, asker.key, status, body)
    return f"{status}: {text}" if text else f"status {status}"


def _asker(
    config: Config, env: Mapping[str, str], provider: Provider, key: Key | None = None
) -> Asker:
    """Raises ValueError: it cannot be asked."""
    timeouts = provider.timeouts or config.routing.timeouts
    secret = key.key if key is not None else None
    return Asker(provider, secret, env, connect_s=timeouts.connect_s)


def _shown(provider: Provider, key: Key | None) -> str:
    if key is not None:
        return key.name or fingerprint(key.key)
    return "client" if provider.type == "anthropic" else "none"


async def ask_clocks(config: Config, env: Mapping[str, str], limit_s: float) -> list[Clock]:
    """Ask the hosts of the enabled providers for their time, without a credential; free.

    Hosts that do not tell it within `limit_s` are left out.
    """
    providers: dict[str, Provider] = {}
    for provider in config.providers:
        if provider.enabled:
            providers.setdefault(provider.base_url or "", provider)
    found = await asyncio.gather(*(_clock(config, env, p, limit_s) for p in providers.values()))
    return [clock for clock in found if clock is not None]


async def _clock(
    config: Config, env: Mapping[str, str], provider: Provider, limit_s: float
) -> Clock | None:
    try:
        async with asyncio.timeout(limit_s):
            asker = _asker(config, env, provider)
            fields = [(b"host", asker.dialect.host()), (b"connection", b"close")]
            before = time.time()
            response = await asker.get(b"/", fields)
            here = (before + time.time()) / 2
    except (TimeoutError, UpstreamFailed, ValueError):
        return None
    told = _date(response.fields)
    if told is None:
        return None
    # A date has whole seconds, cut: on average it is half a second old.
    return Clock(asker.who, told + 0.5 - here)


def _date(fields: Sequence[tuple[bytes, bytes]]) -> float | None:
    values = [value for name, value in fields if name.lower() == b"date"]
    try:
        return email.utils.parsedate_to_datetime(values[0].decode("latin-1")).timestamp()
    except (IndexError, ValueError, OverflowError):
        return None
