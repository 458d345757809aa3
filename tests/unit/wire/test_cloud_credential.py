"""Credentials on their way to workers."""

import msgspec
import pytest

from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential

ISSUED = [
    IssuedCredential("a", "k", AwsKeys("AKIDEXAMPLE", "test-secret-1", "test-session-1"), 2, 9.5),
    IssuedCredential("b", "k", BearerToken("test-token-1", "test-project-1"), 1),
    IssuedCredential("c", "k", error="log in: az login"),
]


@pytest.mark.parametrize("issued", ISSUED)
def test_they_come_through_as_they_are(issued):
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(issued), type=IssuedCredential) == issued


def test_no_text_shows_a_secret():
    text = "".join(map(repr, ISSUED)) + repr([one.secret for one in ISSUED])
    for secret in ("AKIDEXAMPLE", "test-secret-1", "test-session-1", "test-token-1"):
        assert secret not in text
