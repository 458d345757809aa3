"""Dollars for people, from millionths of a dollar: the one rule of all faces, and of the text log.

What is not nothing is never written as nothing: below a cent there are four decimals, and what four
decimals cannot tell is said to be less.
"""

_CENT = 10_000
_MIL = 1_000
_STEP = 100  # the last of four decimals


def dollars(micros: int) -> str:
    """Return an amount in cents, `$1,031.07`; a small one `$0.0042`, `<$0.0001`; zero `$0`."""
    amount = abs(micros)
    if is_small(amount):
        return _small(micros)
    cents = (amount + _CENT // 2) // _CENT
    return f"{_sign(micros)}${cents // 100:,}.{cents % 100:02}"


def cost_of_one(micros: int) -> str:
    """Return the cost of one exchange in at most eight characters below $1,000,000.

    As `dollars`, with the tenths of a cent below $10, and no cents from $100 on.
    """
    sign, amount = _sign(micros), abs(micros)
    if is_small(amount):
        return _small(micros)
    mils = (amount + _MIL // 2) // _MIL
    if mils < 10_000:
        return f"{sign}${mils // 1000}.{mils % 1000:03}"
    cents = (amount + _CENT // 2) // _CENT
    if cents < 10_000:
        return f"{sign}${cents // 100}.{cents % 100:02}"
    return f"{sign}${(amount + 500_000) // 1_000_000:,}"


def is_small(amount: int) -> bool:
    """Return whether an amount, in millionths and not negative, rounds to less than a cent."""
    return amount + _STEP // 2 < _CENT


def _small(micros: int) -> str:
    if not micros:
        return "$0"
    sign = _sign(micros)
    steps = (abs(micros) + _STEP // 2) // _STEP
    if not steps:
        return f"{'>-' if sign else '<'}$0.0001"
    return f"{sign}$0.{steps:04}"


def _sign(micros: int) -> str:
    return "-" if micros < 0 else ""
