import json
from collections.abc import Callable

import pytest

from ccrelay.config.model import Provider
from ccrelay.providers.zai import MEANING_BY_CODE, ZaiDialect, always_thinks
from ccrelay.types import RequestClass
from ccrelay.wire.errors import error_type

Make = Callable[..., Provider]


@pytest.fixture
def zai(make: Make) -> ZaiDialect:
    return ZaiDialect(make("zai"))


@pytest.mark.parametrize(
    ("model", "always"),
    [("glm-5.3", True), ("GLM-5.3-Flash", True), ("glm-5.2", False), ("my-glm-5.3", False)],
)
def test_always_thinking_models_are_recognised(zai: ZaiDialect, model: str, always: bool) -> None:
    assert always_thinks(model) is always
    assert zai.needs_rewrite(model) is always


def test_folding_system_turns_requires_a_rewrite(make: Make) -> None:
    assert ZaiDialect(make("zai", system_role="user")).needs_rewrite("glm-4.7")


@pytest.mark.parametrize(
    ("body", "rewritten"),
    [
        (
            b'{"model":"a","thinking":{"type":"disabled"},"n":1.0}',
            b'{"model":"glm-5.3","thinking":{"type":"adaptive"},"n":1.0,'
            b'"output_config":{"effort":"low"}}',
        ),
        (
            b'{"model":"a","output_config":{"effort":"high","format":{"x":1e400}},'
            b'"thinking":{"type":"disabled"}}',
            b'{"model":"glm-5.3","output_config":{"effort":"low","format":{"x":1e400}},'
            b'"thinking":{"type":"adaptive"}}',
        ),
        (
            b'{"model":"a","thinking":{"type":"enabled","budget_tokens":1.0}}',
            b'{"model":"glm-5.3","thinking":{"type":"enabled","budget_tokens":1.0}}',
        ),
        (b'{"model":"a","thinking":null}', b'{"model":"glm-5.3","thinking":null}'),
        (b'{"model":"a"}', b'{"model":"glm-5.3"}'),
    ],
)
def test_disabled_thinking_becomes_adaptive_with_low_effort(
    zai: ZaiDialect, body: bytes, rewritten: bytes
) -> None:
    assert zai.rewrite(body, "glm-5.3", RequestClass.MESSAGES) == rewritten


def test_other_models_keep_disabled_thinking(make: Make) -> None:
    body = b'{"model":"glm-4.7","thinking":{"type":"disabled"}}'
    zai = ZaiDialect(make("zai", system_role="user"))
    assert zai.rewrite(body, "glm-4.7", RequestClass.MESSAGES) == body


@pytest.mark.parametrize(("code", "meaning"), MEANING_BY_CODE.items())
def test_every_code_of_the_table_is_translated(zai: ZaiDialect, code: int, meaning: object) -> None:
    row = MEANING_BY_CODE[code]
    body = json.dumps({"error": {"code": str(code), "message": "m"}, "request_id": "r"}).encode()
    status, translated = zai.translate_error(418, body)
    shape = json.loads(translated)
    assert status == row.status
    assert shape["error"] == {"type": row.type, "message": f"[{code}] m"}
    assert shape["request_id"] == "r"
    assert error_type(row.status) == row.type, "the table agrees with Anthropic's"


@pytest.mark.parametrize(
    ("status", "expected", "kind"),
    [
        (429, 429, "rate_limit_error"),
        (434, 403, "permission_error"),
        (435, 413, "request_too_large"),
        (503, 503, "overloaded_error"),
        (418, 418, "invalid_request_error"),
        (200, 500, "api_error"),
    ],
)
def test_an_unknown_code_follows_the_status(
    zai: ZaiDialect, status: int, expected: int, kind: str
) -> None:
    translated = zai.translate_error(status, b'{"error":{"code":"9999","message":"m"}}')
    assert translated[0] == expected
    assert json.loads(translated[1])["error"] == {"type": kind, "message": "[9999] m"}


@pytest.mark.parametrize(
    "error", [b'{"code":1302,"message":"m"}', b'{"type":"1302","message":"m"}']
)
def test_a_code_is_read_as_a_number_or_from_the_type(zai: ZaiDialect, error: bytes) -> None:
    status, body = zai.translate_error(500, b'{"type":"error","error":%b}' % error)
    assert (status, json.loads(body)["error"]["type"]) == (429, "rate_limit_error")


def test_the_code_is_not_added_twice_to_a_message(zai: ZaiDialect) -> None:
    _, body = zai.translate_error(429, b'{"error":{"code":"1302","message":"[1302] slow"}}')
    assert json.loads(body)["error"]["message"] == "[1302] slow"


def test_an_error_without_a_message_gets_one(zai: ZaiDialect) -> None:
    _, body = zai.translate_error(400, b'{"error":{}}')
    assert json.loads(body)["error"]["message"] == "Z.AI answered with status 400."


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"error", "error":{"type":"overloaded_error","message":"x","n":1.0}}',
        b"<html>bad gateway</html>",
        b"",
        b'{"error":"text"}',
        b'{"message":"no error member"}',
        b"[" * 99_999,
    ],
)
def test_anthropic_errors_and_unreadable_bodies_stay_unchanged(
    zai: ZaiDialect, body: bytes
) -> None:
    assert zai.translate_error(502, body) == (502, body)
    assert not zai.forbids_retry(body)


def test_a_vendor_status_is_translated_without_a_body(zai: ZaiDialect) -> None:
    assert zai.translate_error(435, b"") == (413, b"")


@pytest.mark.parametrize(
    ("code", "useless"), [("1113", True), ("1308", True), ("1302", False), ("9999", False)]
)
def test_a_spent_quota_forbids_retries_and_a_burst_does_not(
    zai: ZaiDialect, code: str, useless: bool
) -> None:
    body = b'{"error":{"code":"%b","message":"m"}}' % code.encode()
    assert zai.forbids_retry(body) is useless
