import re

import pytest
from click.testing import CliRunner

from ccrelay.cli.mock import mock
from ccrelay.demo.faults import FAULTS
from ccrelay.demo.plan import ReadBody
from ccrelay.errors import BadRequest
from tests.pages import text_of

QUICK = {
    "stall_head": {"seconds": "1"},
    "stall_mid_stream": {"seconds": "1"},
    "huge_event": {"size": "1000"},
}


def plan(name, context, **options):
    fault = FAULTS[name]
    return fault.plan(context, fault.convert(options), body_is_read=False)


def test_every_fault_and_option_is_in_the_table_that_the_page_names():
    assert "ccrelay mock --list-faults" in text_of("mock.md")
    printed = CliRunner().invoke(mock, ["--list-faults"]).output
    documented = dict(re.findall(r"^(\w+)((?:.*)(?:\n +.*)*)", printed, re.MULTILINE))
    assert set(FAULTS) == set(documented)
    for fault in FAULTS.values():
        assert fault.doc in documented[fault.name]
        missing = [name for name in fault.defaults if f" {name}=" not in documented[fault.name]]
        assert missing == [], f"ccrelay mock --list-faults, {fault.name}"


def test_every_fault_has_a_one_line_description():
    for fault in FAULTS.values():
        assert fault.doc.endswith(".")
        assert "\n" not in fault.doc


def test_no_option_has_the_name_of_a_fault():
    options = {name for fault in FAULTS.values() for name in fault.defaults}
    assert options & set(FAULTS) == set()


@pytest.mark.parametrize("name", list(FAULTS))
@pytest.mark.parametrize("stream", [True, False])
def test_every_fault_completes_for_streams_and_documents(payload, context, run, name, stream):
    made = context()
    body = context(payload("demo:text=hi", stream=stream)).body
    result = run(plan(name, made, **QUICK.get(name, {})), made, body)
    assert result.sent or result.close


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_works_for_requests_without_a_prompt(context, run, name):
    made = context(method="GET", target="/v1/models", minor=0)
    result = run(plan(name, made, **QUICK.get(name, {})), made)
    assert result.sent or result.close


@pytest.mark.parametrize("name", [n for n, fault in FAULTS.items() if fault.streams_only])
def test_stream_faults_do_not_change_documents(payload, context, run, name):
    made = context()
    result = run(plan(name, made), made, context(payload(stream=False)).body)
    assert result.document()["type"] == "message"


def test_faults_read_the_body_first_unless_they_declare_otherwise(context):
    first = {name: next(plan(name, context())) for name in FAULTS}
    others = [name for name, step in first.items() if step != ReadBody()]
    assert others == ["early_response", "slow_reader"]


@pytest.mark.parametrize(
    ("name", "option", "given", "value"),
    [
        ("status", "code", "503", 503),
        ("status", "retry_after", "1", "1"),
        ("status", "should_retry", "false", False),
        ("stall_head", "seconds", "0.5", 0.5),
        ("cut_mid_event", "clean", "true", True),
        ("json_200", "kind", "error", "error"),
    ],
)
def test_options_are_converted_to_their_types(name, option, given, value):
    assert FAULTS[name].convert({option: given}) == {option: value}


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("status", "colour", "red"),
        ("status", "code", "200"),
        ("status", "code", "many"),
        ("status", "should_retry", "perhaps"),
        ("slow_head", "seconds", "-1"),
        ("slow_head", "seconds", "nan"),
        ("slow_reader", "bytes_per_s", "0"),
        ("pings_only", "every", "0"),
        ("huge_event", "size", "99999999999"),
        ("json_200", "kind", "poem"),
    ],
)
def test_invalid_options_are_rejected_by_name(name, option, value):
    with pytest.raises(BadRequest) as caught:
        FAULTS[name].convert({option: value})
    assert option in caught.value.message
