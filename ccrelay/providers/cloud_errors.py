"""Errors of clouds in Anthropic's terms, by one table of the names that clouds give them.

    AWS     x-amzn-ErrorType, `__type`, `details.error_code` of an event: ThrottlingException
    Google  error.status, also in an array, error.details[].reason: RESOURCE_EXHAUSTED
    Azure   error.code: DeploymentNotFound

Names do not collide, so one reader serves all: a gateway in front of one cloud may answer in the
form of another. The name decides, not the status: AWS sends exceptions with a status of 200, and
Azure a missing permission with 401. Then the text (`cloud_wording`). Sources: providers reference,
sections 5.5, 6.1 and 7.
"""

import re

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ccrelay.providers import cloud_error_table as table, cloud_wording
from ccrelay.providers.base import (
    MESSAGE_MAX,
    STATUS_BY_TYPE,
    Cause,
    Fault,
    Get,
    QuotaDay,
    read_fault,
)
from ccrelay.providers.quota import is_spent
from ccrelay.wire.bodies import UNREADABLE, is_dense, json_string, map_member
from ccrelay.wire.errors import error_body, error_type

REQUEST_ID_HEADERS = (
    *(b"request-id", b"x-amzn-requestid", b"x-amz-request-id", b"x-goog-request-id"),
    *(b"apim-request-id", b"x-ms-request-id"),
)
# Characters of a text that are read; an error body may have a megabyte.
TEXT_MAX = 16_384
_ERROR_TYPE = b"x-amzn-errortype"
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,200}")
_ITEMS_MAX = 32
# `<AccessDeniedException><Message>...`: of AWS's older front ends.
_XML_NAME = re.compile(r"<(?:Code>)?(\w{1,80}Exception)\b")
_XML_TEXT = re.compile(r"<[Mm]essage>([^<]{0,4096})</[Mm]essage>")


_SEPARATORS = re.compile(r"[^A-Za-z0-9]")
_ENDS = re.compile(r"(?:exception|error|fault)\Z")
# Statuses of clouds that Anthropic has another one for.
_STATUS = {424: 500, 499: 500, 503: 529}

# An event made of a frame may tell no more than the type.
_BY_EVENT = {
    "permission_error": table.PERMISSION,
    "not_found_error": table.NO_MODEL,
}
# Statuses of errors whose text may say what they are about; 200: of an event without a name.
_CAUSE_STATUSES = frozenset({200, 400, 401, 403, 404, 413})

_ANY = msgspec.json.Decoder()


class CloudError(msgspec.Struct, frozen=True, gc=False):
    """What a cloud's error says, whatever its shape.

    Args:
        status: HTTP status of the response; below 400: an event, or an error in disguise.
        names: by which the cloud names the error, the most exact first, as it writes them.
        message: its text.
        request_id: the cloud's; empty: not told.
        type: Anthropic's type, in Anthropic's shape; empty: another shape.
        original: `originalStatusCode` of a model's error; 0: none.
        limit: of a quota, as Google names it; "0": nothing is granted.
        readable: whether it has a shape at all.
        is_ours: whether the body has Anthropic's shape.
    """

    status: int
    names: tuple[str, ...] = ()
    message: str = ""
    request_id: str = ""
    type: str = ""
    original: int = 0
    limit: str = ""
    readable: bool = True
    is_ours: bool = False


def normal_name(name: str) -> str:
    """A cloud's name of an error as `MEANING_BY_NAME` has it.

    `com.amazon.coral#ThrottlingException:http://...` is `throttling`.
    """
    return _ENDS.sub("", _SEPARATORS.sub("", bare_name(name)).lower())


def bare_name(name: str) -> str:
    """A name without package and address: `ThrottlingException`."""
    return name[:300].partition(":")[0].rpartition("#")[2].rpartition(".")[2].strip()


def read_error(status: int, body: bytes, get: Get) -> CloudError:
    """Read an error of any shape that clouds send. It never raises."""
    header = _ascii(get(_ERROR_TYPE))
    request_id = next((text for name in REQUEST_ID_HEADERS if (text := _id(get(name)))), "")
    try:
        found = None if is_dense(body) else _ANY.decode(body)
    except UNREADABLE:
        return _of_text(status, body, header, request_id)
    if isinstance(found, list):  # Google, on the verb that streams
        found = next((item for item in found[:_ITEMS_MAX] if isinstance(item, dict)), None)
    if not isinstance(found, dict):
        return CloudError(status, _names(header), readable=bool(header), request_id=request_id)
    return _of_members(status, found, header, request_id)


def _of_text(status: int, body: bytes, header: str, request_id: str) -> CloudError:
    text = body[:MESSAGE_MAX].decode("utf-8", "replace")
    if text.lstrip()[:1] != "<":
        return CloudError(status, _names(header), text.strip(), request_id, readable=bool(header))
    name, message = _XML_NAME.search(text), _XML_TEXT.search(text)
    names = _names(header, name[1] if name else "")
    return CloudError(
        status, names, message[1] if message else "", request_id, readable=bool(names)
    )


def _of_members(status: int, found: dict[str, object], header: str, request_id: str) -> CloudError:
    inner = found.get("error")
    if isinstance(inner, str):
        inner = {"message": inner}
    error: dict[str, object] = inner if isinstance(inner, dict) else found
    is_ours = found.get("type") == "error" and isinstance(inner, dict)
    output = found.get("Output")
    coral = output if isinstance(output, dict) else {}
    details, limit = _details(error.get("details"))
    names = _names(
        *details,
        header,
        *(_word(found.get("__type")), _word(coral.get("__type")), _word(error.get("__type"))),
        *(_word(error.get("status")), _word(error.get("code"))),
        "" if is_ours else _word(error.get("type")),
    )
    message = _message(error) or _message(found) or _message(coral)
    told = CloudError(
        status,
        names,
        message,
        _id(found.get("request_id")) or request_id,
        _word(error.get("type")) if is_ours else "",
        _number(found.get("originalStatusCode")),
        limit,
        readable=bool(names or message),
        is_ours=is_ours,
    )
    return _unwrapped(told)


def _details(details: object) -> tuple[list[str], str]:
    """The names in `error.details`, Anthropic's object or Google's list, and a quota's limit."""
    names, limit = [], ""
    items = details[:_ITEMS_MAX] if isinstance(details, list) else [details]
    for item in items:
        if isinstance(item, dict):
            names += [_word(item.get("error_code")), _word(item.get("reason"))]
            metadata = item.get("metadata")
            if isinstance(metadata, dict):
                limit = limit or _word(metadata.get("quota_limit_value"))
                names.append(_word(metadata.get("quota_limit")))
    return names, limit


def _unwrapped(told: CloudError) -> CloudError:
    """The error itself, where the text is an error of Anthropic's as JSON."""
    text = told.message.strip()
    if text[:1] != "{" or '"error"' not in text:
        return told
    try:
        inner = _ANY.decode(text)
    except UNREADABLE:
        return told
    error = inner.get("error") if isinstance(inner, dict) else None
    if not isinstance(error, dict) or not (message := _message(error)):
        return told
    kind = _word(error.get("type"))
    return replace(told, message=message, type=kind if kind in STATUS_BY_TYPE else told.type)


# ---- in Anthropic's terms


def fault_of(error: CloudError, body: bytes, *, per_model: bool, project: str) -> Fault:
    """An error in Anthropic's terms.

    Args:
        error: as read from `body`.
        body: of the response.
        per_model: whether limits of this cloud are those of a model.
        project: a name that is left out of the message; empty: none.
    """
    plain = read_fault(error.status, body)
    name, meaning = _by_name(error)
    told = cloud_wording.read_text(error.message)
    if meaning is None and not told and not error.readable and error.status != table.SIZE.status:
        return plain  # a page, text, nothing: of a server before the API
    if told and _may_say(told, meaning.status if meaning is not None else error.status):
        meaning = table.MEANING_BY_CAUSE[told]
    if meaning is None:
        meaning = _by_status(error)
    spent, day = _quota(error, meaning, plain)
    if meaning.status == 429 and error.limit == "0":
        meaning, spent = table.NO_ACCESS, False  # nothing is granted of this model
    return Fault(
        meaning.status,
        meaning.type,
        bare_name(name) or plain.code,
        cloud_wording.masked(error.message[:MESSAGE_MAX], project),
        spent,
        cause=meaning.cause,
        day=day,
        per_model=per_model,
    )


def _by_name(error: CloudError) -> tuple[str, table.Meaning | None]:
    for name in error.names:
        key = normal_name(name)
        if key in ("modelerror", "modelstreamerror") and 400 <= error.original <= 599:
            return name, _by_status(replace(error, status=error.original, type=""))
        if meaning := table.MEANING_BY_NAME.get(key):
            if meaning is table.CONFLICT and error.status == 400:
                return name, table.INVALID
            return name, meaning
    return "", None


def _may_say(cause: Cause, status: int) -> bool:
    """Whether a text may overrule the name: not of a limit, nor of a failure of the cloud.

    A 400 may quote the request, which may speak of expired tokens.
    """
    return status in _CAUSE_STATUSES and (cause != "credential" or status != 400)


def _by_status(error: CloudError) -> table.Meaning:
    """The meaning of an error whose name is not known."""
    status = error.status
    if status < 400 and error.type in _BY_EVENT:
        return _BY_EVENT[error.type]
    if status < 400:
        status = STATUS_BY_TYPE.get(error.type) or next(
            (number for number in map(_number, error.names) if 400 <= number <= 599), 500
        )
    elif error.type not in STATUS_BY_TYPE:
        status = _STATUS.get(status, status)
    if status in (401, 413):
        return table.LOGIN if status == 401 else table.SIZE
    if status == 404 and not error.is_ours:
        return table.NO_OPERATION
    # Anthropic's own errors keep their type, whatever the status.
    return table.Meaning(status, error.type if error.type in STATUS_BY_TYPE else error_type(status))


def _quota(error: CloudError, meaning: table.Meaning, plain: Fault) -> tuple[bool, QuotaDay]:
    """Whether a quota is spent, and whether it is that of a day."""
    if meaning.status != 429:
        return meaning.spent or is_spent(
            meaning.status, meaning.type, "", error.message[:MESSAGE_MAX]
        ), ""
    if error.type and plain.spent:
        return True, ""  # Anthropic's own words
    text = " ".join((error.message, *error.names))
    if cloud_wording.is_daily(text):
        is_google = any(normal_name(name) == "resourceexhausted" for name in error.names)
        return True, "America/Los_Angeles" if is_google else "UTC"
    return meaning.spent or cloud_wording.is_long(text), ""


# ---- for the client


def translated(
    status: int, body: bytes, error: CloudError, fault: Fault, project: str
) -> tuple[int, bytes]:
    """Status and body of an error for the client.

    Args:
        status: of the response.
        body: of the response.
        error: as read from `body`.
        fault: `error` in Anthropic's terms.
        project: a name that is not for clients; empty: none.
    """
    if not fault.type:
        return (status if status >= 400 else fault.status), body
    if fault.cause == "size":
        text = cloud_wording.TOO_LARGE
        return 400, error_body(("invalid_request_error", text), error.request_id or None)
    text = cloud_wording.for_client(cloud_wording.masked(error.message, project))
    if error.is_ours and error.type == fault.type and not is_dense(body):
        return fault.status, body if text == error.message else _with_message(body, text)
    kind = fault.type if fault.type in STATUS_BY_TYPE else error_type(fault.status)
    text = text or fault.code or f"The provider answered with status {fault.status}."
    return fault.status, error_body((kind, text), error.request_id or None)


def _with_message(body: bytes, text: str) -> bytes:
    """An error of Anthropic's shape with another text, all else byte for byte."""

    def edit(error: Raw) -> Raw:
        return map_member(error, "message", lambda _: json_string(text))

    return bytes(map_member(Raw(body), "error", edit))


# ---- members of any type


def _names(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name))


def _message(members: dict[str, object]) -> str:
    for name in ("message", "Message", "originalMessage", "errorMessage", "detail"):
        value = members.get(name)
        if isinstance(value, str) and value:
            return value[:TEXT_MAX]
    return ""


def _word(value: object) -> str:
    if isinstance(value, str):
        return value[:300]
    return str(value) if isinstance(value, int) and abs(value) < 1 << 31 else ""


def _number(value: object) -> int:
    text = _word(value)
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() else 0


def _ascii(value: bytes | None) -> str:
    return "" if value is None else value[:300].decode("ascii", "replace").strip()


def _id(value: object) -> str:
    text = _ascii(value) if isinstance(value, bytes) else value
    return text if isinstance(text, str) and _REQUEST_ID.fullmatch(text) else ""
