"""Signatures against AWS's published scheme: fixed vectors, and what real clients sent."""

import json
from calendar import timegm
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ccrelay.wire import sigv4
from ccrelay.wire.cloud_credential import AwsKeys
from ccrelay.wire.sigv4 import EMPTY_BODY, SigningKey, sign, signing_key

CORPUS = Path(__file__).parents[2] / "corpus" / "clouds"
NOW = float(timegm((2026, 1, 2, 3, 4, 5)))
KEYS = AwsKeys("AKIDEXAMPLE", "test-secret-1")
RECORDED: list[dict[str, Any]] = json.loads((CORPUS / "sigv4.json").read_text())

# Providers reference, section 16.2: the secret key is the example of AWS's documentation.
EXAMPLE = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
BODY = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":1,'
    b'"messages":[{"role":"user","content":"hi"}]}'
)
MODEL = b"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%b0/invoke"
BEDROCK = b"bedrock-runtime.us-east-1.amazonaws.com"
VECTORS = [
    (
        "bedrock",
        BEDROCK,
        MODEL % b":",
        "138350b8959201090ed38af26be00ce581216e1feb7a5c1a7a5dfe3747f63737",
        "57f92f4790e03b50e13beeb474e8245409952155c761ccbdde1c530697747bf1",
    ),
    (
        "bedrock",
        BEDROCK,
        MODEL % b"%3A",
        "164d24e3b39874c96eb0b30263c0eb09c395fb9f5be4ef1469da59568f6791a0",
        "cc88a6477adbf0762cbc1f4f8d21394859ae609ba657814556524dac09fb30c1",
    ),
    (
        "bedrock-mantle",
        b"bedrock-mantle.us-east-1.api.aws",
        b"/anthropic/v1/messages",
        "e8e7c86037d46e3be3c28c71ea69172dacd4845db9bf21d77673fdf4430e1f95",
        "a4573abb4fbd8b4886ba3384695bf1def4a58def0adf2e0e6903d63725eb84f2",
    ),
    (
        "aws-external-anthropic",
        b"aws-external-anthropic.us-east-1.api.aws",
        b"/v1/messages",
        "cb6f7ec8cbdc1c62edf747db93426675ce37addb5f7475ccacc753254c2171b8",
        "95bad8d2b96dd96273e4f26f54c8b8d37f09acee6a17b0c41fb8e1cd73345136",
    ),
]


def signed(keys: AwsKeys = KEYS, **changes: Any) -> list[tuple[bytes, bytes]]:
    request: dict[str, Any] = {
        "service": "bedrock",
        "region": "us-east-1",
        "method": b"POST",
        "host": BEDROCK,
        "path": MODEL % b":",
        "lines": [(b"content-type", b"application/json")],
        "body_hash": EMPTY_BODY,
        "now_wall": NOW,
        **changes,
    }
    return sign(keys, **request)


def signature(lines: list[tuple[bytes, bytes]]) -> str:
    assert lines[-1][0] == b"authorization"
    return lines[-1][1].rpartition(b"Signature=")[2].decode()


@pytest.mark.parametrize(("service", "host", "path", "plain", "with_token"), VECTORS)
def test_the_vectors_of_the_reference(
    service: str, host: bytes, path: bytes, plain: str, with_token: str
) -> None:
    changes = {"service": service, "host": host, "path": path}
    changes["body_hash"] = sha256(BODY).hexdigest()
    lines = signed(EXAMPLE, **changes)
    assert lines[0] == (b"x-amz-date", b"20260102T030405Z")
    assert signature(lines) == plain
    session = AwsKeys(EXAMPLE.access_key, EXAMPLE.secret_key, "SESSION")
    lines = signed(session, **changes)
    assert lines[1] == (b"x-amz-security-token", b"SESSION")
    assert signature(lines) == with_token


@pytest.mark.parametrize("call", RECORDED, ids=[call["call"] for call in RECORDED])
def test_what_the_sdk_and_botocore_sent(call: dict[str, Any]) -> None:
    lines = signed(
        AwsKeys("AKIDEXAMPLE", "test-secret-1", call["token"]),
        service=call["service"],
        method=call["method"].encode(),
        host=call["host"].encode(),
        path=call["target"].encode(),
        lines=[(name.encode(), value.encode()) for name, value in call["lines"]],
        body_hash=call["body_sha256"],
    )
    assert lines[-1] == (b"authorization", call["authorization"].encode())


def test_what_hops_change_is_not_signed() -> None:
    plain = signed()
    more = [(b"User-Agent", b"a"), (b"content-type", b"application/json"), (b"TE", b"b")]
    assert signed(lines=more) == plain


def test_the_order_and_blanks_of_fields_make_no_difference() -> None:
    one = signed(lines=[(b"X-B", b" a   b "), (b"x-a", b"1"), (b"x-b", b"c")])
    other = signed(lines=[(b"x-a", b"1"), (b"x-b", b"a b"), (b"X-B", b"c")])
    assert one == other
    assert b"SignedHeaders=host;x-a;x-amz-date;x-b," in one[-1][1]


@pytest.mark.parametrize("changed", ["service", "region", "method", "host", "path", "body_hash"])
def test_each_part_is_signed(changed: str) -> None:
    value: Any = "other" if changed in {"service", "region", "body_hash"} else b"/other"
    assert signature(signed(**{changed: value})) != signature(signed())


def test_a_derived_key_is_kept_and_follows_the_secret() -> None:
    day = b"20260102"
    kept = signing_key(KEYS, day, "us-east-1", "bedrock")
    assert signing_key(KEYS, day, "us-east-1", "bedrock") is kept
    assert signing_key(KEYS, b"20260103", "us-east-1", "bedrock") is not kept
    changed = AwsKeys(KEYS.access_key, "test-secret-2")
    assert signature(signed(changed)) != signature(signed())
    assert signing_key(changed, day, "us-east-1", "bedrock") is not kept


def test_the_cache_of_derived_keys_is_bounded_and_names_no_secret() -> None:
    for number in range(200):
        signing_key(AwsKeys(f"AKIDEXAMPLE{number}", "test-secret-1"), b"20260102", "r", "s")
    assert len(sigv4._derived) <= 64
    assert "test-secret" not in repr(sigv4._derived)
    assert "test-secret" not in repr(SigningKey(KEYS, b"20260102", "r", "s"))


@pytest.mark.parametrize(
    "keys",
    [AwsKeys("AKID\r\nx: y", "test-secret-1"), AwsKeys("AKID", "test-secret-1", "a\nb")],
)
def test_a_credential_cannot_add_header_lines(keys: AwsKeys) -> None:
    with pytest.raises(ValueError, match="characters") as raised:
        signed(keys)
    assert keys.session_token not in str(raised.value) or not keys.session_token
