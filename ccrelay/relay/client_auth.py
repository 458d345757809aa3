"""Client authentication: Host, Origin, what tells a browser, and relay tokens.

A connection keeps the result while its requests carry the same headers (`Downstream.recall`).
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from ccrelay._fast.http1 import FieldId, Head
from ccrelay.config.address import is_loopback
from ccrelay.config.model import Server
from ccrelay.errors import BadRequest, Forbidden, Unauthorized, WrongToken
from ccrelay.routing.conversation import client_number
from ccrelay.wire.headers import (
    client_tokens,
    host_allowed,
    host_set,
    is_signed,
    origin_allowed,
    site_allowed,
)

_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_X_API_KEY = int(FieldId.F_X_API_KEY)
_API_KEY = int(FieldId.F_API_KEY)
_HOST = int(FieldId.F_HOST)
_ORIGIN = int(FieldId.F_ORIGIN)
_SEC_FETCH_SITE = int(FieldId.F_SEC_FETCH_SITE)
_REFERER = int(FieldId.F_REFERER)


class ClientAuth(NamedTuple):
    """Result of authentication for one set of headers."""

    token_in_bearer: bool  # the Authorization header has a relay token, or AWS's signature
    token_in_key: bool  # the x-api-key header has one
    has_own: bool  # a header has a credential that is not a relay token
    # Whose requests these are, for all that clients share: a hash of the relay token; below 0, one
    # of the address, which is no proof; 0: unknown.
    client: int = 0


class Authenticator:
    """Authenticates clients against `server`.

    Relay tokens are compared by digest, in constant time.
    """

    def __init__(self, server: Server) -> None:
        self._tokens = [_digest(token.encode()) for token in server.auth.tokens]
        host, _, _ = server.listen.rpartition(":")
        # Nobody else can come: one token, or programs of this machine.
        self.is_for_one = len(set(self._tokens)) == 1 or (
            not self._tokens and is_loopback(host.strip("[]"))
        )
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
        if auth is None and is_signed(head.value(_AUTHORIZATION)):
            raise Unauthorized(
                "The relay cannot verify AWS signatures, and the request has no relay token. Set "
                "AWS_BEARER_TOKEN_BEDROCK to one of the relay's server.auth.tokens.",
                should_retry=False,
            )
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
        if any(names.count(name) > 1 for name in (b"authorization", b"x-api-key", b"api-key")):
            raise BadRequest("Duplicate credential header: send Authorization or x-api-key once.")
        authorization = head.value(_AUTHORIZATION)
        x_api_key = head.value(_X_API_KEY)
        # A signature is for AWS, and for the host that it names: it goes no further, like a token.
        signed = is_signed(authorization)
        if not self._tokens:
            own = (authorization is not None and not signed) or x_api_key is not None
            return ClientAuth(signed, False, own)
        bearer = client_tokens(authorization, None)
        key = client_tokens(None, x_api_key)
        azure = client_tokens(None, head.value(_API_KEY))  # Foundry's spelling; never passed on
        shown_in_bearer = self._token_among(bearer)
        shown_in_key = self._token_among(key)
        shown = shown_in_bearer or shown_in_key or self._token_among(azure)
        in_bearer, in_key = shown_in_bearer is not None, shown_in_key is not None
        if shown is None:
            if bearer or key or azure:
                raise WrongToken(
                    "The credential is not a valid relay token. Set ANTHROPIC_AUTH_TOKEN (or "
                    "ANTHROPIC_API_KEY) to one of the relay's server.auth.tokens.",
                    should_retry=False,
                )
            return None
        in_bearer |= signed
        own = (authorization is not None and not in_bearer) or (
            x_api_key is not None and not in_key
        )
        return ClientAuth(in_bearer, in_key, own, client_number(b"token", shown))

    def _token_among(self, tokens: Sequence[bytes]) -> bytes | None:
        """The digest of the first relay token among these; None: there is none."""
        for token in tokens:
            digest = _digest(token)
            found = False
            for known in self._tokens:
                found |= hmac.compare_digest(digest, known)
            if found:
                return digest
        return None


def client_of(auth: ClientAuth, address: bytes, head: Head) -> ClientAuth:
    """Complete the result for a client without a relay token: its address says whose it is.

    Where there is none (a Unix socket), its own credential does.

    Args:
        auth: what `Authenticator.admit` returned.
        address: of the connection's other end (`Downstream.client`).
        head: the request's.
    """
    if auth.client:
        return auth
    if address:
        return auth._replace(client=-client_number(b"peer", address))
    credential = None if auth.token_in_bearer else head.value(_AUTHORIZATION)
    credential = credential or head.value(_X_API_KEY)
    return auth._replace(client=-client_number(b"own", credential)) if credential else auth


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
