"""How an exchange went, in one word."""

import pytest

from ccrelay.ledger.record import Result
from ccrelay.relay.outcome import STALLED, result_of
from ccrelay.types import Ending


@pytest.mark.parametrize(
    ("status", "ending", "error", "is_final", "changed", "result"),
    [
        (200, Ending.COMPLETE, None, False, False, Result.OK),
        (200, Ending.COMPLETE, None, False, True, Result.FAILOVER),
        (200, Ending.ANSWERED, None, False, False, Result.OK),  # an estimate of the relay's
        (200, Ending.CLIENT_LEFT, None, False, True, Result.CLIENT_LEFT),
        (0, Ending.CLIENT_LEFT, "anything", True, False, Result.CLIENT_LEFT),
        (200, Ending.TIMED_OUT, STALLED, False, False, Result.CLIENT_LEFT),
        (400, Ending.COMPLETE, None, True, False, Result.PASSED_ON),
        (400, Ending.COMPLETE, None, True, True, Result.PASSED_ON),
        (200, Ending.COMPLETE, "error_event", True, False, Result.PASSED_ON),
        (404, Ending.ANSWERED, "No provider serves it.", True, False, Result.REFUSED),
        (413, Ending.ANSWERED, "Too large.", True, False, Result.REFUSED),
        (429, Ending.COMPLETE, None, False, True, Result.LOST),
        (529, Ending.COMPLETE, None, False, False, Result.LOST),
        (502, Ending.ANSWERED, "Provider one cannot be reached.", False, False, Result.LOST),
        (200, Ending.COMPLETE, "error_event", False, False, Result.LOST),
        (200, Ending.COMPLETE, "unfinished", False, False, Result.LOST),
        (200, Ending.UPSTREAM_CUT, "upstream_reset", False, False, Result.LOST),
        (200, Ending.UPSTREAM_CUT, None, False, True, Result.LOST),
        (200, Ending.TIMED_OUT, "upstream_idle", False, False, Result.LOST),
        (0, Ending.ABORTED, "The relay is shutting down.", False, False, Result.LOST),
        (0, Ending.COMPLETE, None, False, False, Result.LOST),
    ],
)
def test_result(
    status: int, ending: Ending, error: str | None, is_final: bool, changed: bool, result: Result
) -> None:
    assert result_of(status, int(ending), error, is_final, changed) == result
