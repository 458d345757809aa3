"""Which failures are this machine's own."""

import errno
from collections.abc import Sequence

import pytest

from ccrelay.upstream.exhaustion import descriptors_left, exhausted, next_step, own_failure


@pytest.mark.parametrize(
    ("codes", "own"),
    [
        ([], 0),
        ([errno.ECONNREFUSED], 0),
        ([errno.EMFILE], errno.EMFILE),
        ([errno.ECONNREFUSED, errno.EMFILE], errno.EMFILE),
        ([errno.ENFILE], errno.ENFILE),
        ([errno.ENOBUFS, errno.ETIMEDOUT], errno.ENOBUFS),
        ([errno.ENOMEM], errno.ENOMEM),
        ([errno.EADDRNOTAVAIL], errno.EADDRNOTAVAIL),
        # No IPv6 here, and the provider refuses over IPv4: the provider's.
        ([errno.EADDRNOTAVAIL, errno.ECONNREFUSED], 0),
        ([errno.EADDRNOTAVAIL, errno.EADDRNOTAVAIL], errno.EADDRNOTAVAIL),
        ([0], 0),
    ],
)
def test_what_is_own(codes: Sequence[int], own: int) -> None:
    assert own_failure(codes) == own


def test_each_comes_with_its_next_step() -> None:
    steps = {next_step(code) for code in (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL)}
    assert len(steps) == 3
    assert "ulimit -n" in exhausted(errno.EMFILE).message
    assert next_step(errno.ENOMEM) == next_step(errno.ENOBUFS)


def test_descriptors_are_left() -> None:
    assert descriptors_left() == 0
