import hashlib
import re

import pytest

from ccrelay.config import fingerprint as module
from ccrelay.config.fingerprint import current_key, fingerprint, set_key


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setattr(module, "_key", b"k" * 32)


def test_a_fingerprint_is_stable_for_one_key_and_another_for_each():
    first = fingerprint("abc")
    assert fingerprint("abc") == first
    set_key(b"l" * 32)
    assert current_key() == b"l" * 32
    assert fingerprint("abc") != first


@pytest.mark.parametrize("secret", ["abc", "test-key-1"])
def test_a_fingerprint_cannot_be_computed_without_the_key(secret):
    for name in ("sha256", "sha1", "md5", "blake2b"):
        digest = hashlib.new(name, secret.encode()).hexdigest()
        assert fingerprint(secret).partition(":")[2] not in digest


def test_a_fingerprint_shows_no_part_of_the_secret():
    secret = "0123456789abcdef" * 2
    shown = fingerprint(secret)
    assert re.fullmatch(r"hmac:[0-9a-f]{8}", shown)
    assert shown.removeprefix("hmac:") not in secret


def test_non_utf8_secrets_have_a_fingerprint():
    assert fingerprint("\udcff") != fingerprint("\udcfe")
