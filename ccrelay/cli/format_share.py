"""Shares for people: percent."""


def percent(share: float) -> str:
    """Return 0.94 as `94 %`. More than nothing is never `0 %`, less than all never `100 %`."""
    if share != share or share in (float("inf"), float("-inf")):
        return "?"
    if 0 < share < 0.005:
        return "<1 %"
    value = int(share * 100 + 0.5)
    if value == 100 and share < 1:
        value = 99
    return f"{value:,} %"


def hits(read: int, written: int, plain: int) -> str:
    """Return which share of the input came from the prompt cache; `-` without input."""
    whole = read + written + plain
    return percent(read / whole) if whole else "-"
