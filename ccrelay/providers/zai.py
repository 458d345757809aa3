"""Z.AI and BigModel: GLM models behind an Anthropic-shaped endpoint with its own error codes.

Source of the tables: providers reference, section 9, and the vendor's list of codes
(docs.bigmodel.cn, api-code). An error's `code` decides, not its HTTP status: an exhausted balance
and a short burst are both 429 there. Unlisted codes follow the status.
"""

import re
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import ClassVar

import msgspec
from msgspec import Raw

from ccrelay.providers.base import Dialect, Fault, Get, no_head, read_fault
from ccrelay.wire.bodies import UNREADABLE, Members, read_members, read_type, write
from ccrelay.wire.errors import error_body, error_type

# GLM-5.3 always thinks and rejects `disabled`; its minimum is effort `low`.
ALWAYS_THINKING = ("glm-5.3*",)
ADAPTIVE = Raw(b'{"type":"adaptive"}')
LOW = Raw(b'"low"')

# "Your limit will reset at 2026-09-09 05:38:28", and the same in Chinese. By user reports this is
# Beijing time in both languages; the message does not say so.
_RESET = re.compile(r"(?:reset at|\u5c06\u5728)\s*(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")
_BEIJING = timezone(timedelta(hours=8))
# "[1302][High concurrency ...]": how an `error` event carries its code.
_BRACKETED = re.compile(r"\[(\d{3,6})\]")


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """A Z.AI code in Anthropic's terms."""

    status: int
    type: str
    retry: bool  # False: a retry within minutes cannot succeed


_AUTH = Meaning(401, "authentication_error", retry=False)
_PERMISSION = Meaning(403, "permission_error", retry=False)
_BALANCE = Meaning(402, "billing_error", retry=False)
_INVALID = Meaning(400, "invalid_request_error", retry=False)
_UNKNOWN = Meaning(404, "not_found_error", retry=False)
_BURST = Meaning(429, "rate_limit_error", retry=True)
_QUOTA = Meaning(429, "rate_limit_error", retry=False)
_OVERLOADED = Meaning(529, "overloaded_error", retry=True)
_SERVER = Meaning(500, "api_error", retry=True)

MEANING_BY_CODE: dict[int, Meaning] = {
    500: _SERVER,
    1000: _AUTH,
    1001: _AUTH,
    1002: _AUTH,
    1003: _AUTH,
    1004: _AUTH,
    1110: _PERMISSION,  # account locked
    1111: _PERMISSION,
    1112: _PERMISSION,
    1113: _BALANCE,  # insufficient balance, sent as 429
    1120: _SERVER,
    1121: _PERMISSION,  # account locked for a violation
    1210: _INVALID,  # parameters
    1211: _UNKNOWN,  # model
    1213: _INVALID,
    1214: _INVALID,
    1215: _INVALID,
    1220: _PERMISSION,
    1221: _UNKNOWN,  # API withdrawn
    1222: _UNKNOWN,  # API
    1230: _SERVER,
    1234: _SERVER,
    1261: _INVALID,  # prompt too long
    1301: _INVALID,  # content policy
    1302: _BURST,  # concurrency
    1303: _BURST,  # frequency
    1304: _QUOTA,  # daily
    1305: _OVERLOADED,
    1308: _QUOTA,  # window
    1309: _BALANCE,  # the plan has expired, sent as 429
    1310: _QUOTA,  # weekly
    1311: _UNKNOWN,  # the plan does not include the model
    1312: _OVERLOADED,  # the model
    1313: _QUOTA,  # fair use: until the user requests release
}
# Codes about the model, mapped to OpenAI's code: another provider may have the model.
MODEL_CODES = frozenset({1211, 1311})
NO_SUCH_MODEL = "model_not_found"

# Vendor-specific statuses.
MEANING_BY_STATUS: dict[int, Meaning] = {
    434: _PERMISSION,  # no API permission
    435: Meaning(413, "request_too_large", retry=False),  # file size
}


class _Error(msgspec.Struct, gc=False):
    code: str | int | None = None
    type: str | int | None = None
    message: str = ""


class _Body(msgspec.Struct, gc=False):
    error: _Error
    type: str | None = None
    request_id: str | None = None


_BODY = msgspec.json.Decoder(_Body)


class ZaiDialect(Dialect):
    """Type `zai`."""

    translates_errors: ClassVar[bool] = True

    def needs_rewrite(self, model: str) -> bool:
        """True when system turns are folded, and for models that always think."""
        return super().needs_rewrite(model) or always_thinks(model)

    def edit(self, top: Members, model: str) -> None:
        """Fold system turns; `thinking: disabled` becomes adaptive with effort `low`."""
        super().edit(top, model)
        if "thinking" not in top or not always_thinks(model):
            return
        if read_type(top["thinking"]) == "disabled":
            top["thinking"] = ADAPTIVE
            output = read_members(top.get("output_config", Raw(b"{}"))) or {}
            top["output_config"] = write({**output, "effort": LOW})

    def translate_error(self, status: int, body: bytes, get: Get = no_head) -> tuple[int, bytes]:
        """Anthropic's status and shape for a Z.AI error; the message keeps the code.

        A body that is Anthropic-shaped already, or not to be read, stays as it is.
        """
        parsed = _read(body)
        if parsed is None:
            meaning = MEANING_BY_STATUS.get(status)
            return (meaning.status if meaning else status), body
        code = _code(parsed.error)
        if code is None and parsed.type == "error" and parsed.error.type:
            return status, body
        meaning = _meaning(code, status)
        message = parsed.error.message or f"Z.AI answered with status {status}."
        if code is not None and str(code) not in message:
            message = f"[{code}] {message}"
        return meaning.status, error_body((meaning.type, message), parsed.request_id)

    def read_error(self, status: int, body: bytes, get: Get = no_head) -> Fault:
        """Parse an error body or event; the code decides, wherever it is."""
        fault = read_fault(status, body)
        code = _code_anywhere(body)
        if code is None and status not in MEANING_BY_STATUS:
            return fault
        meaning = _meaning(code, status)
        resets_at = _resets_at(fault.message)
        spent = not meaning.retry and meaning.status in (402, 429)
        return Fault(
            meaning.status,
            meaning.type,
            NO_SUCH_MODEL if code in MODEL_CODES else fault.code if code is None else str(code),
            fault.message,
            # Only quotas have a reset time, which identifies unlisted codes.
            spent if code in MEANING_BY_CODE else fault.spent or resets_at > 0,
            resets_at,
        )

    def forbids_retry(self, body: bytes) -> bool:
        """True for codes that a retry cannot fix, e.g. an exhausted quota, a 429 like a burst."""
        code = _code_anywhere(body)
        return code in MEANING_BY_CODE and not MEANING_BY_CODE[code].retry


def always_thinks(model: str) -> bool:
    """Whether thinking cannot be disabled for a GLM model."""
    return any(fnmatchcase(model.lower(), pattern) for pattern in ALWAYS_THINKING)


def _read(body: bytes) -> _Body | None:
    try:
        return _BODY.decode(body)
    except UNREADABLE:
        return None


def _code(error: _Error) -> int | None:
    # Documented as a string of digits; also seen: a number, or digits in `type`.
    for value in (error.code, error.type):
        text = str(value)
        if text.isascii() and text.isdigit() and len(text) <= 6:
            return int(text)
    return None


def _code_anywhere(body: bytes) -> int | None:
    parsed = _read(body)
    if parsed is None:
        return None
    code = _code(parsed.error)
    if code is None and (found := _BRACKETED.match(parsed.error.message)):
        code = int(found[1])
    return code


def _resets_at(message: str) -> float:
    found = _RESET.search(message)
    if found is None:
        return 0.0
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=_BEIJING).timestamp()
    except ValueError:
        return 0.0


def _meaning(code: int | None, status: int) -> Meaning:
    if code in MEANING_BY_CODE:
        return MEANING_BY_CODE[code]
    if status in MEANING_BY_STATUS:
        return MEANING_BY_STATUS[status]
    if status < 400:
        status = 500  # an error inside a 200
    return Meaning(status, error_type(status), retry=status >= 500)
