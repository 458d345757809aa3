"""A cloud's request: what is read of the client's head, and the lines of one attempt."""

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.http1 import Head, parse_request
from ccrelay.config.model import Credential, Health, Key
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay import cloud_request
from ccrelay.relay.cloud_request import Prepared
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential
from tests.unit.relay.fakes import provider

LINES = [(b"content-type", b"application/json")]
PREPARED = Prepared(b"{}", b"/v1/messages", LINES)
KEYS = AwsKeys("AKIDEXAMPLE", "test-secret-1")


def head(*fields: bytes) -> Head:
    lines = b"".join(field + b"\r\n" for field in fields)
    parsed = parse_request(b"POST / HTTP/1.1\r\nhost: h\r\n%bcontent-length: 0\r\n\r\n" % lines)
    assert parsed is not None
    return parsed[0]


def target(**settings: object) -> Target:
    key = Key(key="credential:{}", credential=Credential())
    made = provider(keys=[key], **settings)
    (found,) = ProviderState(made, Health(), credentials=CredentialStore()).targets
    return found


# ---- betas


def test_betas_of_all_fields_are_read_in_order_and_once() -> None:
    found = cloud_request.betas_of(
        head(b"anthropic-beta: a-1 ,b-2,,", b"Anthropic-BETA:b-2,  c-3", b"x-beta: d-4")
    )
    assert found == ("a-1", "b-2", "c-3")


def test_what_is_no_name_is_left_out() -> None:
    long = b"x" * 200
    assert cloud_request.betas_of(head(b"anthropic-beta: \xc3\xa4, ok-1," + long)) == ("ok-1",)


def test_there_are_not_too_many() -> None:
    many = b",".join(b"b-%d" % n for n in range(500))
    assert len(cloud_request.betas_of(head(b"anthropic-beta: " + many))) == 64


# ---- header lines


def test_a_token_is_a_line_and_the_lines_of_the_request_come_first() -> None:
    lines = cloud_request.header_lines(target(), PREPARED, BearerToken("test-token-1"), 0.0)
    assert lines == b"content-type: application/json\r\nauthorization: Bearer test-token-1\r\n"


def test_a_quota_project_goes_with_the_token() -> None:
    secret = BearerToken("test-token-1", "test-project")
    lines = cloud_request.header_lines(target(), PREPARED, secret, 0.0)
    assert lines.endswith(b"x-goog-user-project: test-project\r\n")


def test_a_key_is_in_the_plan() -> None:
    assert cloud_request.header_lines(target(), PREPARED, None, 0.0) == (
        b"content-type: application/json\r\n"
    )


@pytest.mark.parametrize("token", ["a\r\nx: y", "a\nb", "a\0", "\u00e4", "a\x7f"])
def test_nothing_gets_out_of_its_line(token: str) -> None:
    with pytest.raises(ValueError, match="not allowed") as raised:
        cloud_request.header_lines(target(), PREPARED, BearerToken(token), 0.0)
    assert token not in str(raised.value)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_any_line_is_one_line_or_refused(value: bytes, project: bytes) -> None:
    try:
        made = cloud_request.rendered([(b"x-a", value), (b"x-b", project)])
    except ValueError:
        return
    assert made.count(b"\r\n") == 2
    assert made.count(b"\n") == 2


def test_aws_keys_where_nothing_is_signed_are_told_of() -> None:
    with pytest.raises(UpstreamFailed, match="does not take"):
        cloud_request.header_lines(target(), PREPARED, KEYS, 0.0)


# ---- what is said


def test_what_is_missing_is_said_in_a_line_and_without_secrets() -> None:
    lacking = target()
    assert lacking.credential is not None
    text = "It failed:\n token sk-" + "ant-api03-" + "A1" * 40 + "\x1b[31m. Run `x`." + "y" * 1000
    lacking.credential.take(IssuedCredential("one", "credential:{}", None, 0, 0.0, text))
    message = cloud_request.no_credential(lacking).message
    assert message.startswith("Provider one has no credential: It failed:")
    assert "A1A1" not in message
    assert "\x1b" not in message
    assert len(message) < 400


def test_while_nothing_is_known_the_log_is_named() -> None:
    assert "see the relay's log" in cloud_request.no_credential(target()).message


# ---- clocks


@pytest.mark.parametrize(
    ("date", "expected"), [(1000.0, 0.0), (1029.0, 0.0), (971.0, 0.0), (1031.0, 31.0), (0.0, -1e3)]
)
def test_a_small_difference_is_none(date: float, expected: float) -> None:
    assert cloud_request.skew(date, 1000.0) == expected


def test_a_signature_is_off_by_minutes() -> None:
    assert not cloud_request.is_off(1000.0, 1100.0)
    assert cloud_request.is_off(1000.0, 1130.0)
    assert cloud_request.is_off(1130.0, 1000.0)
