from grpc import StatusCode

from ccrelay.control.authorise import Decision, Why
from ccrelay.control.errors import INTERNAL, Refused, code_of, failure_of


def test_what_becomes_of_exceptions() -> None:
    assert failure_of(Refused("NOT_FOUND", "x")) == (StatusCode.NOT_FOUND, "x", False)
    assert failure_of(Refused(StatusCode.ABORTED, "y")) == (StatusCode.ABORTED, "y", False)
    assert failure_of(NotImplementedError())[0] is StatusCode.UNIMPLEMENTED
    assert failure_of(TimeoutError())[0] is StatusCode.DEADLINE_EXCEEDED
    assert failure_of(KeyError("secret")) == (StatusCode.INTERNAL, INTERNAL, True)


def test_what_becomes_of_denials() -> None:
    codes = {why: code_of(Decision(why), True) for why in Why}
    assert codes == {
        Why.USER: StatusCode.PERMISSION_DENIED,
        Why.HOST: StatusCode.PERMISSION_DENIED,
        Why.ORIGIN: StatusCode.PERMISSION_DENIED,
        Why.NO_TOKEN: StatusCode.UNAUTHENTICATED,
        Why.WRONG_TOKEN: StatusCode.UNAUTHENTICATED,
        Why.NO_PAGE_KEY: StatusCode.UNAUTHENTICATED,
        Why.SIGNED_OUT: StatusCode.UNAUTHENTICATED,
        Why.READ_ONLY: StatusCode.PERMISSION_DENIED,
        Why.UNKNOWN: StatusCode.PERMISSION_DENIED,
    }
    assert code_of(Decision(Why.UNKNOWN), False) is StatusCode.UNIMPLEMENTED
