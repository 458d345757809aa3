"""What an answer of a provider means, in words. Pure; no sentence holds a secret."""

import itertools
from typing import Any, Literal, NamedTuple, TypeGuard

import msgspec

from ccrelay._fast.usage import usage_of_json
from ccrelay.config.model import Provider
from ccrelay.config.secret_shapes import without_secrets
from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.ledger.prices import UNBILLED
from ccrelay.ledger.pricing import cost_micros, price_at
from ccrelay.printable import printable
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import ProbeRequest
from ccrelay.types import RequestClass

SAID_CHARACTERS_MAX = 200
MODELS_MAX = 500
MODEL_CHARACTERS_MAX = 256
REFUSED = frozenset({401, 403})
NOT_SERVED = frozenset({404, 405, 501})  # it has no such path, or no such model
_UNREACHED = "Check the base URL (host, port, http or https), the network and a proxy between."
_MEANINGS = {
    400: "rejects the request",
    401: "refuses the key: look whether it was copied whole and is one of this service, or "
    "replace it",
    402: "accepts the key, and says that its balance or quota is spent",
    403: "refuses the key, or this use of it: look at its permissions, or replace it",
    404: "knows neither the model nor the path: check the base URL and the model's name",
    408: "has waited too long for the request: try again",
    413: "finds the request too large",
    429: "accepts the key, and limits it now: try again later",
    529: "is overloaded: try again later",
}


Question = ProbeRequest | Literal["models"]


class Asked(NamedTuple):
    """A probe that was sent.

    Args:
        dialect: of the provider.
        who: what sentences call the provider: its name, or its host.
        kind: of the request; `models`: the list of them.
        model: that was named.
        key: that went with it; None: none did.
    """

    dialect: Dialect
    who: str
    kind: Question
    model: str
    key: str | None


class Verdict(msgspec.Struct, frozen=True):
    """What an answer means.

    Args:
        ok: whether it is what was asked for.
        message: one or two sentences: what came, and what to do where that is bad.
        status: of HTTP.
        cost_micros: of a message, millionths of a dollar.
    """

    ok: bool
    message: str
    status: int
    cost_micros: int = 0


class _Answer(msgspec.Struct):
    type: str = ""
    input_tokens: int | None = None
    usage: msgspec.Raw = msgspec.Raw(b"")


_ANSWER = msgspec.json.Decoder(_Answer)


def judged(asked: Asked, status: int, body: bytes) -> Verdict:
    """What the answer to a probe means."""
    dialect, who, kind, model, key = asked
    if not 200 <= status < 300:
        return failed(asked, status, body)
    found = _decoded(dialect, kind, body)
    if kind == "count_tokens" and found.input_tokens is not None:
        began = "accepts the key, and counted" if key is not None else "counted"
        return Verdict(True, f"{who} {began} {found.input_tokens} tokens.", status)
    if kind == "message" and found.type == "message":
        cost = _cost(dialect.provider, model, bytes(found.usage))
        return Verdict(True, f"{who} answered with {model}.", status, cost)
    if found.type == "error":
        text = f"{who} answers with an error in spite of status {status}."
        return Verdict(False, text + _quoted(asked, status, body), status)
    return strange(who, status)


def is_answer(dialect: Dialect, kind: ProbeRequest, body: bytes) -> bool:
    """Whether a body with status 200 is what was asked for.

    A page of a login to a network, or of another service, has that status, too.
    """
    found = _decoded(dialect, kind, body)
    return found.input_tokens is not None if kind == "count_tokens" else found.type == "message"


def failed(asked: Asked, status: int, body: bytes) -> Verdict:
    """What a status other than of success means."""
    if asked.kind == "count_tokens" and status in NOT_SERVED:
        meaning = "knows neither count_tokens nor the model: only a message shows whether it works"
    elif 300 <= status < 400:
        meaning = "redirects: set the base URL to where it leads"
    elif status >= 500 and status not in _MEANINGS:
        meaning = "fails: try again later"
    else:
        meaning = _MEANINGS.get(status, "does not answer the request")
    text = f"{asked.who} {meaning} (status {status}).{_quoted(asked, status, body)}"
    return Verdict(False, text, status)


def strange(who: str, status: int) -> Verdict:
    """A status of success, and a body of something else."""
    text = (
        f"What {who} answers is not of this API, in spite of status {status}: check the base URL, "
        "and whether a login page of the network answers instead."
    )
    return Verdict(False, text, status)


def unreached(error: Exception) -> str:
    """Why there was no answer, and what to look at."""
    text = error.message if isinstance(error, RelayError) else str(error)
    line = f"{one_line(text).rstrip('.')}."
    line = line[:1].upper() + line[1:]  # some are clauses
    return f"{line} {_UNREACHED}" if isinstance(error, UpstreamFailed) else line


def said(dialect: Dialect, key: str | None, status: int, body: bytes) -> str:
    """The provider's own words, without the key that it was sent and other secrets."""
    text = dialect.read_error(status, body).message
    if key:  # of any shape: a gateway of one's own may have a plain word
        text = text.replace(key, "...")
    return one_line(text)


def one_line(text: str) -> str:
    """A text of a stranger as one short line, without secrets."""
    line = " ".join(printable(without_secrets(text)).split())
    return f"{line[:SAID_CHARACTERS_MAX]}..." if len(line) > SAID_CHARACTERS_MAX else line


def is_billed(type_: str, billing: str | None) -> bool:
    """Whether a message is charged, by type and `billing` of a provider."""
    return billing == "tokens" or (billing != "plan" and type_ not in UNBILLED)


def model_ids(body: bytes) -> tuple[str, ...] | None:
    """The ids of a list of models, Anthropic's or OpenAI's, at most MODELS_MAX; None: no list."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    rows = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return None
    ids = (row.get("id") for row in rows if isinstance(row, dict))
    return tuple(itertools.islice((one for one in ids if _is_id(one)), MODELS_MAX))


def _is_id(one: object) -> TypeGuard[str]:
    return isinstance(one, str) and 0 < len(one) <= MODEL_CHARACTERS_MAX and one.isprintable()


def _decoded(dialect: Dialect, kind: Question, body: bytes) -> _Answer:
    try:
        if kind == "count_tokens":
            body = dialect.translate_answer(RequestClass.COUNT_TOKENS, body) or body
        return _ANSWER.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Answer()


def _quoted(asked: Asked, status: int, body: bytes) -> str:
    line = said(asked.dialect, asked.key, status, body)
    return f' It says: "{line}"' if line else ""


def _cost(provider: Provider, model: str, raw: bytes) -> int:
    """What it costs; 0 where it is not charged, or no price is known."""
    price = price_at(provider, model)
    usage = usage_of_json(raw) if raw else None
    if price is None or usage is None or not is_billed(provider.type, provider.billing):
        return 0
    return cost_micros(price, usage)
