"""Asks a provider, before anything is written: whether it takes the key, and which models it has.

What costs nothing comes first: the list of models. Some services show theirs without a key, so a
list proves a key only where the same request without one is refused. A message of one token is sent
only where a model is named.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ccrelay._fast.usage import Usage
from ccrelay.config.load import load_text
from ccrelay.config.model import Provider
from ccrelay.config.problems import ConfigError, path_text
from ccrelay.config.starter_clouds import find_clouds
from ccrelay.errors import BadRequest, UpstreamFailed
from ccrelay.first_run.choice import Choice, SetupProblem, at_ollama, check_key, settled
from ccrelay.first_run.machine import machine_of
from ccrelay.first_run.text import config_text
from ccrelay.ledger.pricing import cost_micros, price_at
from ccrelay.money import dollars
from ccrelay.probing import verdict as verdicts
from ccrelay.probing.asker import MESSAGE_LIMIT_S, Asker
from ccrelay.probing.verdict import (
    MODEL_CHARACTERS_MAX,
    MODELS_MAX,
    NOT_SERVED,
    REFUSED,
    Verdict,
    failed,
    judged,
    model_ids,
    strange,
    unreached,
)
from ccrelay.providers.probe import countable_model, probe_model

PROBE_INPUT_TOKENS = 10
LIST_LIMIT_S = 10.0
CONNECT_S = 5.0
STAND_IN = "CCRELAY_FIRST_RUN_KEY"  # the variable that the key has while it is checked


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a check.

    Args:
        ok: whether the key was accepted; where there is none, whether the provider answers.
        message: one sentence: what came, and what to do where that is bad.
        status: of HTTP; 0: there was none.
        latency_ms: until the last answer.
        models: that it lists.
        cost_micros: of the message, millionths of a dollar.
        is_unproven: nothing was refused, and nothing proves the key: a message would.
    """

    ok: bool
    message: str
    status: int = 0
    latency_ms: float = 0.0
    models: tuple[str, ...] = ()
    cost_micros: int = 0
    is_unproven: bool = False

    @property
    def is_of_the_key(self) -> bool:
        """Whether another key may help."""
        return self.status in REFUSED

    @property
    def has_all_models(self) -> bool:
        """Whether what is not among `models` is not there; they may be unknown, or too many."""
        return 0 < len(self.models) < MODELS_MAX


def is_billed(choice: Choice) -> bool:
    """Whether a message of this provider is charged."""
    return verdicts.is_billed(choice.type, choice.settings.get("billing"))


def price_of_check(choice: Choice, model: str, env: Mapping[str, str]) -> str:
    """What one token of a model costs, as a sentence. Raises SetupProblem."""
    if not is_billed(choice):
        return "It is free of charge."
    [one] = settled([choice])
    price = price_at(provider_of(one, "price-of-a-check", env), model)
    if price is None:
        return "It is billed; its price is not known here."
    micros = cost_micros(price, Usage(input=PROBE_INPUT_TOKENS, output=1))
    return f"It is billed: {dollars(micros)}."


async def check(choice: Choice, env: Mapping[str, str], *, model: str = "") -> Checked:
    """Ask a provider.

    Args:
        choice: what would be set up.
        env: for `variable`, proxies, regions of clouds.
        model: ask for one token of it, which is billed; empty: nothing that is.

    Raises:
        SetupProblem: it could not be set up like this.
    """
    if len(model) > MODEL_CHARACTERS_MAX or not model.isprintable():
        raise SetupProblem(f"A model has 1 to {MODEL_CHARACTERS_MAX} printable characters.")
    [one] = settled([choice])
    secret = one.key or env.get(one.variable, "")
    if one.variable and not secret:
        return Checked(ok=False, message=f"The variable {one.variable} is not set or empty here.")
    if secret:
        check_key(secret)
    provider = await asyncio.to_thread(provider_of, one, secret, env)
    try:
        asker = Asker(provider, secret or None, env, connect_s=CONNECT_S)
    except ValueError as error:
        raise SetupProblem(f"{error}.") from None
    began_at = asker.loop.time()
    limit_s = LIST_LIMIT_S + (MESSAGE_LIMIT_S if model else LIST_LIMIT_S)
    try:
        async with asyncio.timeout(limit_s):
            checked = await _Check(asker).run(model)
    except TimeoutError:
        checked = Checked(
            ok=False,
            message=f"{asker.who} does not answer in time: check the base URL, the network and "
            "a proxy between.",
        )
    except (UpstreamFailed, BadRequest, ValueError) as error:
        checked = Checked(ok=False, message=unreached(error))
    finally:
        await asker.close()
    took_ms = round((asker.loop.time() - began_at) * 1000, 1)
    return msgspec.structs.replace(checked, latency_ms=checked.latency_ms or took_ms)


def provider_of(choice: Choice, secret: str, env: Mapping[str, str]) -> Provider:
    """The provider as the configuration would have it, resolved, with the key itself.

    Raises:
        SetupProblem: it is not valid.
    """
    references = {choice.name: f"${{{STAND_IN}}}"} if secret else {}
    text = config_text([at_ollama(choice, env)], references, find_clouds(machine_of(env)))
    here = {**env, STAND_IN: secret}
    try:
        return load_text(text.encode(), Path("config.yaml"), env=here).config.providers[0]
    except ConfigError as error:
        raise SetupProblem(f"{problem_text(error)}.") from None


def problem_text(error: ConfigError) -> str:
    """The first mistake, as a sentence; its place in a text that is not there would not help."""
    first = next(one for one in error.problems if one.severity == "error")
    place = path_text(first.path)
    where = place.partition("].")[2]
    return f"{where}: {first.message}" if where else first.message


class _Check:
    """What is asked of one provider, the free first."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._who = asker.who
        self._dialect = asker.dialect
        self._key = asker.key

    async def run(self, model: str) -> Checked:
        """See `check`. Raises UpstreamFailed, BadRequest, ValueError and TimeoutError."""
        provider = self._asker.provider
        if self._dialect.passes_client_credential:
            return await self._connect("Claude Code's login passes through, and is not known here")
        if self._key is None and provider.keys:
            return await self._connect("the relay obtains its credential when it starts")
        listed = await (self._counted() if self._dialect.bridges else self._listed())
        # Elsewhere a list may be refused to a key that answers messages.
        is_final = listed.status in REFUSED and provider.type == "anthropic"
        if not model or is_final:
            return listed
        return await self._answered(model, listed.models)

    async def _connect(self, remark: str) -> Checked:
        await self._asker.connect()
        return Checked(ok=True, message=f"{self._who} can be reached; {remark}.")

    async def _listed(self) -> Checked:
        async with asyncio.timeout(LIST_LIMIT_S):
            response = await self._asker.list_models(self._key)
            status = response.status
            if status in NOT_SERVED:
                return await self._counted()
            if not 200 <= status < 300:
                asked = self._asker.asked("models")
                return _checked(failed(asked, status, response.body))
            models = model_ids(response.body)
            if models is None:
                return _checked(strange(self._who, status))
            count = f"{len(models)} model{'' if len(models) == 1 else 's'}"
            if len(models) == MODELS_MAX:
                count = f"{MODELS_MAX} models or more"
            if self._key is not None and not await self._is_private():
                return msgspec.structs.replace(await self._counted(), models=models)
        how = "answers" if self._key is None else "accepts the key"
        text = f"{self._who} {how}, and has {count}."
        return Checked(ok=True, status=status, message=text, models=models)

    async def _is_private(self) -> bool:
        """Whether the list is refused without a key."""
        return (await self._asker.list_models(None)).status in REFUSED

    async def _counted(self) -> Checked:
        """Count tokens, which is free; where that cannot be asked, nothing is proven."""
        dialect = self._dialect
        model = countable_model(dialect)
        if self._key is None or model is None or dialect.counts_tokens == "estimate":
            return self._unproven()
        response = await self._asker.probe("count_tokens", model)
        if response.status in NOT_SERVED:
            return self._unproven()
        return _checked(judged(self._asker.asked("count_tokens"), response.status, response.body))

    def _unproven(self) -> Checked:
        return Checked(
            ok=False,
            is_unproven=True,
            message=f"{self._who} answers; whether it accepts the key shows only a request for one "
            "token of a model.",
        )

    async def _answered(self, model: str, models: tuple[str, ...]) -> Checked:
        loop = self._asker.loop
        began_at = loop.time()
        sent = probe_model(self._dialect, model) or model  # as the provider knows it
        response = await self._asker.probe("message", sent)
        took_ms = round((loop.time() - began_at) * 1000, 1)
        verdict = judged(self._asker.asked("message", sent), response.status, response.body)
        return msgspec.structs.replace(_checked(verdict), latency_ms=took_ms, models=models)


def _checked(verdict: Verdict) -> Checked:
    """A key that is limited now is a good one: it can be set up."""
    return Checked(
        ok=verdict.ok or verdict.status == 429,
        status=verdict.status,
        message=verdict.message,
        cost_micros=verdict.cost_micros,
    )
