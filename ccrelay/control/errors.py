"""What a servicer raises, and what its failures become for the caller."""

from typing import NamedTuple

import grpc
from grpc import StatusCode

from ccrelay.control.authorise import Decision, Why

INTERNAL = "Internal error of the management plane: the log of the relay says more."


class Refused(Exception):
    """A servicer refuses a call.

    Args:
        code: gRPC status, as `grpc.StatusCode.NOT_FOUND` or by its name.
        message: one sentence that says what to do; the caller sees it.
    """

    def __init__(self, code: StatusCode | str, message: str) -> None:
        super().__init__(message)
        self.code = StatusCode[code] if isinstance(code, str) else code
        self.message = message


class Failure(NamedTuple):
    """What a caller is told. `is_ours`: it is a fault of the relay, and logged."""

    code: StatusCode
    message: str
    is_ours: bool = False


def failure_of(error: BaseException) -> Failure:
    """Return what a caller is told of an exception that ended a servicer's method."""
    if isinstance(error, Refused):
        return Failure(error.code, error.message)
    if isinstance(error, NotImplementedError):  # raised by the generated base classes
        return Failure(StatusCode.UNIMPLEMENTED, "This relay does not have that method.")
    if isinstance(error, TimeoutError):
        return Failure(StatusCode.DEADLINE_EXCEEDED, "The relay was not done in time.")
    return Failure(StatusCode.INTERNAL, INTERNAL, is_ours=True)


# The caller is not authenticated.
_NOT_SHOWN = (Why.NO_TOKEN, Why.WRONG_TOKEN, Why.NO_PAGE_KEY, Why.SIGNED_OUT)


def code_of(decision: Decision, is_known: bool) -> StatusCode:
    """Return the status of a call that is denied.

    Args:
        decision: of `authorise`.
        is_known: whether there is such a method, although it may not be called.
    """
    if decision.why in _NOT_SHOWN:
        return StatusCode.UNAUTHENTICATED
    if decision.why is Why.UNKNOWN and not is_known:
        return StatusCode.UNIMPLEMENTED
    return StatusCode.PERMISSION_DENIED


# Raised by `abort` of both kinds of contexts.
AbortError: type[Exception] = grpc.aio.AbortError
