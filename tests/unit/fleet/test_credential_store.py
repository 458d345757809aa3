"""What a worker has of cloud credentials, and who waits for them."""

from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.wire.cloud_credential import BearerToken, IssuedCredential

TOKEN = BearerToken("test-token-1")


def issued(serial: int, expires_at: float = 0.0, **members: object) -> IssuedCredential:
    return IssuedCredential("cloud", "k", TOKEN, serial, expires_at, **members)


def test_a_target_sees_what_is_issued_later():
    store = CredentialStore()
    credential = store.of("cloud", "k")
    assert credential.secret(0.0) is None
    store.update([issued(1)])
    assert credential.secret(0.0) == TOKEN
    assert store.of("cloud", "k") is credential
    assert store.of("cloud", "other").secret(0.0) is None


def test_one_that_has_expired_is_not_used_whatever_was_said_last():
    store = CredentialStore()
    store.update([issued(1, 100.0, error="the token service is down")])
    credential = store.of("cloud", "k")
    assert credential.secret(99.9) == TOKEN, "to its last second"
    assert credential.secret(100.0) is None


def test_a_refused_one_is_asked_for_once_and_not_used_again():
    asked = []
    store = CredentialStore(lambda *refused: asked.append(refused))
    credential = store.of("cloud", "k")
    credential.reject()
    assert asked == [], "none was issued"
    store.update([issued(4)])
    credential.reject()
    credential.reject()
    assert asked == [("cloud", "k", 4)]
    assert credential.secret(0.0) is None
    store.update([issued(4, error="the same one again")])
    assert credential.secret(0.0) is None
    store.update([issued(5)])
    assert credential.secret(0.0) == TOKEN


def test_who_waits_is_called_once_whatever_comes():
    store = CredentialStore()
    credential = store.of("cloud", "k")
    called = []
    credential.wait(lambda: called.append(1))

    def leaves() -> None:
        called.append(2)

    credential.wait(leaves)
    credential.leave(leaves)
    credential.leave(leaves)
    store.update([IssuedCredential("cloud", "k", error="no")])
    store.update([issued(1)])
    assert called == [1]


def test_no_text_shows_a_secret():
    store = CredentialStore()
    store.update([issued(1)])
    assert "test-token-1" not in repr(store.of("cloud", "k")) + repr(issued(1)) + repr(TOKEN)
