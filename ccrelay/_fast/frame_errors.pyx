# cython: language_level=3
"""Errors in AWS's event streams: their frames to Anthropic's `error` events and back.

Facts: reference, providers, section 5.5; the exceptions of a stream, botocore's service model of
bedrock-runtime, shape ResponseStream.
"""

import re

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from ccrelay._fast.frames cimport FrameMember, frames_member

cdef enum:
    NAME_MAX = 64              # characters of an error's name
    TEXT_MAX = 4096            # bytes of a payload that is no JSON, shown as the message
    READ_MAX = 65536           # an error is a few hundred bytes; a longer one is not read

# Anthropic's type of error by AWS's name. Those that stand for the type alone come first: with them
# the event tells no name.
PLAIN_NAMES = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "internalServerException": "api_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
    "accessDeniedException": "permission_error",
    "resourceNotFoundException": "not_found_error",
    "expiredTokenException": "authentication_error",
    "internalFailure": "api_error",
}
ERROR_TYPES = {
    **PLAIN_NAMES,
    "conflictException": "invalid_request_error",
    "serviceQuotaExceededException": "rate_limit_error",
    "tooManyRequestsException": "rate_limit_error",
    "modelNotReadyException": "overloaded_error",
    "unrecognizedClientException": "authentication_error",
    "invalidSignatureException": "authentication_error",
    "missingAuthenticationTokenException": "authentication_error",
    "missingAuthenticationToken": "authentication_error",
}
# Of these the model's own status decides, where it is there.
MODEL_ERRORS = ("modelErrorException", "modelStreamErrorException")
TYPES_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# The exceptions that a client of Bedrock knows in a stream (botocore's service model).
NAMES_BY_TYPE = {
    "rate_limit_error": "throttlingException",
    "invalid_request_error": "validationException",
    "api_error": "internalServerException",
    "overloaded_error": "serviceUnavailableException",
    "timeout_error": "modelTimeoutException",
}
STATUS_BY_TYPE = {kind: status for status, kind in reversed(TYPES_BY_STATUS.items())}


# An AWS account is the operator's business; `cloud_wording` leaves it out of other errors.
ACCOUNT = re.compile(rb"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")

cdef bytes HEXADECIMAL = b"0123456789abcdefABCDEF"


cpdef bytes quoted(bytes text):
    """JSON text of a string; bytes that are no UTF-8 are replaced."""
    made = []
    for c in text.decode("utf-8", "replace"):
        if c == '"' or c == "\\":
            made.append("\\" + c)
        else:
            made.append(c if c >= " " else f"\\u{ord(c):04x}")
    return f'"{"".join(made)}"'.encode()


cpdef bytes unquoted(bytes value):
    """The content of a JSON string of ASCII; None: it is none."""
    cdef Py_ssize_t n = len(value)
    if n < 2 or value[:1] != b'"':
        return None
    value = value[1:n - 1]
    if b"\\" not in value:
        return value
    made = bytearray()
    parts = value.split(b"\\")
    made += parts[0]
    for part in parts[1:]:     # some writers escape `/`, or all of it
        if part[:1] == b"/":
            made += part
        elif part[:3] == b"u00" and part[3:4] in b"234567" and part[4:5] in HEXADECIMAL:
            made.append(int(part[3:5], 16))
            made += part[5:]
        else:
            return None
    return bytes(made)


cdef dict members(bytes text):
    """The members of a JSON object, raw; empty: it is none."""
    cdef const char* p = PyBytes_AS_STRING(text)
    cdef const char* end = p + PyBytes_GET_SIZE(text)
    cdef FrameMember m
    cdef int whole = 0
    found = {}
    while p < end and p[0] in b" \t\r\n":
        p += 1
    if p == end or p[0] != c"{":
        return found
    p += 1
    while True:
        p = frames_member(p, end, &m, &whole)
        if p == NULL:
            return found if whole else {}
        found[m.name[:m.name_len]] = m.value[:m.value_len]


cdef bytes text_of(dict found, tuple names):
    """The first of these members that is a string with text, raw, on one line, and UTF-8."""
    for name in names:
        value = found.get(name, b"")
        if value[:1] == b'"' and len(value) > 2:
            line = bytes([byte if byte >= 32 else 32 for byte in value])
            return line.decode("utf-8", "replace").encode()
    return None


cpdef bytes exception_event(bytes name, bytes payload):
    """The event of an exception frame."""
    found = members(payload) if len(payload) <= READ_MAX else {}
    message = text_of(found, (b"message", b"Message", b"originalMessage"))
    if message is None:
        message = quoted(name if found or not payload else payload[:<Py_ssize_t>TEXT_MAX])
    return error_event(name, message, found.get(b"originalStatusCode", b""))


cpdef bytes error_event(bytes raw_name, bytes message, bytes status):
    """An `error` event: `message` is JSON; `status`: of the model, where AWS tells it."""
    # As in the header x-amzn-errortype: `prefix#Name:url`.
    name = raw_name.decode("ascii", "replace").partition(":")[0].rpartition("#")[2]
    name = name[:1].lower() + name[1:<Py_ssize_t>NAME_MAX]
    kind = ERROR_TYPES.get(name, "api_error")
    if len(name) == 3 and name.isascii() and name.isdigit():     # an error frame's code
        kind = TYPES_BY_STATUS.get(int(name), kind)
    if name in MODEL_ERRORS and status.isdigit() and len(status) == 3:
        by_group = "invalid_request_error" if status < b"500" else "api_error"
        kind = TYPES_BY_STATUS.get(int(status), by_group)
    details = ""
    if name not in PLAIN_NAMES and name.isascii() and name.isalnum():
        details = f',"details":{{"error_code":"{name}"}}'
    message = ACCOUNT.sub(b"*" * 12, message)
    return (
        f'event: error\ndata: {{"type":"error","error":{{"type":"{kind}","message":'.encode()
        + message + details.encode() + b"}}\n\n"
    )


cpdef tuple exception_of(bytes data):
    """Name and payload of the exception frame for the data of an `error` event."""
    error = members(members(data).get(b"error", b"")) if len(data) <= READ_MAX else {}
    kind = (unquoted(error.get(b"type", b"")) or b"").decode("ascii", "replace")
    if kind not in STATUS_BY_TYPE:
        # Google's and Azure's gateways tell the HTTP status.
        code = error.get(b"code", b"").strip(b'"')
        kind = TYPES_BY_STATUS.get(int(code) if len(code) == 3 and code.isdigit() else 0, kind)
    message = text_of(error, (b"message",)) or b'"The stream ended with an error."'
    name = NAMES_BY_TYPE.get(kind)
    if name is not None:
        return name, b'{"message":' + message + b"}"
    # The model's own status tells what Bedrock has no exception for.
    status = STATUS_BY_TYPE.get(kind, 500)
    payload = b'{"message":%b,"originalMessage":%b,"originalStatusCode":%d}'
    return "modelStreamErrorException", payload % (message, message, status)
