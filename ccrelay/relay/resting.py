"""A key that has to rest, or is refused: told to all workers, and said once."""

from math import inf
from typing import TYPE_CHECKING

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.fleet.provider_state import Target

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

# Requests that were under way together are refused together: one line is enough.
SAME_REST_S = 1.0


def rest(
    exchange: "Exchange", target: Target, cooldown_s: float, reason: Cooldown, why: str
) -> None:
    """Let a key rest for so many seconds, or take it out (REFUSED), and say so once."""
    until = inf if reason is Cooldown.REFUSED else exchange.relay.reactor.now + cooldown_s
    is_news = until > target.limits.cooldown_until + SAME_REST_S
    target.limits.rest(until, int(reason))
    if is_news:
        tell_rest(exchange, target, until, reason, why)


def tell_rest(
    exchange: "Exchange", target: Target, until: float, reason: Cooldown, why: str
) -> None:
    """Say that a key rests."""
    log = exchange.relay.log
    known = {"provider": target.provider.name, "key": target.fingerprint}
    if target.name != target.fingerprint:
        known["key_name"] = target.name
    if reason is Cooldown.REFUSED:
        hint = "The provider refuses it. It is not used until a reload (SIGHUP): replace it."
        log.event("error", "key_disabled", **known, why=why, hint=hint)
    else:
        seconds = round(until - exchange.relay.reactor.now, 1)
        log.event("warning", "key_cooldown", **known, why=why, seconds=seconds)
