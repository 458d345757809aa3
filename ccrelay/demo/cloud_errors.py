"""Errors in the form of each cloud. Pure.

A gateway answers for what it finds itself (credential, quota, path, model id); the rest is
Anthropic's own error. bedrock-runtime has AWS's form for both.
"""

from typing import Any

import msgspec

from ccrelay.demo.cloud import Surface
from ccrelay.errors import BadRequest

# AWS exception -> status: the service model of bedrock-runtime, and what signing may raise.
AWS_STATUS: dict[str, int] = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "ConflictException": 400,
    "IncompleteSignatureException": 403,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 403,
    "InvalidSignatureException": 403,
    "ExpiredTokenException": 403,
    "MissingAuthenticationTokenException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ModelTimeoutException": 408,
    "RequestEntityTooLargeException": 413,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
AWS_MESSAGES: dict[str, str] = {
    "ThrottlingException": "Too many tokens, please wait before trying again.",
    "ServiceQuotaExceededException": "Your account has reached its quota of this model.",
    "AccessDeniedException": "You don't have access to the model with the specified model ID.",
    "UnrecognizedClientException": "The security token included in the request is invalid.",
    "ExpiredTokenException": "The security token included in the request is expired",
    "InvalidSignatureException": "The request signature we calculated does not match the signature"
    " you provided. Check your AWS Secret Access Key and signing method. Consult the service "
    "documentation for details.",
    "MissingAuthenticationTokenException": "Missing Authentication Token",
    "ModelNotReadyException": "Model is not ready for inference. Please try again later.",
    "ModelTimeoutException": "The model did not respond in time.",
    "ModelErrorException": "The model failed to process the request.",
    "ModelStreamErrorException": "The model failed while streaming.",
    "InternalServerException": "The system encountered an unexpected error during processing. "
    "Try your request again.",
    "ServiceUnavailableException": "Bedrock is unable to process your request.",
    "ResourceNotFoundException": "Could not resolve the foundation model from the provided model "
    "identifier.",
    "ValidationException": "The provided model identifier is invalid.",
}
GOOGLE_STATUS: dict[str, int] = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
GOOGLE_MESSAGES: dict[str, str] = {
    "UNAUTHENTICATED": "Request had invalid authentication credentials. Expected OAuth 2 access "
    "token, login cookie or other valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project.",
    "RESOURCE_EXHAUSTED": "Quota exceeded for aiplatform.googleapis.com/"
    "online_prediction_requests_per_base_model with base model: anthropic-claude. Please submit "
    "a quota increase request.",
    "UNAVAILABLE": "The service is currently unavailable.",
    "INTERNAL": "Internal error encountered.",
    "DEADLINE_EXCEEDED": "Deadline expired before operation could complete.",
    "PERMISSION_DENIED": "Permission 'aiplatform.endpoints.predict' denied on resource (or it may "
    "not exist).",
    "NOT_FOUND": "Publisher Model was not found or your project does not have access to it.",
}
AZURE_STATUS: dict[str, int] = {
    "401": 401,
    "PermissionDenied": 401,
    "DeploymentNotFound": 404,
    "404": 404,
    "content_filter": 400,
    "429": 429,
    "RequestTooLarge": 413,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
}
AZURE_MESSAGES: dict[str, str] = {
    "401": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
    "provide a valid key for an active subscription and use a correct regional API endpoint for "
    "your resource.",
    "PermissionDenied": "The principal lacks the required data action to perform this operation.",
    "DeploymentNotFound": "The API deployment for this resource does not exist. If you created the "
    "deployment within the last 5 minutes, please wait a moment and try again.",
    "404": "Resource not found",
    "content_filter": "The response was filtered due to the prompt triggering content management "
    "policy.",
    "429": "Requests to the deployment have exceeded the call rate limit. Please retry after 6 "
    "seconds.",
    "InternalServerError": "The server had an error while processing your request.",
    "ServiceUnavailable": "The service is temporarily unable to process your request.",
}
# Where a status has several names: the one that `status=N` means.
_USUAL = {
    *("ValidationException", "AccessDeniedException", "ResourceNotFoundException"),
    *("ModelErrorException", "ThrottlingException"),
    *("INVALID_ARGUMENT", "INTERNAL", "401", "DeploymentNotFound"),
}


class CloudError(BadRequest):
    """An error of a cloud.

    Args:
        message: for the client.
        name: AWS exception, Google status or Azure code; empty: an error of the model, which has
            Anthropic's form where the gateway passes it on.
        status: HTTP status; with a name, its own by default.
        headers: more response fields.
    """

    def __init__(
        self,
        message: str = "",
        *,
        name: str = "",
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.name = name
        self.headers = headers
        words = AWS_MESSAGES.get(name) or GOOGLE_MESSAGES.get(name) or AZURE_MESSAGES.get(name)
        super().__init__(message or words or name, status=status or status_of(name) or 400)


def status_of(name: str) -> int | None:
    """Return the status of a name of any cloud; None: unknown."""
    return AWS_STATUS.get(name) or GOOGLE_STATUS.get(name) or AZURE_STATUS.get(name)


def gateway_name(surface: Surface, status: int) -> str:
    """Return the name that a surface's gateway has for a status; empty: the model answers it."""
    others = GOOGLE_STATUS if surface.is_google else AZURE_STATUS
    names = AWS_STATUS if surface.is_aws else others
    found = [name for name, its in names.items() if its == status]
    usual = next((name for name in found if name in _USUAL), found[0] if found else "")
    if not surface.is_bedrock_runtime:
        # What is wrong in a body, the model says.
        return "" if status == 400 else usual
    return usual or "InternalServerException"


def body_of(surface: Surface, error: CloudError, *, streamed: bool) -> bytes | None:
    """Return the body of a gateway's error; None: it has Anthropic's form.

    `streamed`: on Google's stream verb, whose errors are an array.
    """
    name = error.name
    if not name and surface.is_bedrock_runtime:
        name = "ValidationException"
    if not name:
        return None
    if surface.is_aws:
        return msgspec.json.encode({"message": error.message})
    if surface.is_google:
        return _google(error, array=streamed)
    return msgspec.json.encode({"error": {"code": name, "message": error.message}})


def headers_of(surface: Surface, error: CloudError) -> tuple[tuple[str, str], ...]:
    """Return the response fields that say what an error is."""
    if surface.is_aws and (error.name or surface.is_bedrock_runtime):
        kind = error.name or "ValidationException"
        # The suffix is there in practice, and clients cut it off.
        return (("x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/"), *error.headers)
    if surface.is_google and error.status == 401:
        challenge = 'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        return (("www-authenticate", challenge), *error.headers)
    return error.headers


def _google(error: CloudError, *, array: bool) -> bytes:
    inner: dict[str, Any] = {
        "code": error.status,
        "message": error.message,
        "status": error.name,
    }
    if error.name == "UNAUTHENTICATED":
        reason = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            "metadata": {"service": "aiplatform.googleapis.com"},
        }
        inner["details"] = [reason]
    whole: Any = {"error": inner}
    return msgspec.json.encode([whole] if array else whole)
