"""Credentials at the mock clouds: signatures, tokens and their audience, keys. Pure."""

import base64
import datetime
from typing import Any

import msgspec

from ccrelay.demo import aws_signature
from ccrelay.demo.cloud import FOUNDRY_AUDIENCE, SERVICES, Cloud, Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_routes import Call
from ccrelay.demo.http1 import RequestHead

WRONG_KEY = "Authentication failed: Please make sure your API Key is valid."
NO_TOKEN = (
    "Request is missing required authentication credential. Expected OAuth 2 access token, login "
    "cookie or other valid authentication credential. See "
    "https://developers.google.com/identity/sign-in/web/devconsole-project."
)
WRONG_TOKEN = (
    f"Access token is missing, invalid, audience is incorrect ({FOUNDRY_AUDIENCE}), or have "
    "expired."
)


def authenticate(
    cloud: Cloud, call: Call, head: RequestHead, body: bytes, now: datetime.datetime
) -> str | None:
    """Check the credential of a request; returns the region that it was signed for.

    Raises:
        CloudError: it is refused, as this cloud refuses it.
    """
    if call.surface.is_aws:
        return _aws(cloud, call.surface, head, body, now)
    if call.surface.is_google:
        _google(cloud, call, head)
    else:
        _azure(cloud, head, now)
    return None


def _aws(
    cloud: Cloud, surface: Surface, head: RequestHead, body: bytes, now: datetime.datetime
) -> str | None:
    text = head.get("authorization") or ""
    region = cloud.region
    if text.startswith(aws_signature.ALGORITHM):
        found = aws_signature.verify(
            head,
            body,
            accepted=cloud.accepted,
            service=SERVICES[surface],
            region=cloud.region,
            now=now,
        )
        region = found.region
    else:
        _aws_key(cloud, surface, head)
    if surface is Surface.CLAUDE_AWS and not head.get("anthropic-workspace-id"):
        raise CloudError("anthropic-workspace-id: header is required")
    return region


def _aws_key(cloud: Cloud, surface: Surface, head: RequestHead) -> None:
    accepted = cloud.accepted
    token, key = _bearer(head), head.get("x-api-key")
    if surface is Surface.INVOKE:
        key = None  # which InvokeModel does not read
    given = token or key
    if not given:
        raise CloudError(name="MissingAuthenticationTokenException")
    if given in accepted.expired:
        raise CloudError("Bearer Token has expired", name="AccessDeniedException")
    # One key, in either header: its owner is the account, not the scheme.
    if given not in accepted.tokens and given not in accepted.api_keys:
        raise CloudError(WRONG_KEY, name="AccessDeniedException")


def _google(cloud: Cloud, call: Call, head: RequestHead) -> None:
    token = _bearer(head)
    if not token:
        raise CloudError(NO_TOKEN, name="UNAUTHENTICATED")
    if token not in cloud.accepted.tokens or token in cloud.accepted.expired:
        raise CloudError(name="UNAUTHENTICATED")
    if cloud.project is not None and call.project != cloud.project:
        raise CloudError(name="PERMISSION_DENIED")


def _azure(cloud: Cloud, head: RequestHead, now: datetime.datetime) -> None:
    accepted = cloud.accepted
    key, token = head.get("x-api-key") or head.get("api-key"), _bearer(head)
    if token:
        known = token in accepted.tokens or _is_for_foundry(token, now)
        if not known or token in accepted.expired:
            raise CloudError(WRONG_TOKEN, name="401")
    elif key not in accepted.api_keys or key in accepted.expired:
        raise CloudError(name="401")


def _bearer(head: RequestHead) -> str:
    scheme, _, token = (head.get("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_for_foundry(token: str, now: datetime.datetime) -> bool:
    """Whether a token is a JWT for Foundry that has not expired; its signature is not checked."""
    claims = _claims(token)
    audience, expires = claims.get("aud"), claims.get("exp")
    if not isinstance(audience, str) or not isinstance(expires, int | float):
        return False
    return audience.rstrip("/") == FOUNDRY_AUDIENCE and expires > now.timestamp()


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (ValueError, msgspec.DecodeError):
        return {}
