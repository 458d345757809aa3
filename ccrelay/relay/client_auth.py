"""Client authentication: Host, Origin and relay tokens.

A connection keeps the result while its requests carry the same headers (`Downstream.recall`).
"""

import hashlib
import hmac
from typing import NamedTuple

from ccrelay._fast.http1 import FieldId, Head
from ccrelay.config.model import Server
from ccrelay.errors import BadRequest, Forbidden, Unauthorized
from ccrelay.wire.headers import client_tokens, host_allowed, host_set, origin_allowed

_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_X_API_KEY = int(FieldId.F_X_API_KEY)
_HOST = int(FieldId.F_HOST)
_ORIGIN = int(FieldId.F_ORIGIN)


class ClientAuth(NamedTuple):
    """Result of authentication for one set of headers."""

    token_in_bearer: bool  # the Authorization header has a relay token
    token_in_key: bool  # the x-api-key header has one
    has_own: bool  # a header has a credential that is not a relay token


class Authenticator:
    """Authenticates clients against `server`.

    Relay tokens are compared by digest, in constant time.
    """

    def __init__(self, server: Server) -> None:
        self._tokens = [_digest(token.encode()) for token in server.auth.tokens]
        host, _, _ = server.listen.rpartition(":")
        self._hosts = host_set([*server.allowed_hosts, host])
        self._origins = frozenset(origin.lower() for origin in server.allowed_origins)

    def check_host(self, head: Head) -> None:
        """Raise Forbidden for a Host or Origin that is not allowed."""
        host = head.value(_HOST)
        if host is not None and not host_allowed(host, self._hosts):
            raise Forbidden(
                "Host not allowed: add it to server.allowed_hosts if clients use it.",
                should_retry=False,
            )
        if not origin_allowed(head.value(_ORIGIN), self._origins):
            raise Forbidden(
                "Origin not allowed: add it to server.allowed_origins if you trust its pages.",
                should_retry=False,
            )

    def admit(self, head: Head) -> ClientAuth:
        """Authenticate a request.

        Raises:
            Forbidden: Host or Origin not allowed.
            BadRequest: duplicate credential header.
            Unauthorized: tokens are configured and the request has none of them.
        """
        self.check_host(head)
        names = [name.lower() for name, _ in head.items()]
        if names.count(b"authorization") > 1 or names.count(b"x-api-key") > 1:
            raise BadRequest("Duplicate credential header: send Authorization or x-api-key once.")
        authorization = head.value(_AUTHORIZATION)
        x_api_key = head.value(_X_API_KEY)
        if not self._tokens:
            return ClientAuth(False, False, authorization is not None or x_api_key is not None)
        bearer = client_tokens(authorization, None)
        key = client_tokens(None, x_api_key)
        in_bearer = any(self._is_token(token) for token in bearer)
        in_key = any(self._is_token(token) for token in key)
        if not (in_bearer or in_key):
            what = "not a valid relay token" if bearer or key else "missing"
            raise Unauthorized(
                f"The credential is {what}. Set ANTHROPIC_AUTH_TOKEN (or ANTHROPIC_API_KEY) "
                "to one of the relay's server.auth.tokens.",
                should_retry=False,
            )
        own = (authorization is not None and not in_bearer) or (
            x_api_key is not None and not in_key
        )
        return ClientAuth(in_bearer, in_key, own)

    def _is_token(self, token: bytes) -> bool:
        digest = _digest(token)
        found = False
        for known in self._tokens:
            found |= hmac.compare_digest(digest, known)
        return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
