"""The table of tests/faults/README.md of what clouds answer, and what is made of it.

python -m tests.faults.clouds      writes the table into the page
"""

import json
from typing import NamedTuple

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Health
from ccrelay.routing.verdict import Blame, Verdict, of_event, of_status
from tests.faults.table import PAGE
from tests.unit.providers.cloud_error_cases import (
    ON_DEMAND,
    aws,
    azure,
    frame,
    google,
    info,
    ours,
    raw,
)
from tests.unit.providers.clouds import cloud

BEGIN = "<!-- begin: clouds -->\n"
END = "<!-- end: clouds -->\n"

_HEADINGS = ("cloud", "its error", "verdict", "its key", "tried elsewhere", "the client gets")
_NOW = 1_790_000_000.0


class Fault(NamedTuple):
    """An error of a cloud; `text`: as the page names it."""

    cloud: str
    text: str
    status: int
    sent: tuple[bytes, bytes]


AWS, VERTEX, AZURE = "bedrock_invoke", "vertex", "foundry"
_NAMES = {AWS: "AWS", VERTEX: "Google", AZURE: "Azure"}
_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
_DAY = info("RATE_LIMIT_EXCEEDED", quota_limit="RequestsPerDayPerProject")
_NOTHING = info("RATE_LIMIT_EXCEEDED", quota_limit_value="0")

FAULTS = (
    Fault(AWS, "429 `ThrottlingException`", 429, aws("ThrottlingException", "Too many requests")),
    Fault(
        AWS,
        "`throttlingException` as first frame",
        200,
        frame("rate_limit_error", "throttlingException", "Too many requests"),
    ),
    Fault(
        AWS,
        '429 "Too many tokens per day"',
        429,
        aws("ThrottlingException", "Too many tokens per day"),
    ),
    Fault(AWS, "400 `ServiceQuotaExceededException`", 400, aws("ServiceQuotaExceeded", "quota")),
    Fault(AWS, "429 `ModelNotReadyException`", 429, aws("ModelNotReadyException", "not ready")),
    Fault(AWS, "408 `ModelTimeoutException`", 408, aws("ModelTimeoutException", "too slow")),
    Fault(AWS, "424 `ModelErrorException`", 424, aws("ModelErrorException", "failed")),
    Fault(AWS, "500 `InternalServerException`", 500, aws("InternalServerException", "failed")),
    Fault(AWS, "503 `ServiceUnavailableException`", 503, aws("ServiceUnavailableException", "no")),
    Fault(AWS, "403 `ExpiredTokenException`", 403, aws("ExpiredTokenException", "expired")),
    Fault(AWS, "403 `InvalidSignatureException`", 403, aws("InvalidSignatureException", "bad")),
    Fault(AWS, "403 `AccessDeniedException`", 403, aws("AccessDeniedException", "denied")),
    Fault(
        AWS,
        '403 "not authorized to perform: bedrock:InvokeModel"',
        403,
        aws("AccessDeniedException", "x is not authorized to perform: bedrock:InvokeModel on y"),
    ),
    Fault(
        AWS,
        '403 "You don\'t have access to the model"',
        403,
        aws("AccessDeniedException", "You don't have access to the model with the ID."),
    ),
    Fault(AWS, '400 "on-demand throughput isn\'t supported"', 400, aws("Validation", ON_DEMAND)),
    Fault(
        AWS,
        '400 "model identifier is invalid"',
        400,
        aws("ValidationException", "The provided model identifier is invalid."),
    ),
    Fault(
        AWS,
        '400 "Input is too long for requested model."',
        400,
        aws("ValidationException", "Input is too long for requested model."),
    ),
    Fault(AWS, "400, any other", 400, aws("ValidationException", "invalid beta flag")),
    Fault(AWS, "413, a page", 413, raw(b"<html>")),
    Fault(
        AWS,
        "200 with `UnknownOperationException`",
        200,
        raw(b'{"Output":{"__type":"a#UnknownOperationException"}}'),
    ),
    Fault(VERTEX, "429 `RESOURCE_EXHAUSTED`", 429, google("RESOURCE_EXHAUSTED", "Quota", 429)),
    Fault(
        VERTEX,
        "the same with `RetryInfo`",
        429,
        google("RESOURCE_EXHAUSTED", "Quota exceeded", 429, _RETRY, array=True),
    ),
    Fault(
        VERTEX,
        "the same of a quota per day",
        429,
        google("RESOURCE_EXHAUSTED", "Quota exceeded", 429, _DAY),
    ),
    Fault(
        VERTEX,
        "the same of a quota of 0",
        429,
        google("RESOURCE_EXHAUSTED", "Quota exceeded", 429, _NOTHING),
    ),
    Fault(VERTEX, "401 `UNAUTHENTICATED`", 401, google("UNAUTHENTICATED", "expired", 401)),
    Fault(VERTEX, "403 `PERMISSION_DENIED`", 403, google("PERMISSION_DENIED", "denied", 403)),
    Fault(
        VERTEX,
        '404 "Publisher Model ... was not found"',
        404,
        google("NOT_FOUND", "Publisher Model x was not found", 404),
    ),
    Fault(
        VERTEX,
        '400 "Request payload size exceeds"',
        400,
        google("INVALID_ARGUMENT", "Request payload size exceeds the limit", 400),
    ),
    Fault(VERTEX, "500 `INTERNAL`", 500, google("INTERNAL", "failed", 500)),
    Fault(VERTEX, "503 `UNAVAILABLE`", 503, google("UNAVAILABLE", "down", 503, array=True)),
    Fault(AZURE, "429", 429, azure("429", "Rate limit is exceeded. Try again in 27 seconds.")),
    Fault(AZURE, "401", 401, azure("401", "Access denied due to invalid subscription key")),
    Fault(AZURE, "401 `PermissionDenied`", 401, azure("PermissionDenied", "The principal lacks")),
    Fault(
        AZURE,
        '403 "Virtual Network/Firewall rules"',
        403,
        azure("AccessDenied", "Access denied due to Virtual Network/Firewall rules."),
    ),
    Fault(AZURE, "404 `DeploymentNotFound`", 404, azure("DeploymentNotFound", "no such")),
    Fault(AZURE, "404, any other", 404, azure("404", "Resource not found")),
    Fault(AZURE, "400 `content_filter`", 400, azure("content_filter", "filtered")),
    Fault(AZURE, "529", 529, ours("overloaded_error", "Overloaded")),
)


def table() -> str:
    """The table, by what the dialects and the verdicts say now."""
    lines = [_row(_HEADINGS), _row(("---",) * len(_HEADINGS))]
    return "".join([*lines, *(_row(_cells(fault)) for fault in FAULTS)])


def page_table() -> str:
    """The table of the page."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def render() -> None:
    """Write the table into the page."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(before + begin + table() + end + after)


def _cells(fault: Fault) -> tuple[str, ...]:
    dialect, (body, name) = cloud(fault.cloud), fault.sent
    head = {b"x-amzn-errortype": name}
    if fault.status < 400:
        verdict = of_event(body, head.get, dialect, Health(), _NOW, own_key=True)
    else:
        verdict = of_status(fault.status, head.get, body, dialect, Health(), _NOW, own_key=True)
    status, told = dialect.translate_error(fault.status, body, head.get)
    return (
        _NAMES[fault.cloud],
        fault.text,
        f"`{verdict.reason}`",
        _key(verdict),
        "yes" if verdict.elsewhere else "no",
        _client(verdict, status, told, body),
    )


def _key(verdict: Verdict) -> str:
    if verdict.blame is Blame.CREDENTIAL:
        return "refreshed, tried once more, then disabled"
    if verdict.cooldown_reason is Cooldown.REFUSED:
        return "disabled until a trial"
    if verdict.per_model and verdict.cooldown_s:
        return "cooldown of the model"
    if verdict.reason in ("too_many_requests", "model_refused"):
        return "rests for the model"
    return "in use"


def _client(verdict: Verdict, status: int, told: bytes, body: bytes) -> str:
    if verdict.reason in ("key_refused", "credential_expired"):
        return "502, the relay's own"
    error = json.loads(told)["error"]
    text = error["message"]
    words = "the cloud's text" if json.dumps(text)[1:-1].encode() in body else f'"{text}"'
    return f"{status} `{error['type']}`, {words}"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    render()
