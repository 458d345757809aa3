"""Errors raised by the relay itself, by phase, with the status the client gets.

    RelayError
      BadRequest        400, the request is unreadable or cannot be routed
        CannotServe     a provider lacks what the request needs: another may have it
      Unauthorized      401, no valid relay token
        WrongToken      a credential that is none: perhaps a guess
      Forbidden         403, Host not allowed, or a web page
      NotFound          404, unknown path or model
      MethodNotAllowed  405, the path is served for other methods
      TooLarge          413 / 431, over a limit of ours
      SlowClient        408, head or body not sent in time
      NoTarget          529, no usable target
        AllUnavailable  429 / 529, every target is unavailable until a known time
      UpstreamFailed    502 / 504, connect, reset, garbage, time limit
        Exhausted       529, this machine can open no connection

`ccrelay.wire.errors` renders all of them as Anthropic-shaped JSON. The mapping of status to
`error.type` is that of Anthropic's errors page.
"""

TYPE_BY_STATUS: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    411: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    431: "request_too_large",
    500: "api_error",
    501: "not_supported",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class RelayError(Exception):
    """An error response of the relay.

    Args:
        message: one or two sentences: what happened and what to do.
        status: HTTP status to send.
        retry_after_s: integer seconds for `retry-after`, or None.
        should_retry: value of `x-should-retry`, or None to leave it out.
    """

    status = 500
    # Whether `retry_after_s` is known rather than estimated: then it is sent uncapped.
    knows_when = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry

    @property
    def type(self) -> str:
        """Anthropic's `error.type` for this status."""
        return TYPE_BY_STATUS.get(self.status, "api_error")


class BadRequest(RelayError):
    """The request is unreadable or cannot be routed."""

    status = 400


class CannotServe(BadRequest):
    """A provider lacks what the request needs, and is not asked: another may have it.

    `message` names the provider and what it lacks, and is for the client when no other is left.
    """


class Unauthorized(RelayError):
    """The request has no valid relay token."""

    status = 401


class WrongToken(Unauthorized):
    """The request has a credential that is no relay token: perhaps a guess."""


class Forbidden(RelayError):
    """The Host of the request is not allowed, or it comes from a web page."""

    status = 403


class NotFound(RelayError):
    """Unknown path, or a model that no provider serves."""

    status = 404


class MethodNotAllowed(RelayError):
    """The path is served for other methods. `allow`: these, as for the header of that name."""

    status = 405

    def __init__(self, message: str, *, allow: bytes) -> None:
        super().__init__(message)
        self.allow = allow


class TooLarge(RelayError):
    """Head (431) or body (413) over a limit."""

    status = 413


class SlowClient(RelayError):
    """Head or body was not sent in time."""

    status = 408


class NoTarget(RelayError):
    """No target can serve this request."""

    status = 529


class AllUnavailable(NoTarget):
    """Every target is unavailable for longer than a request may be queued."""

    knows_when = True


class UpstreamFailed(RelayError):
    """The provider was unreachable, closed the connection early, or sent invalid HTTP."""

    status = 502

    # True: the cause is on this side, and proves nothing of the provider.
    is_own = False


class Exhausted(UpstreamFailed):
    """The relay's own process or machine can open no connection: descriptors, ports or memory."""

    status = 529
    is_own = True
