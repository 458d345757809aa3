"""The words of the design for what the management API says."""

from typing import Any
from urllib.parse import urlsplit

from ccrelay.cli import format_money
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_time import clock, countdown
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell
from ccrelay.v1 import providers_pb2 as pb

_KEY_WORDS = {
    pb.Key.STATE_IDLE: ("idle", ""),
    pb.Key.STATE_IN_USE: ("in use", "green"),
    pb.Key.STATE_COOLDOWN: ("cooldown", "amber"),
    pb.Key.STATE_FULL: ("full", "amber"),
    pb.Key.STATE_REFUSED: ("refused", "red"),
    pb.Key.STATE_DISABLED: ("disabled", "dim"),
}
_BREAKER_WORDS = {
    pb.Breaker.STATE_CLOSED: ("closed", ""),
    pb.Breaker.STATE_OPEN: ("open", "red"),
    pb.Breaker.STATE_HALF_OPEN: ("half-open", "amber"),
}
BILLING_WORDS = {
    pb.BILLING_TOKENS: "tokens",
    pb.BILLING_PLAN: "plan",
    pb.BILLING_FREE: "free",
}


def key_name(provider: Any, key: Any, screen: Screen) -> Cell:
    """Return `provider/key`, alone the key where that is too long; `*`: set at run time."""
    changed = "*" if key.overrides or provider.overrides else ""
    name = screen.text(key.name) + changed
    return Cell(f"{screen.text(provider.name)}/{name}", shorter=(name,))


def key_state(key: Any, now_ms: int) -> Cell:
    """Return the state of a key, with the countdown of a cooldown."""
    word, style = _KEY_WORDS.get(key.state, ("?", ""))
    if key.cooldown_until_ms > now_ms and key.state in (pb.Key.STATE_COOLDOWN, pb.Key.STATE_FULL):
        word += f" {countdown((key.cooldown_until_ms - now_ms) / 1000)}"
    return Cell(word, style=style)


def breaker_state(breaker: Any) -> Cell:
    """Return the state of a breaker."""
    return Cell(*_styled(_BREAKER_WORDS.get(breaker.state, ("-", ""))))


def _styled(word: tuple[str, str]) -> tuple[str, str, str]:
    return word[0], "", word[1]


def breaker_note(breaker: Any, now_ms: int) -> str:
    """Return what is known of a breaker that is not closed."""
    if breaker.state == pb.Breaker.STATE_HALF_OPEN:
        return "one request at a time is let through"
    parts = []
    if breaker.failures:
        since = f", open since {clock(breaker.since_ms)}" if breaker.since_ms else ""
        parts.append(count(breaker.failures, "failure") + since)
    if breaker.resumes_at_ms:
        parts.append(f"probe in {countdown((breaker.resumes_at_ms - now_ms) / 1000)}")
    return "; ".join(parts)


def address(base_url: str) -> str:
    """Return the host of a base URL, with a port that is not the usual one."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        return base_url
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    if not parts.hostname:
        return base_url
    return parts.hostname if port in (None, usual) else f"{parts.hostname}:{port}"


def money_today(totals: Any, billing: int) -> Cell:
    """Return what a key cost today: `p` marks what a plan covers, `?` what has no price."""
    if billing == pb.BILLING_FREE:
        return Cell(format_money.FREE)
    amount = totals.billed_micros + totals.plan_micros
    if totals.unpriced:
        if totals.unpriced >= totals.exchanges:
            return Cell(format_money.UNKNOWN)
        return Cell(format_money.dollars(amount), "?")
    is_plan = totals.plan_micros > 0 and not totals.billed_micros
    return Cell(format_money.dollars(amount), "p" if is_plan else "")


def window(key: Any, name: str) -> Any:
    """Return a window of a key by its name; None: it has none."""
    return next((one for one in key.windows if one.name == name), None)


def needs_look(one: Any) -> bool:
    """Return whether a window runs out before its reset, or is full."""
    if one.utilization >= 1 or one.status in ("allowed_warning", "rejected"):
        return True
    if one.HasField("utilization_at_reset") and one.utilization_at_reset > 1:
        return True
    return bool(one.full_at_ms and (not one.resets_at_ms or one.full_at_ms < one.resets_at_ms))


def short_model(name: str) -> str:
    """Return a model without what all have in common: `claude-`, the date at its end."""
    model = name.removeprefix("claude-")
    head, dash, tail = model.rpartition("-")
    return head if dash and len(tail) == 8 and tail.isdecimal() else model
