import re

from ccrelay.config.fingerprint import fingerprint


def test_a_fingerprint_is_the_start_of_the_sha256():
    # echo -n abc | sha256sum
    assert fingerprint("abc") == "sha256:ba7816bf"


def test_a_fingerprint_shows_no_part_of_the_secret():
    secret = "test-key-with-0123456789abcdef"
    shown = fingerprint(secret)
    assert re.fullmatch(r"sha256:[0-9a-f]{8}", shown)
    assert shown.removeprefix("sha256:") not in secret


def test_non_utf8_secrets_have_a_fingerprint():
    assert fingerprint("\udcff") != fingerprint("\udcfe")
