"""The order of connection attempts; loopback/test_dial.py tests the race."""

import socket

from ccrelay.upstream.race import Address, interleaved


def test_families_alternate_beginning_with_the_resolvers_first() -> None:
    six: list[Address] = [(socket.AF_INET6, (f"2001:db8::{n}", 443)) for n in range(3)]
    four: list[Address] = [(socket.AF_INET, (f"192.0.2.{n}", 443)) for n in range(2)]

    assert interleaved(six + four) == [six[0], four[0], six[1], four[1], six[2]]
    assert interleaved(four + six) == [four[0], six[0], four[1], six[1], six[2]]
    assert interleaved([*four, four[0]]) == four
    assert interleaved([]) == []
