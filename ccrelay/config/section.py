"""Base class and number types of the configuration sections."""

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
# The upper bound keeps numbers within 64 bits in messages to workers.
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
NotNegative = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A frozen section; unknown keys are errors."""
