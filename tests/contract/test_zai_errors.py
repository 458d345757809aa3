"""Errors of Z.AI as a client of the relay gets them, parsed by the official SDK.

The bodies are written from the reference pages; the SDK determines the class of the error.
"""

import json

import pytest

from ccrelay.config.model import Provider
from ccrelay.providers.registry import dialect_for
from ccrelay.wire.errors import sse_error_from_body

CONVERSATIONS = [
    (401, "1001", "Authorization Token Missing", "AuthenticationError", True),
    (429, "1113", "Insufficient balance or no resource package.", "PaymentRequiredError", True),
    (400, "1210", "API call parameters error", "BadRequestError", True),
    (400, "1211", "Unknown Model, please check the model code.", "NotFoundError", True),
    (400, "1261", "Prompt exceeds max length", "BadRequestError", True),
    (429, "1302", "High concurrency usage of this API", "RateLimitError", False),
    (429, "1305", "The service is temporarily overloaded", "OverloadedError", False),
    (429, "1308", "Usage limit reached for 5 hour.", "RateLimitError", True),
    (500, "1234", "Network error", "InternalServerError", False),
]


def zai() -> Provider:
    return Provider(
        name="zai",
        type="zai",
        base_url="https://api.z.ai/api/anthropic",
        auth="bearer",
        models=["glm-*"],
        count_tokens="estimate",
        drop_betas=["*"],
        system_role="user",
    )


@pytest.mark.client
@pytest.mark.parametrize(("status", "code", "message", "kind", "useless"), CONVERSATIONS)
def test_the_sdk_raises_the_mapped_error(
    status: int, code: str, message: str, kind: str, useless: bool
) -> None:
    # Imported here: the SDK is not among the requirements of the other tests.
    import anthropic
    import httpx2

    dialect = dialect_for(zai())
    body = json.dumps({"error": {"code": code, "message": message}, "request_id": "z1"}).encode()
    translated_status, translated = dialect.translate_error(status, body)
    request = httpx2.Request("POST", "http://127.0.0.1/v1/messages")
    response = httpx2.Response(translated_status, content=translated, request=request)
    with anthropic.Anthropic(api_key="test-key-1") as client:
        error = client._make_status_error_from_response(response)
    assert type(error).__name__ == kind
    assert f"[{code}] {message}" in str(error)
    assert dialect.forbids_retry(body) is useless


def test_a_rate_limit_error_in_a_200_becomes_an_error_event() -> None:
    body = b'{"error":{"code":"1302","message":"[1302] High concurrency"}}'
    status, translated = dialect_for(zai()).translate_error(200, body)
    assert status == 429
    event = sse_error_from_body(status, translated)
    assert event.startswith(b"event: error\ndata: ")
    assert json.loads(event.split(b"data: ")[1])["error"] == {
        "type": "rate_limit_error",
        "message": "[1302] High concurrency",
    }
