"""Signatures against botocore's, over paths, queries, header sets, tokens and bodies."""

from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, strategies as st

from ccrelay.wire.cloud_credential import AwsKeys
from ccrelay.wire.sigv4 import EMPTY_BODY, sign

visible = st.characters(min_codepoint=33, max_codepoint=126)
segments = st.one_of(
    st.text(max_size=12).map(lambda text: quote(text, safe="")),
    st.text(max_size=12).map(lambda text: quote(text, safe=":;@!$&'()*+,=~")),
    st.sampled_from(
        [
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
            "arn:aws:bedrock:us-east-1:1234:application-inference-profile%2Fabc",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1234%3Aprovisioned-model%2Fabc",
            "%20",
            "..",
            ".",
            "",
        ]
    ),
)
paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))
words = st.text(st.sampled_from("abAB01-._~%+*:/"), max_size=6)
queries = st.lists(
    st.one_of(
        st.tuples(words, words).map("=".join),
        words,
        st.sampled_from(["beta=true", "a=1", "a=0", "a=", "a", "b==c"]),
    ),
    max_size=5,
).map("&".join)
field_names = st.text(st.sampled_from("abcXYZ019-_"), min_size=1, max_size=10).map("x-{}".format)
field_values = st.text(visible | st.sampled_from(" \t"), max_size=20)
fields = st.lists(
    st.tuples(
        field_names | st.sampled_from(["Content-Type", "anthropic-beta", "User-Agent", "accept"]),
        field_values,
    ),
    max_size=6,
)
tokens = st.just("") | st.text(visible, min_size=1, max_size=200)
times = st.integers(0, 4_000_000_000)


def botocore_signs(
    keys: AwsKeys, url: str, lines: list[tuple[str, str]], body: bytes, now: int
) -> dict[str, str]:
    request = AWSRequest(method="POST", url=url, data=body)
    for name, value in lines:
        request.headers.add_header(name, value)
    moment = datetime.fromtimestamp(now, UTC)
    credentials = Credentials(keys.access_key, keys.secret_key, keys.session_token or None)
    with patch("botocore.auth.get_current_datetime", lambda: moment):
        SigV4Auth(credentials, "bedrock", "eu-west-3").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(paths, queries, fields, tokens, times, st.binary(max_size=40))
def test_every_request_is_signed_as_botocore_signs_it(
    path: str, query: str, lines: list[tuple[str, str]], token: str, now: int, body: bytes
) -> None:
    keys = AwsKeys("AKIDEXAMPLE", "test-secret-1", token)
    target = f"{path}?{query}" if query else path
    found = botocore_signs(keys, f"https://bedrock.example{target}", lines, body, now)
    mine = sign(
        keys,
        service="bedrock",
        region="eu-west-3",
        method=b"POST",
        host=b"bedrock.example",
        path=target.encode(),
        lines=[(name.encode(), value.encode()) for name, value in lines],
        body_hash=sha256(body).hexdigest(),
        now_wall=now + 0.75,
    )
    expected = {name: found[name] for name in ("x-amz-date", "authorization")}
    if token:
        expected["x-amz-security-token"] = token
    assert {name.decode(): value.decode() for name, value in mine} == expected


@pytest.mark.parametrize("size", [0, 20_000_000])
def test_bodies_of_both_ends(size: int) -> None:
    body = b"x" * size
    keys = AwsKeys("AKIDEXAMPLE", "test-secret-1")
    found = botocore_signs(keys, "https://bedrock.example/a", [], body, 1_800_000_000)
    mine = sign(
        keys,
        service="bedrock",
        region="eu-west-3",
        method=b"POST",
        host=b"bedrock.example",
        path=b"/a",
        lines=[],
        body_hash=sha256(body).hexdigest() if body else EMPTY_BODY,
        now_wall=1_800_000_000.0,
    )
    assert mine[-1][1].decode() == found["authorization"]
