import pytest

from ccrelay.demo.cloud import (
    DIALECTS,
    SURFACES,
    Accepted,
    AccessKey,
    Cloud,
    Surface,
    credential_name,
)
from ccrelay.demo.http1 import RequestHead
from ccrelay.errors import BadRequest


def test_every_dialect_has_surfaces():
    assert set(DIALECTS) == set(SURFACES)
    assert {surface for its in SURFACES.values() for surface in its} == set(Surface)
    assert Cloud(dialect="bedrock").surfaces == (Surface.MANTLE, Surface.RUNTIME)


def test_credentials_are_read_from_options():
    read = Accepted.parse(("aws:ID:secret:session", "aws:ID2:secret2", "token:t", "expired:old"))
    assert read.access_keys == (AccessKey("ID", "secret", "session"), AccessKey("ID2", "secret2"))
    assert (read.tokens, read.expired) == (("t",), ("old",))
    assert read.api_keys == Accepted().api_keys
    assert Accepted.parse(("key:a:b",)).api_keys == ("a:b",)


@pytest.mark.parametrize("text", ["", "aws", "aws:ID", "token:", "secret:x"])
def test_other_options_are_refused(text):
    with pytest.raises(BadRequest):
        Accepted.parse((text,))


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ([("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/2026/a")], "AKIDEXAMPLE"),
        ([("authorization", "Bearer test-token-1")], "test-token-1"),
        ([("x-api-key", "test-key-1"), ("api-key", "other")], "test-key-1"),
        ([("api-key", "test-key-1")], "test-key-1"),
        ([], ""),
    ],
)
def test_limits_know_a_credential_by_its_name(headers, name):
    assert credential_name(RequestHead("POST", "/", 1, headers)) == name
