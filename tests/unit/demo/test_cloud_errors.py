import json

import pytest

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import (
    AWS_STATUS,
    AZURE_STATUS,
    GOOGLE_STATUS,
    CloudError,
    body_of,
    gateway_name,
    headers_of,
    status_of,
)


def shown(surface, error, *, streamed=False):
    body = body_of(surface, error, streamed=streamed)
    return None if body is None else json.loads(body)


def test_every_name_has_its_status_and_words():
    for names in (AWS_STATUS, GOOGLE_STATUS, AZURE_STATUS):
        for name, status in names.items():
            error = CloudError(name=name)
            assert (error.status, status_of(name)) == (status, status)
            assert error.message


@pytest.mark.parametrize(
    ("surface", "status", "name"),
    [
        (Surface.INVOKE, 400, "ValidationException"),
        (Surface.INVOKE, 403, "AccessDeniedException"),
        (Surface.INVOKE, 429, "ThrottlingException"),
        (Surface.INVOKE, 503, "ServiceUnavailableException"),
        (Surface.INVOKE, 529, "InternalServerException"),
        (Surface.MANTLE, 400, ""),
        (Surface.MANTLE, 429, "ThrottlingException"),
        (Surface.MANTLE, 529, ""),
        (Surface.VERTEX, 429, "RESOURCE_EXHAUSTED"),
        (Surface.VERTEX, 500, "INTERNAL"),
        (Surface.VERTEX, 529, ""),
        (Surface.AZURE, 401, "401"),
        (Surface.AZURE, 404, "DeploymentNotFound"),
        (Surface.AZURE, 529, ""),
    ],
)
def test_a_status_has_a_name_where_the_gateway_has_one(surface, status, name):
    assert gateway_name(surface, status) == name


def test_bedrock_runtime_has_its_form_for_all():
    error = CloudError("invalid beta flag")
    assert shown(Surface.INVOKE, error) == {"message": "invalid beta flag"}
    kind = dict(headers_of(Surface.INVOKE, error))["x-amzn-errortype"]
    assert kind.partition(":")[0] == "ValidationException"
    assert shown(Surface.MANTLE, error) is None
    assert headers_of(Surface.MANTLE, error) == ()


def test_google_has_an_array_on_its_stream_verb():
    error = CloudError(name="RESOURCE_EXHAUSTED")
    plain = shown(Surface.VERTEX, error)
    assert plain["error"]["code"] == 429
    assert shown(Surface.VERTEX, error, streamed=True) == [plain]


def test_azure_has_code_and_message():
    error = CloudError(name="DeploymentNotFound")
    assert shown(Surface.AZURE, error)["error"]["code"] == "DeploymentNotFound"
