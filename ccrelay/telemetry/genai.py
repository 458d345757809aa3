"""Names and values of the GenAI semantic conventions, for records of exchanges.

The names are written out: the package of the conventions is versioned as a beta, and a name that
moves must not change what dashboards ask for. A test compares them with the installed package.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from ccrelay.config.model import Config, Provider
from ccrelay.ledger.record import Record, Result, Try, Why
from ccrelay.telemetry.labels import verdict_of_only
from ccrelay.types import RequestClass

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
REQUEST_STREAM = "gen_ai.request.stream"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
THINKING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
CONVERSATION = "gen_ai.conversation.id"
AGENT = "gen_ai.agent.id"
TOKEN_TYPE = "gen_ai.token.type"

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
URL_PATH = "url.path"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

OPERATION_DURATION = "gen_ai.client.operation.duration"
OPERATION_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE = "gen_ai.client.token.usage"

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]

# `gen_ai.provider.name` of presets that have one in the conventions, or a usual one.
_KNOWN = {"deepseek": "deepseek", "kimi": "moonshot", "zai": "z_ai"}
_PATHS = {
    RequestClass.MESSAGES: ("POST", "/v1/messages", "chat"),
    RequestClass.COUNT_TOKENS: ("POST", "/v1/messages/count_tokens", "count_tokens"),
    RequestClass.MODELS: ("GET", "/v1/models", ""),
}
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,60}\Z")
OTHER = "_OTHER"  # of `error.type`, as the conventions have it
_TEXT_MAX = 256  # characters of a value that comes from a client or a provider
_PORTS = {"http": 80, "https": 443}
# Verdicts that blame neither side.
ANSWERED = frozenset({"answered", "client_left"})
_UNSPECIFIC = frozenset({"passed_on", "lost"})  # the status says more, where there is one


class Target(msgspec.Struct, frozen=True):
    """How a provider is named in traces."""

    name: str
    address: str
    port: int


def targets(config: Config) -> dict[str, Target]:
    """Return the providers of a configuration by their names."""
    return {provider.name: _target(provider) for provider in config.providers}


def _target(provider: Provider) -> Target:
    if provider.type == "anthropic":
        name = "anthropic"
    elif provider.preset is not None:
        name = _KNOWN.get(provider.preset, provider.preset)
    elif provider.type == "compatible":
        name = provider.name
    else:
        name = _KNOWN.get(provider.type, provider.type)
    try:
        url = urlsplit(provider.base_url or "")
        port = url.port or _PORTS.get(url.scheme, 0)
    except ValueError:
        return Target(name, "", 0)
    return Target(name, url.hostname or "", port)


def http(record: Record) -> tuple[str, str]:
    """Return method and path; empty where the record does not tell them."""
    method, path, _ = _PATHS.get(_kind(record), ("", "", ""))
    return method, path


def operation(record: Record) -> str:
    """Return the operation; empty: no model was asked."""
    return _PATHS.get(_kind(record), ("", "", ""))[2]


def _kind(record: Record) -> RequestClass:
    try:
        return RequestClass(record.kind)
    except ValueError:  # of a newer worker
        return RequestClass.UNKNOWN


def exchange_attributes(record: Record) -> Attributes:
    """Return the attributes of an exchange's span. Usage is told by the attempt that answered:
    told twice it would be counted twice.
    """
    method, path = http(record)
    found: Attributes = {
        HTTP_METHOD: method or OTHER,
        URL_PATH: path,
        HTTP_STATUS: record.status,
        OPERATION: operation(record),
        REQUEST_MODEL: _short(record.model),
        RESPONSE_MODEL: _short(record.sent) if record.status == 200 else "",
        CONVERSATION: _short(record.session),
        AGENT: _short(record.agent),
        "ccrelay.exchange.id": record.id,
        "ccrelay.outcome": _name(Result, record.result),
        "ccrelay.why": _name(Why, record.why) if record.why else "",
        "ccrelay.attempts": record.attempts,
        "ccrelay.provider": record.provider,
        "ccrelay.key": record.key_name or record.key,
        "ccrelay.rule": record.rule,
        "ccrelay.project": _short(record.project),
        "ccrelay.queued_ms": record.queued_us // 1000,
        "ccrelay.own_us": record.own_us,
    }
    if record.cost_micros >= 0 and record.has_usage:
        found["ccrelay.cost_micros"] = record.cost_micros
    if is_failed(record):
        found[ERROR_TYPE] = error_type(record.error, record.status)
    # Zeros and empty texts say "not known" in records; in a trace, absence says it.
    kept = {"ccrelay.cost_micros"}
    return {name: value for name, value in found.items() if value or name in kept}


def is_failed(record: Record) -> bool:
    """Whether the exchange is an error of the relay or of its providers."""
    return record.result == Result.LOST or record.status >= 500


def attempt_attributes(
    record: Record, attempt: Try, known: Mapping[str, Target], *, is_last: bool
) -> Attributes:
    """Return the attributes of an attempt's span."""
    target = known.get(attempt.provider, Target(attempt.provider, "", 0))
    found: Attributes = {
        OPERATION: operation(record),
        PROVIDER: target.name,
        REQUEST_MODEL: _short(attempt.sent),
        HTTP_STATUS: attempt.status,
        SERVER_ADDRESS: target.address,
        SERVER_PORT: target.port,
        "ccrelay.provider": attempt.provider,
        "ccrelay.key": attempt.key_name or attempt.key,
        "ccrelay.verdict": attempt.verdict,
    }
    if attempt.verdict not in ANSWERED:
        found[ERROR_TYPE] = attempt_error(attempt)
    if is_last:
        found |= _answer(record, attempt)
    return {name: value for name, value in found.items() if value}


def _answer(record: Record, attempt: Try) -> Attributes:
    found: Attributes = {REQUEST_STREAM: record.stream}
    if attempt.status == 200:
        found[RESPONSE_MODEL] = _short(record.sent)
    if record.first_event_us > attempt.started_us:
        found[TIME_TO_FIRST_CHUNK] = (record.first_event_us - attempt.started_us) / 1e6
    if record.stop_reason:
        found[FINISH_REASONS] = (_short(record.stop_reason),)
    if record.has_usage:
        found |= {
            INPUT_TOKENS: input_tokens(record),
            OUTPUT_TOKENS: record.output,
            CACHE_READ_TOKENS: record.cache_read,
            CACHE_WRITE_TOKENS: record.cache_write_5m + record.cache_write_1h,
            THINKING_TOKENS: record.thinking,
        }
    return found


def input_tokens(record: Record) -> int:
    """Return all input: the conventions count what the cache gave and took as input, too."""
    return record.input + record.cache_read + record.cache_write_5m + record.cache_write_1h


def attempts(record: Record) -> list[Try]:
    """Return the attempts; the only one, which a record does not list, is made of the record."""
    if record.tries or not record.attempts:
        return record.tries
    only = Try(
        provider=record.provider,
        key=record.key,
        key_name=record.key_name,
        sent=record.sent,
        started_us=min(record.queued_us, record.duration_us),
        ended_us=record.duration_us,
        status=record.status,
        verdict=verdict_of_only(record),
        error=record.error,
    )
    return [only]


def attempt_error(attempt: Try) -> str:
    """Return why an attempt failed, as one of few values."""
    if attempt.verdict in _UNSPECIFIC and attempt.status >= 400:
        return str(attempt.status)
    return error_type(attempt.verdict, attempt.status)


def error_type(word: str, status: int) -> str:
    """Return one of few values: a word, else the status."""
    if word and _WORD.match(word):
        return word
    return str(status) if status >= 400 else OTHER


def _short(text: str) -> str:
    return text[:_TEXT_MAX]


def _name(kind: type[Result] | type[Why], number: int) -> str:
    try:
        return kind(number).name.lower()
    except ValueError:  # of a newer worker
        return str(number)
