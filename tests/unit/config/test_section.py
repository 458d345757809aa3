from typing import Annotated

import msgspec
import pytest

from ccrelay.config.section import NotNegative, Positive, Seconds, Section


class Sample(Section, frozen=True):
    count: Positive = 1
    rest: NotNegative = 0
    wait_s: Seconds = 1.0
    note: Annotated[str | None, msgspec.Meta(description="x")] = None


def read(**members: object) -> Sample:
    return msgspec.convert(members, Sample)


def test_a_section_rejects_unknown_keys():
    with pytest.raises(msgspec.ValidationError):
        read(cuont=1)


def test_a_section_is_immutable():
    with pytest.raises(AttributeError):
        Sample().count = 2  # type: ignore[misc]


def test_defaults_are_omitted_when_encoded():
    assert msgspec.json.encode(Sample(rest=3)) == b'{"rest":3}'


@pytest.mark.parametrize(
    "members",
    [{"count": 0}, {"rest": -1}, {"wait_s": 0}, {"wait_s": 86_401}, {"count": 10**12 + 1}],
)
def test_numbers_have_bounds(members):
    with pytest.raises(msgspec.ValidationError):
        read(**members)


def test_the_largest_numbers_fit_64_bits():
    largest = read(count=10**12, rest=10**12, wait_s=86_400)
    # Instants and sums of limits are kept in millionths.
    assert largest.count * 1_000_000 < 1 << 63
    assert msgspec.json.decode(msgspec.json.encode(largest), type=Sample) == largest
