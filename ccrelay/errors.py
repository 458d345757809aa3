"""Errors the relay itself makes: which phase, what the client is told.

    RelayError
      BadRequest        400, the request cannot be read or routed as sent
      Unauthorized      401, no valid relay token
      Forbidden         403, Host or Origin not allowed
      NotFound          404, unknown path or model
      TooLarge          413 / 431, over a limit of ours
      SlowClient        408, head or body not sent in time
      NoTarget          503-like 529, nothing usable can serve this now
        AllUnavailable      429 / 529, every target rests, and it is known until when
      UpstreamFailed    502 / 504, connect, reset, garbage, time limit

Every one of them is sent as Anthropic-shaped JSON by `ccrelay.wire.errors`.
The mapping of status to `error.type` is the one of the Anthropic errors page.
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
    """An answer the relay gives by itself.

    Args:
        message: one sentence: what happened and what to do.
        status: HTTP status to send.
        retry_after_s: integer seconds for `retry-after`, or None.
        should_retry: value of `x-should-retry`, or None to leave it out.
    """

    status = 500
    # Whether `retry_after_s` is a fact, not a guess: facts are told however long they are.
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
    """The request cannot be read or routed as it was sent."""

    status = 400


class Unauthorized(RelayError):
    """No valid relay token came with the request."""

    status = 401


class Forbidden(RelayError):
    """The Host or Origin of the request is not allowed."""

    status = 403


class NotFound(RelayError):
    """Unknown path, or a model that no provider serves."""

    status = 404


class TooLarge(RelayError):
    """Head (431) or body (413) over a limit."""

    status = 413


class SlowClient(RelayError):
    """Head or body was not sent in time."""

    status = 408


class NoTarget(RelayError):
    """Nothing usable can serve this request now."""

    status = 529


class AllUnavailable(NoTarget):
    """Every target rests, or has no room, for longer than a request may wait."""

    knows_when = True


class UpstreamFailed(RelayError):
    """The provider could not be reached, broke off, or sent what is not HTTP."""

    status = 502
