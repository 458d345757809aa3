"""The verifier: botocore signs, and one thing at a time is wrong."""

import datetime
import hashlib

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ccrelay.demo.aws_signature import verify
from ccrelay.demo.cloud import Accepted, AccessKey
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.http1 import RequestHead

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PATH = "/model/us.anthropic.claude-opus-5-5/invoke"
BODY = b'{"messages":[]}'


def signed(
    path=PATH,
    body=BODY,
    *,
    token=None,
    service="bedrock",
    headers=None,
    secret="test-secret-1",
    id="AKIDEXAMPLE",
):
    """A request that botocore signed now, as the mock would receive it."""
    given = {"Content-Type": "application/json", "Host": HOST} | (headers or {})
    request = AWSRequest("POST", f"https://{HOST}{path}", headers=given, data=body)
    SigV4Auth(Credentials(id, secret, token), service, "us-east-1").add_auth(request)
    return RequestHead("POST", path, 1, [(name, value) for name, value in request.headers.items()])


def check(head, body=BODY, *, service="bedrock", region=None, late_s=0.0, accepted=None):
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=late_s)
    return verify(
        head,
        body,
        accepted=accepted or Accepted(),
        service=service,
        region=region,
        now=now,
    )


def refused(*arguments, **options):
    with pytest.raises(CloudError) as caught:
        check(*arguments, **options)
    return caught.value.name, caught.value.message


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
        "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fabc/invoke",
        "/inference-profiles?type=SYSTEM_DEFINED&maxResults=10",
        "/a?b=%20c&a=",
    ],
)
@pytest.mark.parametrize("token", [None, "test-session-1"])
def test_what_botocore_signs_is_accepted(path, token):
    given = check(signed(path, token=token), region="us-east-1")
    assert (given.key_id, given.service) == ("AKIDEXAMPLE", "bedrock")


def test_a_long_body_and_odd_headers_are_accepted():
    body = b"x" * 1_000_000
    headers = {
        "X-Odd": "  two   spaces  ",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    check(signed(body=body, headers=headers), body)


def replaced(head, name, value):
    return RequestHead(
        head.method,
        head.target,
        1,
        [(n, value if n.lower() == name else v) for n, v in head.headers],
    )


def test_one_changed_byte_is_refused():
    head = signed()
    wrong = "InvalidSignatureException"
    assert refused(head, BODY + b" ")[0] == wrong
    assert refused(RequestHead("POST", PATH + "x", 1, head.headers))[0] == wrong
    assert refused(RequestHead("POST", PATH + "?a=1", 1, head.headers))[0] == wrong
    assert refused(replaced(head, "content-type", "text/plain"))[0] == wrong
    assert refused(replaced(head, "host", "127.0.0.1"))[0] == wrong
    assert refused(signed(secret="test-secret-2"))[0] == wrong
    assert "we calculated does not match" in refused(head, b"")[1]


def test_a_wrong_body_hash_in_the_header_is_refused():
    head = signed(headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    assert refused(head)[0] == "InvalidSignatureException"


def test_an_unsigned_amz_header_is_refused():
    head = signed()
    more = RequestHead("POST", PATH, 1, [*head.headers, ("x-amz-target", "a")])
    assert refused(more) == (
        "InvalidSignatureException",
        "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
    )


@pytest.mark.parametrize(
    ("late_s", "words"), [(330, "Signature expired"), (-330, "Signature not yet current")]
)
def test_the_clock_may_differ_by_five_minutes(late_s, words):
    check(signed(), late_s=late_s * 0.8)
    assert words in refused(signed(), late_s=late_s)[1]


def test_the_scope_must_fit():
    assert "correct service: 'bedrock-mantle'" in refused(signed(), service="bedrock-mantle")[1]
    assert "valid region" in refused(signed(), region="eu-west-1")[1]


def test_keys_and_session_tokens():
    assert refused(signed(id="AKIDOTHER"))[0] == "UnrecognizedClientException"
    assert refused(signed(token="test-session-2"))[0] == "UnrecognizedClientException"
    expired = Accepted(expired=("test-session-1",))
    assert refused(signed(token="test-session-1"), accepted=expired)[0] == "ExpiredTokenException"
    only = Accepted(access_keys=(AccessKey("AKIDEXAMPLE", "test-secret-1", "test-session-1"),))
    check(signed(token="test-session-1"), accepted=only)
    assert refused(signed(), accepted=only)[0] == "UnrecognizedClientException"


@pytest.mark.parametrize(
    "value",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock, SignedHeaders=host, "
        "Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock/aws4_request, "
        "Signature=0",
        "AWS4-HMAC-SHA256 =,=,=",
    ],
)
def test_an_incomplete_header_is_refused(value):
    assert refused(replaced(signed(), "authorization", value))[0] == "IncompleteSignatureException"


def test_a_date_that_is_none_is_refused():
    assert refused(replaced(signed(), "x-amz-date", "today"))[0] == "IncompleteSignatureException"
    moved = replaced(signed(), "x-amz-date", "20200101T000000Z")
    assert "does not match YYYYMMDD" in refused(moved)[1]


def test_secrets_are_not_shown():
    assert "test-secret-1" not in repr(AccessKey("AKIDEXAMPLE", "test-secret-1"))
    assert "test-secret-1" not in repr(Accepted())
