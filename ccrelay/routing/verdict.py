"""Classification of failures: cause, whether another target may succeed, cooldowns.

    of_status    an HTTP response with status 400 and above
    of_event     an `error` event in a 200 stream, before any content
    of_loss      a lost connection, or a timeout
    of_connect   a failed connect

The whole policy is here; `relay.exchange` acts on it. Sources: gateway contract, section 6;
providers reference, sections 3, 8, 9 and 10. Bodies are read by the provider's dialect, since an
error code may contradict its status.
"""

import re
from enum import IntEnum

import msgspec
from msgspec.structs import replace

from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Health
from ccrelay.fleet.learned import Get, RetryAfter, clock_of, family_pause, pause
from ccrelay.providers.base import Cause, Dialect, Fault
from ccrelay.providers.quota import seconds_to_midnight, seconds_to_reset


class Blame(IntEnum):
    """Cause of a failure."""

    NONE = 0
    KEY = 1  # the credential: refused, or its limit, quota or balance
    ENDPOINT = 2  # the provider, with any key
    REQUEST = 3  # it would fail at any target
    MODEL = 4  # the provider does not have the model
    SIGNATURE = 5  # thinking blocks whose signature the provider rejects
    CREDENTIAL = 6  # a cloud's, expired or invalid: a fresh one may do, else as KEY


class ErrorPriority(IntEnum):
    """Which of several errors the client receives: the highest; ties: the last.

    Errors that a retry may fix come before others, since Claude Code retries by itself; errors that
    only the operator can fix come last.
    """

    OURS = 0  # one of the relay's keys was refused
    MODEL = 10
    SPENT = 20  # balance or quota of one of the relay's keys
    LOST = 30
    FAILED = 40
    CROWDED = 50  # a 429 without a time
    LONG_CONTEXT = 55  # a 429 about this request's length: goes to the client as it came
    OVERLOADED = 60
    LIMITED = 70  # a 429 with a time
    FINAL = 100  # sent at once: about the request or the client's own credential


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Consequences of a failure."""

    blame: Blame
    elsewhere: bool  # try another target
    reason: str  # one word for the log
    priority: ErrorPriority
    counts: bool | None = None  # for the breaker: True success, False failure, None no evidence
    cooldown_s: float = 0.0  # seconds until the key, or `timed` the model there, is back
    cooldown_reason: Cooldown = Cooldown.NONE  # REFUSED: until a trial, whatever `cooldown_s`
    timed: bool = False  # a 429 that named `cooldown_s`: no failure of the key, if waited for
    per_model: bool = False  # the cooldown is that of the model at this key


# A long context that the account does not include. Claude Code shows the first sentence as it is.
_LONG_CONTEXT = re.compile(
    r"extra usage is required|\blong[ -]context\b|\b1m[ -](?:token[ -])?context\b|context-1m",
    re.IGNORECASE,
)
_OUT_OF_EXTRA_USAGE = re.compile(r"out of extra usage", re.IGNORECASE)
_LONG_CONTEXT_STATUSES = frozenset({400, 403, 429})
# A refusal by where the request comes from: country, region, address, kind of client.
_ELSEWHERE = re.compile(
    r"unsupported[_ ]countr|\b(?:country|countries|region|territor\w+|location|jurisdiction)\b"
    r"|\b(?:geo\w*|vpn|your area|ip)\b|\brequest not allowed\b|\bonly available for\b|\bwhite-?list"
    r"|\bclient\b.{0,30}\bnot (?:allowed|supported|permitted)\b|\buser[ -]agent\b"
    r"|\bauthorized for use with\b|\brestricted to\b.{0,30}\bclients?\b"
    r"|\u5730\u533a|\u56fd\u5bb6|\u533a\u57df",  # area, country, region
    re.IGNORECASE,
)
# A refusal because the provider could not check the key. "Try again" alone is said of wrong keys,
# and a wrong key is "not in the database". In Chinese: later, service unavailable, timeout, service
# error, busy.
_UNCHECKED = re.compile(
    r"\bunavailable\b|\bunreachable\b|\btimed?[ -]?out\b|\btry again (?:later|in)\b|\bagain later\b"
    r"|\btemporar(?:y|ily) (?!suspended|disabled|blocked|locked|banned|(?:\w+ )?(?:key|token)\b)"
    r"|\bretry the request\b|\b(?:internal|server|service) error\b|\boverload"
    r"|\bdeadline exceeded\b"
    r"|(?<!\bin )(?<!\bthe )(?<!\bour )\b(?:database|db|redis)\b|\bmaintenance\b|\bbad gateway\b"
    r"|\b(?:at this time|at the moment|right now)\b|\bupstream\b|\beconn[a-z]+"
    r"|\bconnection (?:refused|reset|error|failed)\b"
    r"|\u7a0d\u540e|(?:\u670d\u52a1.{0,6}|\u6682\u65f6?)\u4e0d\u53ef\u7528|\u8d85\u65f6|\u670d\u52a1\u5f02\u5e38|\u7e41\u5fd9",
    re.IGNORECASE,
)

# How much of a body is searched for texts; error bodies have a few hundred bytes.
SEARCHED_BYTES_MAX = 65_536

# Where a subscription's headers say what is spent, the body names no time of its own.
UNIFIED_STATUS = b"anthropic-ratelimit-unified-status"

# A 400 from Anthropic, or through a gateway, about thinking blocks of another backend or prefix
# (providers reference, section 3.3). Searched in the whole body, as Claude Code does, because
# gateways wrap the sentence; the body must also contain "thinking".
_SIGNATURE = re.compile(
    rb"invalid\W{1,8}(?:signature|data)\W{1,8}in\W{1,8}(?:redacted_)?thinking"
    rb"|bound to a different"
    rb"|thinking\W{1,4}signature\W{1,8}(?:field required|input should be)"
    rb"|blocks in the latest assistant message cannot be modified"
    # The turn must begin with thinking, and another vendor's turn did not.
    rb"|expected\W{1,4}thinking\W{1,4}or\W{1,4}redacted_thinking"
)
# Unknown model: Anthropic and Ollama, OpenRouter, DeepSeek, Kimi, MiniMax, OpenAI.
_NO_MODEL = re.compile(
    r"""\bmodel:?\s+['"`]?[^\s'"`]{1,200}['"`]?,?\s+(?:is\s+|was\s+)?(?:not found|does not exist)"""
    r"|not a valid model id|no endpoints found|model not exist|supported api model names"
    r"|not found the model|unknown model",
    re.IGNORECASE,
)
_MODEL = re.compile(r"\bmodel\b|\u6a21\u578b", re.IGNORECASE)  # also in Chinese
# A 5xx about the model: MiniMax's plans, new-api's groups (also in Chinese: no usable channel).
_NOT_SERVED = re.compile(
    r"\bplan not support model\b|\bno available channels?\b.{0,20}\bmodel\b"
    r"|\u6a21\u578b.{0,200}\u65e0\u53ef\u7528\u6e20\u9053",
    re.IGNORECASE,
)
# A 400 about the key: Anthropic, xAI, Google.
_KEY_IN_400 = re.compile(
    r"(?:this|your) (?:organization|account|workspace) (?:has been|is) "
    r"(?:disabled|suspended|deactivated)"
    r"|(?:incorrect|invalid) api key\b|api key (?:is )?(?:not valid|invalid|expired)",
    re.IGNORECASE,
)
_FLAGGED = re.compile(r"flagged|moderation", re.IGNORECASE)
_MODEL_STATUSES = frozenset({400, 403, 404})
_NO_ROUTE_STATUSES = frozenset({404, 405})
# Frameworks and servers before an API answer these in JSON, too.
_FRAMEWORK_STATUSES = _NO_ROUTE_STATUSES | {413}
_UNKNOWN_PATH = re.compile(
    r"unknown (?:request )?(?:url|path|route|endpoint)|(?:url|path|route|page) not found"
    r"|cannot (?:post|get) /|no (?:such |matching )?route|method not allowed",
    re.IGNORECASE,
)
_NOT_FOUND_TYPES = frozenset({"not_found_error", "resource_not_found_error"})

FINE = Verdict(Blame.NONE, False, "ok", ErrorPriority.FINAL, counts=True)
_REQUEST = Verdict(Blame.REQUEST, False, "bad_request", ErrorPriority.FINAL, counts=True)
_FLAGGED_REQUEST = Verdict(Blame.REQUEST, False, "flagged", ErrorPriority.FINAL, counts=True)
_NO_SUCH_MODEL = Verdict(Blame.MODEL, True, "model_unknown", ErrorPriority.MODEL, counts=True)
# This key has no access; another key of the provider may.
_NO_ACCESS = Verdict(Blame.KEY, True, "model_refused", ErrorPriority.MODEL, counts=True)
_SIGNED_ELSEWHERE = Verdict(
    Blame.SIGNATURE, False, "signature_refused", ErrorPriority.FINAL, counts=True
)
_REFUSED = Verdict(
    Blame.KEY,
    True,
    "key_refused",
    ErrorPriority.OURS,
    counts=True,
    cooldown_reason=Cooldown.REFUSED,
)
# Unless a refresh helps, it is disabled until a trial as a refused key: a role may be restored.
_EXPIRED = replace(_REFUSED, blame=Blame.CREDENTIAL, reason="credential_expired")
_CLIENT_REFUSED = Verdict(Blame.REQUEST, False, "client_refused", ErrorPriority.FINAL, counts=True)
_CROWDED = Verdict(Blame.REQUEST, True, "too_many_requests", ErrorPriority.CROWDED)
# A 403 that is not from the provider's API but from a firewall before it, about the content or the
# client address. A working key must not be disabled for that.
_BLOCKED = Verdict(Blame.ENDPOINT, True, "blocked", ErrorPriority.FAILED)
_FOREIGN_PLACE = Verdict(Blame.ENDPOINT, True, "place_refused", ErrorPriority.FAILED)
_NOT_CHECKED = Verdict(Blame.ENDPOINT, True, "auth_unavailable", ErrorPriority.FAILED, counts=False)
_TOO_LONG = Verdict(Blame.REQUEST, True, "long_context", ErrorPriority.LONG_CONTEXT, counts=True)
# No key of this provider changes what it takes; another provider may take more.
_TOO_LARGE = Verdict(Blame.MODEL, True, "too_large", ErrorPriority.LONG_CONTEXT, counts=True)
# The path is not served: the base URL is wrong, or something else answers at it.
_NO_ROUTE = Verdict(Blame.ENDPOINT, True, "no_route", ErrorPriority.FAILED, counts=False)
_FAILED = Verdict(Blame.ENDPOINT, True, "server_error", ErrorPriority.FAILED, counts=False)
# Where a dialect has read what an error is about.
_BY_CAUSE: dict[Cause, Verdict] = {
    "key": _REFUSED,
    "access": _NO_ACCESS,
    "model": _NO_SUCH_MODEL,
    "place": _FOREIGN_PLACE,
    "size": _TOO_LARGE,
    "flagged": _FLAGGED_REQUEST,
}
_BY_STATUS = {
    408: Verdict(Blame.ENDPOINT, True, "timed_out", ErrorPriority.FAILED, counts=False),
    409: Verdict(Blame.ENDPOINT, True, "conflict", ErrorPriority.FAILED),
    504: Verdict(Blame.ENDPOINT, True, "timed_out", ErrorPriority.FAILED, counts=False),
    529: Verdict(Blame.ENDPOINT, True, "overloaded", ErrorPriority.OVERLOADED, counts=False),
}
# A status below 400 without an answer: a page, text, an error in disguise, a redirect.
NO_ANSWER = Verdict(Blame.ENDPOINT, True, "no_answer", ErrorPriority.FAILED, counts=False)
# The provider was not asked: it lacks what the request needs (`errors.CannotServe`).
CANNOT_SERVE = Verdict(Blame.MODEL, True, "cannot_serve", ErrorPriority.MODEL)
# The provider was not asked: there is no credential for it. A new one ends the cooldown.
NO_CREDENTIAL = Verdict(
    Blame.KEY,
    True,
    "no_credential",
    ErrorPriority.OURS,
    cooldown_s=30.0,
    cooldown_reason=Cooldown.NO_CREDENTIAL,
)
NOT_ASKED = (CANNOT_SERVE, NO_CREDENTIAL)
_UNREACHABLE = Verdict(Blame.ENDPOINT, True, "unreachable", ErrorPriority.LOST, counts=False)
_LOSSES = {
    int(loss): Verdict(Blame.ENDPOINT, elsewhere, loss.name.lower(), ErrorPriority.LOST, counts)
    for loss, elsewhere, counts in (
        (Loss.CLOSED, True, False),
        (Loss.RESET, True, False),
        (Loss.GARBAGE, True, False),
        (Loss.NO_FIRST_BYTE, True, False),
        (Loss.IDLE, True, False),
        (Loss.TOTAL, False, None),  # the cause of the delay is unknown
        (Loss.TOO_BIG, True, None),  # an unread error: no evidence
    )
}


def of_status(
    status: int,
    get: Get,
    body: bytes,
    dialect: Dialect,
    health: Health,
    now_wall: float,
    *,
    own_key: bool,
) -> Verdict:
    """Classify an HTTP response.

    Args:
        status: of the response.
        get: returns a header of the response.
        body: of the response; may be empty.
        dialect: of the provider.
        health: bounds of cooldowns.
        now_wall: seconds since 1970.
        own_key: False: the client's own credential was sent. There is no cooldown then: the next
            request may carry another one.
    """
    if status < 400:
        return FINE
    return _judge(
        dialect.read_error(status, body, get), get, body, health, now_wall, own_key=own_key
    )


def of_event(
    data: bytes, get: Get, dialect: Dialect, health: Health, now_wall: float, *, own_key: bool
) -> Verdict:
    """Classify an `error` event before any content. `get` returns a header of the 200."""
    return _judge(dialect.read_error(200, data, get), get, data, health, now_wall, own_key=own_key)


def as_http(data: bytes, dialect: Dialect) -> tuple[int, bytes]:
    """An `error` event as an HTTP error: status, and its data unchanged.

    If the dialect translates errors, the caller passes the pair through `translate_error`.
    """
    return dialect.read_error(200, data).status, data


def of_loss(loss: int) -> Verdict:
    """Classify the loss of an upstream before its response began. `loss`: a `Loss`."""
    return _LOSSES[loss]


def of_connect() -> Verdict:
    """Classify a failed connect."""
    return _UNREACHABLE


def _judge(
    fault: Fault, get: Get, body: bytes, health: Health, now_wall: float, *, own_key: bool
) -> Verdict:
    status = fault.status
    now_wall = clock_of(get, now_wall)
    if status == 400 and _is_about_signatures(body):
        return _SIGNED_ELSEWHERE
    if _is_about_long_context(fault, get, now_wall):
        return _TOO_LONG
    if _is_spent(fault, get) or status == 429:
        judge = _spent if _is_spent(fault, get) else _limited
        verdict = judge(fault, get, body, health, now_wall, own_key=own_key)
        return replace(verdict, per_model=True) if fault.per_model else verdict
    if fault.cause:
        return _by_cause(fault)
    if status in _MODEL_STATUSES and _lacks_model(fault):
        return _NO_SUCH_MODEL
    if _may_not_use(fault):
        return _NO_ACCESS
    if status in (401, 403) or (status == 400 and _KEY_IN_400.match(fault.message)):
        return _refused(fault, body, own_key=own_key)
    if status >= 500:
        return _BY_STATUS.get(status, _FAILED)
    if status not in _BY_STATUS and not _is_api_error(fault):
        return _NO_ROUTE if status in _NO_ROUTE_STATUSES else _BLOCKED
    return _BY_STATUS.get(status, _REQUEST)


def _by_cause(fault: Fault) -> Verdict:
    if fault.cause == "credential":
        return _NOT_CHECKED if _UNCHECKED.search(fault.message) else _EXPIRED
    return _BY_CAUSE[fault.cause]


def _is_api_error(fault: Fault) -> bool:
    """Whether a 4xx comes from the provider's API, not from a server or framework before it."""
    if not fault.type:
        return False  # a page, text, nothing, `{"detail":...}`
    if fault.status not in _FRAMEWORK_STATUSES:
        return True
    # A 404 of the API names its type, as no framework does but by a URI (RFC 9457); a few name one
    # for unknown paths.
    is_named = fault.type != "error" and ":" not in fault.type
    return is_named and _UNKNOWN_PATH.search(fault.message) is None


def _is_about_signatures(body: bytes) -> bool:
    text = body[:SEARCHED_BYTES_MAX].lower()
    return b"thinking" in text and _SIGNATURE.search(text) is not None


def _is_about_long_context(fault: Fault, get: Get, now_wall: float) -> bool:
    if fault.status not in _LONG_CONTEXT_STATUSES:
        return False
    if _LONG_CONTEXT.search(fault.message):
        return True
    # Said of long contexts, and of a subscription's spent window, whose headers say so.
    return _OUT_OF_EXTRA_USAGE.search(fault.message) is not None and pause(get, now_wall) is None


def _is_spent(fault: Fault, get: Get) -> bool:
    # `x-should-retry: false` on a 429 is a spend limit, of gateways and of Anthropic (gateway
    # contract, section 9).
    return fault.spent or (fault.status == 429 and get(b"x-should-retry") == b"false")


def _spent(
    fault: Fault, get: Get, body: bytes, health: Health, now_wall: float, *, own_key: bool
) -> Verdict:
    if not own_key:
        return Verdict(Blame.KEY, True, "quota_spent", ErrorPriority.SPENT, counts=True)
    cooldown_s = fault.resets_at - now_wall
    if fault.day:
        cooldown_s = seconds_to_midnight(fault.day, now_wall)
    elif not fault.resets_at:
        cooldown_s = seconds_to_reset(body[:SEARCHED_BYTES_MAX], fault.message, now_wall)
    if cooldown_s <= 0:
        told = pause(get, now_wall)
        cooldown_s = told.seconds if told is not None else 0.0
    # A balance is not filled up by waiting, whatever time comes with it.
    timed = fault.status == 429 and 0.0 < cooldown_s <= health.key_cooldown_max_s
    cooldown_s = (
        min(cooldown_s, health.key_cooldown_max_s) if cooldown_s > 0 else health.quota_cooldown_s
    )
    return Verdict(
        Blame.KEY,
        True,
        "quota_spent",
        ErrorPriority.SPENT,
        counts=True,
        cooldown_s=cooldown_s,
        cooldown_reason=Cooldown.QUOTA,
        timed=timed,
    )


def _limited(
    fault: Fault, get: Get, body: bytes, health: Health, now_wall: float, *, own_key: bool
) -> Verdict:
    told = pause(get, now_wall)
    if told is None and get(UNIFIED_STATUS) is None:
        seconds = seconds_to_reset(body[:SEARCHED_BYTES_MAX], fault.message, now_wall)
        told = RetryAfter(seconds, quota=False) if seconds > 0 else None
    if told is None:
        seconds = family_pause(get, now_wall) if own_key else 0.0
        if 0.0 < seconds <= health.key_cooldown_max_s:
            return replace(_CROWDED, cooldown_s=seconds, timed=True)  # of the model, not the key
        return _CROWDED
    return Verdict(
        Blame.KEY,
        True,
        "rate_limited",
        ErrorPriority.LIMITED,
        counts=None,
        cooldown_s=min(told.seconds, health.key_cooldown_max_s) if own_key else 0.0,
        cooldown_reason=(Cooldown.QUOTA if told.quota else Cooldown.RATE)
        if own_key
        else Cooldown.NONE,
        timed=own_key and told.seconds <= health.key_cooldown_max_s,
    )


def _lacks_model(fault: Fault) -> bool:
    if fault.code == "model_not_found" or _NO_MODEL.search(fault.message):
        return True
    return (
        fault.status == 404
        and fault.type in _NOT_FOUND_TYPES
        and _MODEL.search(fault.message) is not None
    )


def _may_not_use(fault: Fault) -> bool:
    """Whether an error says that the model is not for this key: another one may use it.

    Moderation errors also name the model.
    """
    if fault.status >= 500:
        return fault.code == "model_not_found" or _NOT_SERVED.search(fault.message) is not None
    if fault.status != 403 and not (fault.status == 404 and _is_api_error(fault)):
        return False
    return _MODEL.search(fault.message) is not None and not _FLAGGED.search(fault.message)


def _refused(fault: Fault, body: bytes, *, own_key: bool) -> Verdict:
    if not own_key:
        return _CLIENT_REFUSED
    is_page = not fault.type and (fault.status == 403 or body.lstrip()[:1] == b"<")
    if is_page and _UNCHECKED.search(fault.message) is None:
        return _BLOCKED
    if fault.status == 403 and _FLAGGED.search(fault.message):
        return _FLAGGED_REQUEST
    told = f"{fault.code} {fault.message}"
    if _ELSEWHERE.search(told):
        return _FOREIGN_PLACE
    if _UNCHECKED.search(told):
        return _NOT_CHECKED
    return _REFUSED
