"""Providers and keys by the names that callers use."""

import grpc
import pytest

from ccrelay.config.fingerprint import fingerprint
from ccrelay.manager.errors import Refused
from ccrelay.manager.keys import find_key, find_provider
from tests.unit.manager.worlds import World

MANY = "providers:\n- name: p\n  base_url: http://h\n  keys:\n" + "".join(
    f"  - {{key: key-{number}, name: n{number % 15}}}\n" for number in range(30)
)


def test_a_name_that_two_keys_have_is_refused() -> None:
    provider = find_provider(World(MANY).live, "p")
    with pytest.raises(Refused, match="stands for several keys"):
        find_key(provider, "n3")
    assert find_key(provider, fingerprint("key-3")).fingerprint == fingerprint("key-3")


def test_the_beginning_of_a_fingerprint_has_to_be_unique() -> None:
    provider = find_provider(World(MANY).live, "p")
    digits = [key.fingerprint.removeprefix("hmac:") for key in provider.keys]
    shared = next(one[0] for one in digits if sum(other[0] == one[0] for other in digits) > 1)
    with pytest.raises(Refused) as caught:
        find_key(provider, shared)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert find_key(provider, f"hmac:{digits[7][:7]}") is provider.keys[7]
    assert find_key(provider, digits[7].upper()) is provider.keys[7]


def test_a_message_names_a_few_of_many() -> None:
    with pytest.raises(Refused) as caught:
        find_key(find_provider(World(MANY).live, "p"), "zzz")
    assert "and 22 more" in caught.value.message


def test_client_and_none_have_a_name_and_no_digits() -> None:
    login = find_provider(World().live, "login")
    assert find_key(login, "client").fingerprint == "client"
    with pytest.raises(Refused):
        find_key(login, "cli")
