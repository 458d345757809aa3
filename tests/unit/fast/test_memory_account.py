"""Who may hold how much; that everything is charged is tested in loopback."""

import pytest

from ccrelay._fast.memory_account import MemoryAccount


@pytest.fixture
def account() -> MemoryAccount:
    made = MemoryAccount()
    made.bytes_max = 1024
    return made


def test_one_client_alone_has_three_quarters(account: MemoryAccount) -> None:
    share = account.share(b"a")
    assert share.take(768)
    assert not share.take(1)
    assert (share.held, account.held) == (768, 768)


def test_however_many_come_the_next_one_finds_room(account: MemoryAccount) -> None:
    """Each may have three quarters of what those before it left."""
    for name, most in ((b"a", 768), (b"b", 192), (b"c", 48), (b"d", 12)):
        share = account.share(name)
        assert not share.take(most + 1)
        assert share.take(most)
    assert account.held <= account.bytes_max


def test_what_is_given_back_is_there_for_the_others(account: MemoryAccount) -> None:
    first, second = account.share(b"a"), account.share(b"b")
    assert first.take(768)
    assert not second.take(200)
    first.give(400)
    assert second.take(200)
    second.give(200)
    first.give(368)
    assert account.held == 0


def test_what_is_held_in_any_case_counts_for_the_rest(account: MemoryAccount) -> None:
    share = account.share(b"a")
    share.put(2000)
    assert not account.share(b"b").take(1)
    share.give(2000)
    assert account.share(b"b").take(1)


def test_a_limit_of_its_own_is_asked_for_without_a_charge(account: MemoryAccount) -> None:
    share = account.share(b"a")
    assert share.fits(75, 100)
    assert not share.fits(76, 100)
    assert account.held == 0


def test_a_client_without_connections_is_forgotten_with_its_last_byte(
    account: MemoryAccount,
) -> None:
    share = account.share(b"a")
    assert account.share(b"a") is share
    share.put(5)
    share.give(5)
    assert not account.shares
    again = account.share(b"a")
    share.put(5)  # a connection in a pool still knows the old one
    share.give(5)
    assert account.shares == {b"a": again}
