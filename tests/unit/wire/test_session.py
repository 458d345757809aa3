import json

import pytest

from ccrelay.wire.session import conversation_id

UUID = "0b2a4ee1-8c1d-4f11-a4d3-3b4f3e5a7d11"


def metadata(user_id: object) -> bytes:
    return json.dumps({"user_id": user_id}).encode()


MODERN = metadata(json.dumps({"device_id": "d", "account_uuid": "", "session_id": UUID}))
LEGACY = metadata(f"user_abc_account_def_session_{UUID}")


def test_the_header_decides() -> None:
    assert conversation_id(b"from-header", MODERN) == "from-header"


@pytest.mark.parametrize("raw", [MODERN, LEGACY])
def test_both_forms_of_the_user_id_hold_it(raw: bytes) -> None:
    assert conversation_id(None, raw) == UUID


@pytest.mark.parametrize("header", [b"", b"a\x00b", b"a b", b"\xff", b"x" * 200])
def test_a_header_unfit_for_a_log_is_passed_over(header: bytes) -> None:
    assert conversation_id(header, MODERN) == UUID
    assert conversation_id(header, None) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        metadata(None),
        metadata(5),
        metadata("alice"),
        metadata("{broken"),
        metadata('{"session_id":7}'),
        metadata('{"session_id":"a\\nb"}'),
        metadata("user_session_"),
        b'{"user_id":"\\ud800"}',
    ],
)
def test_metadata_that_names_no_conversation_gives_none(raw: bytes) -> None:
    assert conversation_id(None, raw) is None
