import json
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from ccrelay.config.model import Health
from ccrelay.providers.base import STATUS_BY_TYPE, Fault
from ccrelay.providers.cloud import CloudDialect
from ccrelay.providers.cloud_errors import bare_name, normal_name, read_error
from ccrelay.routing.verdict import of_event, of_status
from tests.unit.providers.cloud_error_cases import CASES, Case
from tests.unit.providers.clouds import CLOUDS, cloud

NOW = 1_790_000_000.0
DIALECTS = {name: cloud(name) for name in CLOUDS}


def read(case: Case) -> Fault:
    return DIALECTS[case.cloud].read_error(case.status, case.sent[0], case.get)


def label(case: Case) -> str:
    return f"{case.cloud}-{case.status}-{case.verdict}-{case.sent[1][:20].decode()}"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_each_error_is_read_by_its_name_and_text(case: Case) -> None:
    fault = read(case)
    assert (fault.status, fault.type, fault.cause, fault.day) == (
        *(case.read, case.type, case.cause),
        case.day,
    )


@pytest.mark.parametrize("case", CASES, ids=label)
def test_each_error_has_its_verdict(case: Case) -> None:
    dialect, body = DIALECTS[case.cloud], case.sent[0]
    if case.status < 400:
        verdict = of_event(body, case.get, dialect, Health(), NOW, own_key=True)
    else:
        verdict = of_status(case.status, case.get, body, dialect, Health(), NOW, own_key=True)
    assert verdict.reason == case.verdict
    assert verdict.elsewhere is (case.verdict not in ("bad_request", "flagged"))


@pytest.mark.parametrize("case", CASES, ids=label)
def test_each_error_goes_to_the_client_in_anthropics_shape(case: Case) -> None:
    dialect, body = DIALECTS[case.cloud], case.sent[0]
    status, told = dialect.translate_error(case.status, body, case.get)
    shape = json.loads(told)
    assert status == (case.client_status or case.read)
    assert shape["type"] == "error"
    assert shape["error"]["type"] in STATUS_BY_TYPE
    text = shape["error"]["message"]
    if case.client is not None:
        assert text == case.client
    else:
        assert json.dumps(text)[1:-1] in body.decode() or text in body.decode()
    # What was translated is read in the same way again.
    again = dialect.translate_error(status, told)
    assert again == (status, told)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_only_a_refused_credential_asks_for_another(case: Case) -> None:
    is_expired = DIALECTS[case.cloud].is_expired(case.status, case.sent[0], case.get)
    assert is_expired is (case.cause == "credential")


def test_an_error_of_anthropics_shape_keeps_its_bytes() -> None:
    body = b'{"type" : "error", "n": 1.0, "error":{"message":"x","type":"api_error"}}\n'
    for dialect in DIALECTS.values():
        assert dialect.translate_error(500, body) == (500, body)
    numbered = body.replace(b'"x"', b'"account 123456789012"')
    _, masked = DIALECTS["foundry"].translate_error(500, numbered)
    assert b'"n":1.0' in masked
    assert json.loads(masked)["error"]["message"] == "account ************"


def test_no_number_of_an_account_is_told() -> None:
    for case in CASES:
        fault = read(case)
        told = DIALECTS[case.cloud].translate_error(case.status, case.sent[0], case.get)[1]
        assert "123456789012" not in fault.message + told.decode()
        assert "projects/test-project-1" not in fault.message + told.decode()


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ({b"x-amzn-requestid": b"0a1b"}, "0a1b"),
        ({b"x-goog-request-id": b"g-1", b"x-amzn-requestid": b"a-1"}, "a-1"),
        ({b"request-id": b"req_1", b"apim-request-id": b"z-1"}, "req_1"),
        ({b"apim-request-id": b"z-1"}, "z-1"),
        ({b"apim-request-id": b"bad id\x00"}, None),
        ({b"apim-request-id": b"\xff"}, None),
        ({}, None),
    ],
)
def test_the_clouds_request_id_is_told(head: dict[bytes, bytes], told: str | None) -> None:
    _, body = DIALECTS["foundry"].translate_error(500, b'{"message":"m"}', head.get)
    assert json.loads(body)["request_id"] == told


@pytest.mark.parametrize(
    "body", [b"", b"<html>down", b"upstream connect error", b"{}", b"[]", b"7"]
)
def test_what_is_no_error_of_an_api_stays_as_it_is(body: bytes) -> None:
    for dialect in DIALECTS.values():
        assert dialect.translate_error(502, body) == (502, body)
        assert dialect.read_error(502, body).type == ""


def test_an_error_without_a_text_gets_its_name() -> None:
    body = b'{"__type":"a.b#ThrottlingException:x"}'
    _, told = DIALECTS["bedrock_invoke"].translate_error(429, body)
    assert json.loads(told)["error"]["message"] == "ThrottlingException"


@pytest.mark.parametrize("spent", ["per day", "daily quota", "TPD", "per month"])
def test_a_spent_quota_forbids_retries_and_a_burst_does_not(spent: str) -> None:
    invoke = DIALECTS["bedrock_invoke"]
    body = b'{"__type":"ThrottlingException","message":"Too many tokens %s"}'
    assert invoke.forbids_retry(body % spent.encode())
    assert not invoke.forbids_retry(body % b"per minute")


@pytest.mark.parametrize(
    ("name", "bare", "normal"),
    [
        ("ThrottlingException:http://x/y", "ThrottlingException", "throttling"),
        ("com.amazon.x#ThrottledException", "ThrottledException", "throttled"),
        ("modelStreamErrorException", "modelStreamErrorException", "modelstreamerror"),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "resourceexhausted"),
        ("content_filter", "content_filter", "contentfilter"),
        ("", "", ""),
        (":", "", ""),
        ("#" * 400, "", ""),
    ],
)
def test_names_are_compared_without_package_case_and_ending(
    name: str, bare: str, normal: str
) -> None:
    assert (bare_name(name), normal_name(name)) == (bare, normal)


# ---- hostile bodies

_WORDS = st.sampled_from(
    [
        *("error", "message", "Message", "__type", "type", "code", "status", "details", "Output"),
        *("error_code", "reason", "metadata", "quota_limit_value", "originalStatusCode"),
        *("ThrottlingException", "RESOURCE_EXHAUSTED", "DeploymentNotFound", "error", "0", "429"),
        *("rate_limit_error", "123456789012", '{"error":{"message":"x"}}', "per day", "request_id"),
    ]
)
_VALUES: Any = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _WORDS, st.text()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(_WORDS, st.text()), inner, max_size=5),
    ),
    max_leaves=12,
)
_BODIES = st.one_of(st.binary(max_size=300), _VALUES.map(lambda value: json.dumps(value).encode()))
_HEADS = st.dictionaries(
    st.sampled_from([b"x-amzn-errortype", b"x-amzn-requestid", b"retry-after", b"request-id"]),
    st.one_of(st.binary(max_size=60), _WORDS.map(str.encode)),
)
_STATUSES = st.one_of(st.integers(100, 599), st.sampled_from([200, 400, 401, 403, 404, 429, 503]))


@settings(deadline=None)
@given(_STATUSES, _BODIES, _HEADS, st.sampled_from(sorted(CLOUDS)))
@example(429, b"[" * 99_999, {}, "vertex")
@example(429, b'{"error":' * 2_000, {}, "vertex")
@example(400, b'{"error":{"details":[' + b"{}," * 40_000 + b"{}]}}", {}, "vertex")
@example(400, b'{"message":"\\ud800 123456789012"}', {}, "bedrock_invoke")
@example(200, b'{"type":"error","error":{"type":"x\\u0000","message":"\xc3\xa4"}}', {}, "foundry")
def test_no_body_and_no_head_raises(
    status: int, body: bytes, head: dict[bytes, bytes], name: str
) -> None:
    dialect: CloudDialect = DIALECTS[name]
    fault = dialect.read_error(status, body, head.get)
    assert 400 <= fault.status <= 599 or not fault.type
    told, translated = dialect.translate_error(status, body, head.get)
    if fault.type:
        assert 400 <= told <= 599
        assert json.loads(translated)["error"]["type"] in STATUS_BY_TYPE or translated == body
    if status >= 400:
        of_status(status, head.get, body, dialect, Health(), NOW, own_key=True)
    else:
        of_event(body, head.get, dialect, Health(), NOW, own_key=True)
    dialect.is_expired(status, body, head.get)
    dialect.forbids_retry(body)
    read_error(status, body, head.get)


@pytest.mark.parametrize("unit", ["model ", "a 123456789012 ", "token expired ", "\\u00e4 "])
def test_the_text_of_a_large_body_is_cut_and_the_work_with_it(unit: str) -> None:
    body = b'{"message":"%b"}' % (unit.encode() * 60_000)
    dialect = DIALECTS["vertex"]
    _, told = dialect.translate_error(400, body)
    assert len(json.loads(told)["error"]["message"]) <= 16_384
    assert len(dialect.read_error(400, body).message) <= 4096
