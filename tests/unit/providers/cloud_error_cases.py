"""Errors of clouds: what they send, what is read in it, and what the client gets."""

import json
from typing import Any, NamedTuple

ARN = "arn:aws:sts::123456789012:assumed-role/relay/session"
MASKED = ARN.replace("123456789012", "************")


class Case(NamedTuple):
    """One error.

    Args:
        cloud: name of `clouds.CLOUDS`.
        status: of the response; 200: an event, or an error in disguise.
        sent: body, and the name in `x-amzn-ErrorType`.
        read: status by meaning.
        type: Anthropic's.
        verdict: its reason, as in the log.
        cause: `Fault.cause`.
        client: the text for the client; None: the cloud's own.
        client_status: 0: `read`.
        day: `Fault.day`.
    """

    cloud: str
    status: int
    sent: tuple[bytes, bytes]
    read: int
    type: str
    verdict: str
    cause: str = ""
    client: str | None = None
    client_status: int = 0
    day: str = ""

    def get(self, name: bytes) -> bytes | None:
        """A header of the response."""
        return self.sent[1] or None if name == b"x-amzn-errortype" else None


def aws(name: str, message: str, **more: object) -> tuple[bytes, bytes]:
    """An exception of AWS."""
    head = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/" if name else ""
    return json.dumps({"message": message, **more}).encode(), head.encode()


def raw(body: bytes) -> tuple[bytes, bytes]:
    """A body without a telling head."""
    return body, b""


def google(
    status: str, message: str, code: int, *details: object, array: bool = False
) -> tuple[bytes, bytes]:
    """An error of Google's."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = list(details)
    body: Any = {"error": error}
    return raw(json.dumps([body] if array else body, indent=2).encode())


def azure(code: str, message: str, **more: object) -> tuple[bytes, bytes]:
    """An error of Azure's gateway."""
    return raw(json.dumps({"error": {"code": code, "message": message, **more}}).encode())


def ours(kind: str, message: str) -> tuple[bytes, bytes]:
    """An error in Anthropic's shape."""
    error = {"type": kind, "message": message}
    return raw(json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode())


def frame(kind: str, name: str, message: str) -> tuple[bytes, bytes]:
    """The data of an `error` event made of an exception frame."""
    error = {"type": kind, "message": message, "details": {"error_code": name}}
    return raw(json.dumps({"type": "error", "error": error}).encode())


def info(reason: str, **metadata: str) -> dict[str, Any]:
    """Google's ErrorInfo."""
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}


INVALID, LOGIN, PERMISSION = "invalid_request_error", "authentication_error", "permission_error"
MISSING, LIMIT, SERVER = "not_found_error", "rate_limit_error", "api_error"
OVERLOADED, TIMEOUT = "overloaded_error", "timeout_error"
A, C, V, Z = "bedrock_invoke", "bedrock_mantle", "vertex", "foundry"
IAM = f"User: {ARN} is not authorized to perform: bedrock:InvokeModel on resource: x/anthropic.y"
QUOTA = "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model"
USE_CASE = "Model use case details have not been submitted for this account. Fill out the form."
ON_DEMAND = (
    "Invocation of model ID anthropic.claude-opus-5-5 with on-demand throughput isn\u2019t "
    "supported. Retry your request with the ID or ARN of an inference profile that has this model."
)
OUTPUT = (
    "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum "
    "tokens value that is lower than 4096."
)
OUTPUT_TOLD = (
    "max_tokens: 4097 > 4096, which is the maximum allowed number of output tokens for this model. "
    + OUTPUT
)
TOO_MANY = "Too many input tokens. Max input tokens: 200000, request input token count: 250001"
PUBLISHER = (
    "Publisher Model `projects/test-project-1/locations/us-east5/publishers/anthropic/models/x` "
    "was not found or your project does not have access to it."
)
BODY_SIZE = (
    "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have "
    "length less than or equal to 25000000"
)
NO_TOKEN = (
    b'{"statusCode":401,"message":"Unauthorized. Access token is missing, invalid, audience is '
    b'incorrect (https://ai.azure.com), or have expired."}'
)
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
WRAPPED = (
    '{"type":"error","error":{"type":"invalid_request_error",'
    '"message":"prompt is too long: 2 tokens > 1 maximum"}}'
)
CROWDED = "too_many_requests"
EXPIRED, REFUSED = "credential_expired", "key_refused"
UNKNOWN, NO_ACCESS = "model_unknown", "model_refused"

CASES = (
    # ---- AWS: the names of the service model
    Case(A, 400, aws("ValidationException", "bad"), 400, INVALID, "bad_request"),
    Case(A, 403, aws("AccessDeniedException", "no"), 403, PERMISSION, REFUSED, "key"),
    Case(A, 403, aws("UnrecognizedClientException", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 403, aws("InvalidSignatureException", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 403, aws("ExpiredTokenException", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 400, aws("ExpiredToken", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 403, aws("RequestTimeTooSkewed", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 403, aws("IncompleteSignatureException", "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(
        *(A, 403, aws("MissingAuthenticationTokenException", "Missing Authentication Token")),
        *(401, LOGIN, EXPIRED, "credential"),
    ),
    Case(A, 404, aws("ResourceNotFoundException", "no"), 404, MISSING, UNKNOWN, "model"),
    Case(A, 400, aws("ConflictException", "no"), 400, INVALID, "bad_request"),
    Case(A, 400, aws("ServiceQuotaExceededException", "no"), 429, LIMIT, "quota_spent"),
    Case(A, 429, aws("ThrottlingException", "Too many requests"), 429, LIMIT, CROWDED),
    Case(A, 429, aws("ModelNotReadyException", "no"), 529, OVERLOADED, "overloaded"),
    Case(A, 408, aws("ModelTimeoutException", "no"), 504, TIMEOUT, "timed_out"),
    Case(A, 424, aws("ModelErrorException", "no"), 500, SERVER, "server_error"),
    Case(A, 424, aws("ModelStreamErrorException", "no"), 500, SERVER, "server_error"),
    Case(
        *(A, 424, aws("ModelErrorException", "busy", originalStatusCode=529)),
        *(529, OVERLOADED, "overloaded"),
    ),
    Case(
        *(A, 424, aws("ModelErrorException", "no such thing", originalStatusCode=400)),
        *(400, INVALID, "bad_request"),
    ),
    Case(A, 500, aws("InternalServerException", "no"), 500, SERVER, "server_error"),
    Case(A, 503, aws("ServiceUnavailableException", "no"), 529, OVERLOADED, "overloaded"),
    # ---- AWS: the name elsewhere, or a status of 200
    Case(
        *(
            A,
            200,
            raw(b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}'),
        ),
        *(404, "error", "no_route", "", "UnknownOperationException"),
    ),
    Case(
        *(A, 403, raw(b'{"__type":"com.amazon.coral#ExpiredTokenException","Message":"old"}')),
        *(401, LOGIN, EXPIRED, "credential"),
    ),
    Case(
        *(A, 400, raw(b"<ThrottlingException>\n <Message>Rate exceeded</Message>\n</T>")),
        *(429, LIMIT, CROWDED, "", "Rate exceeded"),
    ),
    Case(A, 429, aws("", "Too many tokens, please wait before trying again."), 429, LIMIT, CROWDED),
    Case(A, 503, aws("", "Service Unavailable"), 529, OVERLOADED, "overloaded"),
    # ---- AWS: frames
    Case(A, 200, frame(LIMIT, "throttlingException", "wait"), 429, LIMIT, CROWDED),
    Case(A, 200, frame(SERVER, "InternalFailure", "no"), 500, SERVER, "server_error"),
    Case(A, 200, frame(SERVER, "modelStreamErrorException", "no"), 500, SERVER, "server_error"),
    Case(
        *(A, 200, frame(OVERLOADED, "serviceUnavailableException", "no")),
        *(529, OVERLOADED, "overloaded"),
    ),
    Case(A, 200, frame(INVALID, "validationException", "bad"), 400, INVALID, "bad_request"),
    Case(A, 200, frame(TIMEOUT, "modelTimeoutException", "no"), 504, TIMEOUT, "timed_out"),
    Case(A, 200, frame(OVERLOADED, "newException", "no"), 529, OVERLOADED, "overloaded"),
    # ---- AWS: frames of which the type alone is told
    Case(A, 200, ours(LIMIT, "wait"), 429, LIMIT, CROWDED),
    Case(A, 200, ours(LOGIN, "no"), 401, LOGIN, EXPIRED, "credential"),
    Case(A, 200, ours(PERMISSION, "no"), 403, PERMISSION, REFUSED, "key"),
    Case(A, 200, ours(MISSING, "no"), 404, MISSING, UNKNOWN, "model"),
    Case(A, 200, ours(TIMEOUT, "no"), 504, TIMEOUT, "timed_out"),
    Case(A, 200, ours(OVERLOADED, "no"), 529, OVERLOADED, "overloaded"),
    # ---- AWS: texts
    Case(
        *(A, 429, aws("ThrottlingException", "Too many tokens per day, please wait before ...")),
        *(429, LIMIT, "quota_spent", "", None, 0, "UTC"),
    ),
    Case(
        *(A, 403, aws("AccessDeniedException", "You don't have access to the model with the ID.")),
        *(403, PERMISSION, NO_ACCESS, "access"),
    ),
    Case(
        *(A, 403, aws("AccessDeniedException", IAM)),
        *(403, PERMISSION, NO_ACCESS, "access", IAM.replace(ARN, MASKED)),
    ),
    Case(
        *(A, 404, aws("ResourceNotFoundException", USE_CASE)),
        *(403, PERMISSION, NO_ACCESS, "access"),
    ),
    Case(
        *(A, 403, aws("AccessDeniedException", "Model access is denied due to INVALID_PAYMENT.")),
        *(403, PERMISSION, NO_ACCESS, "access"),
    ),
    Case(
        *(A, 400, aws("ValidationException", "Operation not allowed")),
        *(403, PERMISSION, NO_ACCESS, "access"),
    ),
    Case(
        *(
            A,
            403,
            aws(
                "AccessDeniedException",
                "Authentication failed: Please make sure your API Key is valid.",
            ),
        ),
        *(401, LOGIN, EXPIRED, "credential"),
    ),
    Case(
        *(A, 403, aws("AccessDeniedException", "Bearer Token has expired")),
        *(401, LOGIN, EXPIRED, "credential"),
    ),
    Case(
        *(A, 400, aws("ValidationException", ON_DEMAND)),
        *(404, MISSING, UNKNOWN, "model"),
    ),
    Case(
        *(A, 400, aws("ValidationException", "The provided model identifier is invalid.")),
        *(404, MISSING, UNKNOWN, "model"),
    ),
    Case(
        *(
            A,
            404,
            aws("ResourceNotFoundException", "This model version has reached the end of its life."),
        ),
        *(404, MISSING, UNKNOWN, "model"),
    ),
    Case(
        *(A, 400, aws("ValidationException", "Input is too long for requested model.")),
        *(
            400,
            INVALID,
            "bad_request",
            "",
            "prompt is too long: Input is too long for requested model.",
        ),
    ),
    Case(A, 400, aws("ValidationException", "Input is too long."), 400, INVALID, "bad_request"),
    Case(
        *(
            A,
            400,
            aws(
                "ValidationException",
                TOO_MANY,
            ),
        ),
        *(400, INVALID, "bad_request", "", "prompt is too long: 250001 tokens > 200000 maximum"),
    ),
    Case(
        *(A, 400, aws("ValidationException", "prompt is too long: 200001 tokens > 200000 maximum")),
        *(400, INVALID, "bad_request"),
    ),
    Case(
        *(A, 400, aws("ValidationException", OUTPUT)),
        *(
            400,
            INVALID,
            "bad_request",
            "",
            OUTPUT_TOLD,
        ),
    ),
    Case(
        *(
            A,
            400,
            aws(
                "ValidationException",
                BODY_SIZE,
            ),
        ),
        *(413, "request_too_large", "too_large", "size", "Input is too long.", 400),
    ),
    Case(
        A,
        413,
        raw(b"<html>Too Large"),
        413,
        "request_too_large",
        "too_large",
        "size",
        "Input is too long.",
        400,
    ),
    # What Claude Code mends itself by goes on word for word.
    *(
        Case(A, 400, aws("ValidationException", text), 400, INVALID, "bad_request")
        for text in (
            "invalid beta flag",
            "context_management: Extra inputs are not permitted",
            "messages.1.output_config: Extra inputs are not permitted",
            "tools.3.custom.defer_loading: Extra inputs are not permitted",
            "messages.0.content: signature expired 5 minutes ago, said the user",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            "x-anthropic-billing-header is a reserved keyword",
        )
    ),
    # ---- Anthropic's shape on a cloud stays as it is
    Case(C, 400, ours(INVALID, "bad"), 400, INVALID, "bad_request"),
    Case(C, 401, ours(LOGIN, "bad"), 401, LOGIN, EXPIRED, "credential"),
    Case(C, 429, ours(LIMIT, "wait"), 429, LIMIT, CROWDED),
    Case(C, 529, ours(OVERLOADED, "busy"), 529, OVERLOADED, "overloaded"),
    Case(C, 500, ours(SERVER, "no"), 500, SERVER, "server_error"),
    Case(C, 404, ours(MISSING, "model: anthropic.x not found"), 404, MISSING, UNKNOWN),
    Case(
        C,
        413,
        ours("request_too_large", "big"),
        413,
        "request_too_large",
        "too_large",
        "size",
        "Input is too long.",
        400,
    ),
    Case(
        "aws_platform",
        400,
        ours(INVALID, "Your credit balance is too low to access the API"),
        400,
        INVALID,
        "quota_spent",
    ),
    Case(
        "aws_platform", 403, aws("ExpiredTokenException", "no"), 401, LOGIN, EXPIRED, "credential"
    ),
    # ---- Google
    Case(V, 400, google("INVALID_ARGUMENT", "bad", 400), 400, INVALID, "bad_request"),
    Case(V, 400, google("FAILED_PRECONDITION", "bad", 400), 400, INVALID, "bad_request"),
    Case(V, 401, google("UNAUTHENTICATED", "no", 401), 401, LOGIN, EXPIRED, "credential"),
    Case(
        V,
        401,
        google("UNAUTHENTICATED", "no", 401, info("ACCESS_TOKEN_EXPIRED")),
        401,
        LOGIN,
        EXPIRED,
        "credential",
    ),
    Case(
        V,
        403,
        google("PERMISSION_DENIED", "Permission 'x' denied", 403),
        403,
        PERMISSION,
        REFUSED,
        "key",
    ),
    Case(
        V,
        403,
        google(
            "PERMISSION_DENIED", "Vertex AI API has not been used", 403, info("SERVICE_DISABLED")
        ),
        403,
        PERMISSION,
        REFUSED,
        "key",
    ),
    Case(
        V,
        403,
        google("PERMISSION_DENIED", "no billing", 403, info("BILLING_DISABLED")),
        402,
        "billing_error",
        "quota_spent",
    ),
    Case(
        V,
        403,
        google(
            "PERMISSION_DENIED",
            "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x",
            403,
            info("SECURITY_POLICY_VIOLATED"),
        ),
        403,
        PERMISSION,
        "place_refused",
        "place",
    ),
    Case(
        V,
        403,
        google(
            "PERMISSION_DENIED",
            "Organization Policy constraint constraints/vertexai.allowedModels violated",
            403,
        ),
        403,
        PERMISSION,
        NO_ACCESS,
        "access",
    ),
    Case(
        V,
        404,
        google("NOT_FOUND", PUBLISHER, 404),
        404,
        MISSING,
        UNKNOWN,
        "model",
        PUBLISHER.replace("test-project-1", "************"),
    ),
    Case(
        V,
        404,
        google("NOT_FOUND", PUBLISHER, 404, array=True),
        404,
        MISSING,
        UNKNOWN,
        "model",
        PUBLISHER.replace("test-project-1", "************"),
    ),
    Case(
        V,
        400,
        google("FAILED_PRECONDITION", "Publisher Model x is not servable in region us-east5.", 400),
        404,
        MISSING,
        UNKNOWN,
        "model",
    ),
    Case(V, 409, google("ABORTED", "again", 409), 409, "conflict_error", "conflict"),
    Case(V, 429, google("RESOURCE_EXHAUSTED", QUOTA, 429), 429, LIMIT, CROWDED),
    Case(V, 429, google("RESOURCE_EXHAUSTED", QUOTA, 429, array=True), 429, LIMIT, CROWDED),
    Case(V, 200, google("RESOURCE_EXHAUSTED", QUOTA, 429, array=True), 429, LIMIT, CROWDED),
    Case(V, 429, google("RESOURCE_EXHAUSTED", QUOTA, 429, RETRY_INFO), 429, LIMIT, "rate_limited"),
    Case(
        V,
        429,
        google(
            "RESOURCE_EXHAUSTED",
            QUOTA,
            429,
            info("RATE_LIMIT_EXCEEDED", quota_limit="RequestsPerDayPerProject"),
        ),
        429,
        LIMIT,
        "quota_spent",
        "",
        None,
        0,
        "America/Los_Angeles",
    ),
    Case(
        V,
        429,
        google(
            "RESOURCE_EXHAUSTED", QUOTA, 429, info("RATE_LIMIT_EXCEEDED", quota_limit_value="0")
        ),
        403,
        PERMISSION,
        NO_ACCESS,
        "access",
    ),
    Case(V, 499, google("CANCELLED", "no", 499), 500, SERVER, "server_error"),
    Case(V, 500, google("INTERNAL", "no", 500), 500, SERVER, "server_error"),
    Case(V, 503, google("UNAVAILABLE", "no", 503, array=True), 529, OVERLOADED, "overloaded"),
    Case(V, 504, google("DEADLINE_EXCEEDED", "no", 504), 504, TIMEOUT, "timed_out"),
    Case(
        V,
        400,
        google("INVALID_ARGUMENT", "Request payload size exceeds the limit: 31457280 bytes.", 400),
        413,
        "request_too_large",
        "too_large",
        "size",
        "Input is too long.",
        400,
    ),
    Case(
        V,
        400,
        google("INVALID_ARGUMENT", WRAPPED, 400),
        400,
        INVALID,
        "bad_request",
        "",
        "prompt is too long: 2 tokens > 1 maximum",
    ),
    Case(V, 503, raw(b'{"error":{"code":503,"message":"no"}}'), 529, OVERLOADED, "overloaded"),
    # ---- Azure
    Case(
        Z,
        404,
        azure("DeploymentNotFound", "The API deployment for this resource does not exist."),
        404,
        MISSING,
        UNKNOWN,
        "model",
    ),
    Case(
        Z,
        401,
        azure("401", "Access denied due to invalid subscription key or wrong API endpoint."),
        401,
        LOGIN,
        EXPIRED,
        "credential",
    ),
    Case(
        Z,
        401,
        raw(NO_TOKEN),
        401,
        LOGIN,
        EXPIRED,
        "credential",
    ),
    Case(
        Z,
        401,
        raw(b"Access denied due to invalid subscription key"),
        401,
        LOGIN,
        EXPIRED,
        "credential",
    ),
    Case(
        Z,
        401,
        azure("PermissionDenied", "The principal `x` lacks the required data action `y`"),
        403,
        PERMISSION,
        REFUSED,
        "key",
    ),
    Case(
        Z,
        403,
        azure("AccessDenied", "Access denied due to Virtual Network/Firewall rules."),
        403,
        PERMISSION,
        "place_refused",
        "place",
    ),
    Case(
        Z,
        403,
        azure("403", "Public access is disabled. Please configure private endpoint."),
        403,
        PERMISSION,
        "place_refused",
        "place",
    ),
    Case(
        Z,
        400,
        azure("content_filter", "The response was filtered"),
        400,
        INVALID,
        "flagged",
        "flagged",
    ),
    Case(
        Z,
        429,
        azure("429", "Rate limit is exceeded. Try again in 27 seconds."),
        429,
        LIMIT,
        "rate_limited",
    ),
    Case(Z, 429, azure("RateLimitReached", "exceeded token rate limit"), 429, LIMIT, CROWDED),
    Case(Z, 429, azure("insufficient_quota", "no"), 429, LIMIT, "quota_spent"),
    Case(Z, 429, azure("TooManyRequests", "monthly quota used"), 429, LIMIT, "quota_spent"),
    Case(Z, 500, azure("InternalServerError", "no"), 500, SERVER, "server_error"),
    Case(Z, 503, azure("ServiceUnavailable", "no"), 529, OVERLOADED, "overloaded"),
    Case(Z, 404, azure("404", "Resource not found"), 404, "error", "no_route"),
    Case(
        Z, 400, ours(INVALID, "tools.0: Input tag 'web_fetch' found"), 400, INVALID, "bad_request"
    ),
)
