from importlib import import_module
from typing import get_args

import pytest

from ccrelay.providers.base import STATUS_BY_TYPE, Cause
from ccrelay.providers.cloud_error_table import MEANING_BY_CAUSE, MEANING_BY_NAME, Meaning
from ccrelay.providers.cloud_errors import normal_name
from tests.unit.providers.cloud_error_cases import CASES


@pytest.mark.parametrize(("name", "meaning"), MEANING_BY_NAME.items())
def test_every_name_is_normal_and_its_type_agrees_with_its_status(
    name: str, meaning: Meaning
) -> None:
    assert normal_name(f"{name}Exception") == name
    assert meaning.type == "error" or STATUS_BY_TYPE[meaning.type] == meaning.status


def test_every_cause_that_a_text_tells_has_a_meaning() -> None:
    assert set(MEANING_BY_CAUSE) < set(get_args(Cause))
    for cause, meaning in MEANING_BY_CAUSE.items():
        assert meaning.cause == cause


def test_the_service_model_of_botocore_has_no_other_errors() -> None:
    """Every exception that botocore knows of the runtime is in the table."""
    loaders = import_module("botocore.loaders")
    model = loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    names = {name for name, shape in model["shapes"].items() if shape.get("exception")}
    assert names
    assert {name for name in names if normal_name(name) not in MEANING_BY_NAME} == set()
    statuses = {
        name: shape["error"]["httpStatusCode"]
        for name, shape in model["shapes"].items()
        if shape.get("exception") and "error" in shape
    }
    tried = {(case.status, normal_name(case.sent[1].decode())) for case in CASES}
    assert {(status, normal_name(name)) for name, status in statuses.items()} <= tried


def test_what_botocore_takes_for_throttling_is_a_limit() -> None:
    """Also with a status of 400."""
    standard = import_module("botocore.retries.standard")
    checkers = (standard.ThrottledRetryableChecker, standard.TransientRetryableChecker)
    throttled, transient = checkers[0]._THROTTLED_ERROR_CODES, checkers[1]._TRANSIENT_ERROR_CODES
    assert throttled
    assert {MEANING_BY_NAME[normal_name(name)].status for name in throttled} == {429}
    statuses = {MEANING_BY_NAME[normal_name(name)].status for name in transient}
    assert statuses <= {429, 504}
