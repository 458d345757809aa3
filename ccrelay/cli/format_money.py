"""Dollars for people, from millionths of a dollar."""

UNKNOWN = "?"
NONE = "-"
FREE = "free"

_CENT = 10_000
_MIL = 1_000


def dollars(micros: int) -> str:
    """Return an amount in cents, such as `$1,031.07`; below half a cent `<$0.01`."""
    sign = "-" if micros < 0 else ""
    amount = abs(micros)
    if 0 < amount < _CENT // 2:
        return f"{'>-' if sign else '<'}$0.01"
    cents = (amount + _CENT // 2) // _CENT
    return f"{sign}${cents // 100:,}.{cents % 100:02}"


def dollars_or_none(micros: int) -> str:
    """Return an amount as `dollars`; `-` for nothing."""
    return dollars(micros) if micros else NONE


def cost_of_one(micros: int) -> str:
    """Return the cost of one exchange in at most six characters below $10,000.

    As the text log of `serve` writes it: a small amount is not shown as nothing, `$.0002`.
    """
    sign = "-" if micros < 0 else ""
    amount = abs(micros)
    if 0 < amount < _MIL // 2:
        return f"{sign}$.{max((amount + 50) // 100, 1):04}"
    mils = (amount + _MIL // 2) // _MIL
    if mils < 10_000:
        return f"{sign}${mils // 1000}.{mils % 1000:03}"
    cents = (amount + _CENT // 2) // _CENT
    if cents < 10_000:
        return f"{sign}${cents // 100}.{cents % 100:02}"
    return f"{sign}${(amount + 500_000) // 1_000_000:,}"


def price(micros: int) -> str:
    """Return a price per million tokens: two decimals, more where it has more."""
    whole, part = divmod(abs(micros), 1_000_000)
    decimals = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{decimals}"
