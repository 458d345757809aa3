"""Dollars of tables, from millionths of a dollar."""

from ccrelay.money import cost_of_one, dollars

__all__ = ["FREE", "NONE", "UNKNOWN", "cost_of_one", "dollars", "dollars_or_none", "price"]

UNKNOWN = "?"
NONE = "-"
FREE = "free"


def dollars_or_none(micros: int) -> str:
    """Return an amount as `dollars`; `-` for nothing."""
    return dollars(micros) if micros else NONE


def price(micros: int) -> str:
    """Return a price per million tokens: two decimals, more where it has more."""
    whole, part = divmod(abs(micros), 1_000_000)
    decimals = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{decimals}"
