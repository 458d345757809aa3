"""Counts and tokens for people."""


def count(number: int, one: str = "", many: str = "") -> str:
    """Return `1,084`; with words `1 stream`, `3 streams`. `many`: default `one` with an s."""
    if not one:
        return f"{number:,}"
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def none_or(number: int, words: str) -> str:
    """Return `none lost` or `3 lost`."""
    return f"{number:,} {words}" if number else f"none {words}"


def tokens(number: int) -> str:
    """Return `999`, `551.6k`, `20.31M`."""
    size = abs(number)
    if size < 1_000:
        return f"{number}"
    if size < 999_950:  # from there on it rounds to 1000.0k
        return f"{number / 1e3:.1f}k"
    return f"{number / 1e6:,.2f}M"


def tokens_or_none(number: int) -> str:
    """Return tokens as `tokens`; `-` for none."""
    return tokens(number) if number else "-"


def size(number: int) -> str:
    """Return bytes as `512 B`, `3.4 kB`, `12 MB`."""
    if number < 1_000:
        return f"{number} B"
    amount = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1_000
        if amount < 999.5 or unit == "TB":
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:,.0f} {unit}"
    raise AssertionError("the last unit returns")
