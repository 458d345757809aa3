"""What `serve` says when it stops: what is under way, and what its exchanges came to."""

from collections.abc import Mapping

from ccrelay.money import dollars


def counted(count: int, name: str, plural: str | None = None) -> str:
    """Return a number and what is counted: 1 worker, 2 workers, 1,084 exchanges."""
    return f"{count:,} {name if count == 1 else plural or name + 's'}"


def stopping(streams: int, limit_s: float, *, is_terminal: bool) -> str:
    """What is said while a drain waits.

    Args:
        streams: exchanges under way.
        limit_s: seconds that they have.
        is_terminal: whether Ctrl-C reaches the process.
    """
    again = "Ctrl-C again cuts them." if is_terminal else "A second signal cuts them."
    return f"Stopping: {counted(streams, 'stream')} under way, at most {limit_s:g} s. {again}"


def summary(totals: Mapping[str, int], seconds: float, *, has_ledger: bool) -> str:
    """What is said at the end; lines without what there was none of.

    Args:
        totals: as `relay.totals` names them.
        seconds: how long it has served.
        has_ledger: whether `ccrelay usage` has more to say.
    """
    exchanges = totals.get("exchanges", 0)
    if not exchanges:
        return f"{duration(seconds)}, no exchanges"
    lines = [", ".join([duration(seconds), *_counts(totals)])]
    if tokens := _tokens(totals):
        lines.append(tokens)
    if money := _money(totals):
        lines.append(money + ("        ccrelay usage" if has_ledger else ""))
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: 5 h 20 min; 3 d 4 h; 42 s."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, left = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {left} s" if minutes < 10 and left else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} d {hours} h" if hours else f"{days:,} d"


def tokens(count: int) -> str:
    """Return a count of tokens: 950, 551.6k, 124.61M."""
    if count < 1000:
        return str(count)
    return f"{count / 1e3:.1f}k" if count < 999_950 else f"{count / 1e6:,.2f}M"


def _counts(totals: Mapping[str, int]) -> list[str]:
    parts = [counted(totals["exchanges"], "exchange"), f"{totals.get('lost', 0):,} lost"]
    if failovers := totals.get("failovers", 0):
        parts.append(counted(failovers, "failover"))
    if moves := totals.get("moves", 0):
        cost = dollars(totals.get("moved_micros", 0))
        parts.append(f"{counted(moves, 'move')} ({cost} of cache)")
    if passed_on := totals.get("passed_on", 0):
        parts.append(f"{counted(passed_on, 'error')} passed on")
    return parts


def _tokens(totals: Mapping[str, int]) -> str:
    plain, written = totals.get("input", 0), totals.get("cache_write", 0)
    read, output = totals.get("cache_read", 0), totals.get("output", 0)
    everything = plain + written + read
    if not everything and not output:
        return ""
    parts = [f"{tokens(everything)} tokens in"]
    if read:
        parts.append(f"{tokens(read)} of them from caches ({100 * read // everything} %)")
    if written:
        parts.append(f"{tokens(written)} written to caches")
    return ", ".join([*parts, f"{tokens(output)} out"])


def _money(totals: Mapping[str, int]) -> str:
    billed, plan = totals.get("billed_micros", 0), totals.get("plan_micros", 0)
    saved, unpriced = totals.get("saved_micros", 0), totals.get("unpriced", 0)
    parts = []
    if billed or plan or saved:
        parts.append(f"{dollars(billed)} billed")
    if plan:
        parts.append(f"{dollars(plan)} covered by plans")
    if saved > 0:
        parts.append(f"{dollars(saved)} saved by caches")
    elif saved < 0:
        parts.append(f"{dollars(-saved)} more for writing to caches than they saved")
    if unpriced:
        parts.append(f"{counted(unpriced, 'exchange')} without a known price")
    return ", ".join(parts)
