"""Client authentication: Host, Origin, what tells a browser, and relay tokens.

A connection keeps the result while its requests carry the same headers (`Downstream.recall`).
"""

import hashlib
import hmac
from typing import NamedTuple

from ccrelay._fast.http1 import FieldId, Head
from ccrelay.config.model import Server
from ccrelay.errors import BadRequest, Forbidden, Unauthorized, WrongToken
from ccrelay.wire.headers import (
    client_tokens,
    host_allowed,
    host_set,
    origin_allowed,
    site_allowed,
)

_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_X_API_KEY = int(FieldId.F_X_API_KEY)
_HOST = int(FieldId.F_HOST)
_ORIGIN = int(FieldId.F_ORIGIN)
_SEC_FETCH_SITE = int(FieldId.F_SEC_FETCH_SITE)
_REFERER = int(FieldId.F_REFERER)


class ClientAuth(NamedTuple):
    """Result of authentication for one set of headers."""

    token_in_bearer: bool  # the Authorization header has a relay token
    token_in_key: bool  # the x-api-key header has one
    has_own: bool  # a header has a credential that is not a relay token
    client: bytes | None = None  # names the holder of the token; None: the client is its address


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
        """Raise Forbidden for a Host that is not allowed, or a web page's request.

        A page is refused unless its Origin is allowed, on every path: what it cannot read still
        costs quota, and tells that a relay runs here.
        """
        host = head.value(_HOST)
        if host is None or not host_allowed(host, self._hosts):
            raise Forbidden(
                "Host not allowed: add it to server.allowed_hosts if clients use it.",
                should_retry=False,
            )
        origin = head.value(_ORIGIN)
        if origin is not None:
            if not origin_allowed(origin, self._origins):
                raise Forbidden(
                    "Origin not allowed: add it to server.allowed_origins if you trust its pages.",
                    should_retry=False,
                )
        elif not site_allowed(
            head.value(_SEC_FETCH_SITE), head.value(_REFERER), host, self._origins
        ):
            raise Forbidden(
                "The request comes from a web page, by its Sec-Fetch-Site or Referer, and has no "
                "Origin that server.allowed_origins lists.",
                should_retry=False,
            )

    def admit(self, head: Head) -> ClientAuth:
        """Authenticate a request.

        Raises:
            Forbidden: Host not allowed, or a web page's request.
            BadRequest: duplicate credential header.
            WrongToken, Unauthorized: tokens are configured and the request has none of them.
        """
        self.check_host(head)
        auth = self._identified(head)
        if auth is None:
            raise Unauthorized(
                "The credential is missing. Set ANTHROPIC_AUTH_TOKEN (or ANTHROPIC_API_KEY) "
                "to one of the relay's server.auth.tokens.",
                should_retry=False,
            )
        return auth

    def is_known(self, head: Head) -> bool:
        """Whether the client may see the relay's state: no tokens are configured, or it has one.

        Raises:
            BadRequest: duplicate credential header.
            WrongToken: it has a credential that is none.
        """
        return not self._tokens or self._identified(head) is not None

    def _identified(self, head: Head) -> ClientAuth | None:
        """The result of authentication; None: tokens are configured, and no credential is there."""
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
            if bearer or key:
                raise WrongToken(
                    "The credential is not a valid relay token. Set ANTHROPIC_AUTH_TOKEN (or "
                    "ANTHROPIC_API_KEY) to one of the relay's server.auth.tokens.",
                    should_retry=False,
                )
            return None
        own = (authorization is not None and not in_bearer) or (
            x_api_key is not None and not in_key
        )
        shown = bearer if in_bearer else key
        client = next(b"token:" + _digest(token) for token in shown if self._is_token(token))
        return ClientAuth(in_bearer, in_key, own, client)

    def _is_token(self, token: bytes) -> bool:
        digest = _digest(token)
        found = False
        for known in self._tokens:
            found |= hmac.compare_digest(digest, known)
        return found


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
