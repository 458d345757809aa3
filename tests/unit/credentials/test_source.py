"""What sources have in common: reasons without secrets, and what fits into a head."""

import pytest

from ccrelay.credentials.source import REASON_LENGTH_MAX, Obtained, ObtainFailed, Source, checked
from ccrelay.wire.cloud_credential import BearerToken
from tests.unit.credentials.services import entry


class Plain(Source):
    def obtain(self):
        raise self.error

    def explain(self, error):
        if isinstance(error, KeyError):
            raise ValueError
        return ObtainFailed(f"explained {error}", "wait", is_final=False)

    def files(self):
        raise NotImplementedError


@pytest.mark.parametrize("value", ["", None, 5, b"x", "a b", "a\r\nb", "ä", "x" * 40_000, "a\0"])
def test_what_does_not_fit_into_a_head_is_refused(value):
    with pytest.raises(ObtainFailed) as raised:
        checked(value, "access token")
    assert str(raised.value) == "the access token that was given is empty or no printable text"


def test_what_fits_goes_on():
    assert checked("ya29.a-b_c/d+e=", "access token") == "ya29.a-b_c/d+e="


def test_whatever_is_raised_is_explained():
    source = Plain(entry("aws"))
    for error, reason in (
        (ObtainFailed("no", "wait", is_final=True), "no"),
        (ZeroDivisionError("zero"), "explained zero"),
        (KeyError("its explanation fails, too"), "KeyError"),
    ):
        source.error = error
        assert source.attempt().reason == reason


def test_reasons_are_one_short_line_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret-1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/secrets/token")
    source = Plain(entry("azure", client_secret="test-secret-2"))
    text = "no\n  test-secret-1 and test-secret-2 in /run/secrets/token"
    assert source.reason(text) == "no ... and ... in /run/secrets/token"
    assert len(source.reason("word " * 200)) == REASON_LENGTH_MAX + 3


def test_nothing_shows_a_secret():
    obtained = Obtained(BearerToken("test-token-1"), 1.0, "file")
    assert "test-token-1" not in repr(obtained)
    assert "test-secret-2" not in repr(entry("azure", client_secret="test-secret-2"))
