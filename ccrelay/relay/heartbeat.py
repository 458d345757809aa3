"""What a waiting client is due: a ping, an early response head, or an abort. Pure."""

from enum import IntEnum
from typing import NamedTuple

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.upstream import Upstream
from ccrelay.config.model import Routing

# A beat comes a little early rather than a whole round late.
SLACK_S = 0.1


class Beat(IntEnum):
    """What to do now."""

    NOTHING = 0
    PING = 1
    FLUSH_HEAD = 2  # send the held response head, and a ping
    EARLY_HEAD = 3  # send a 200 before the provider has answered, and a ping


class Due(NamedTuple):
    """What to do, and when to look again."""

    beat: Beat
    wait_s: float


def next_beat(
    down: Downstream,
    upstream: Upstream | None,
    now: float,
    routing: Routing,
    early_head_sent: bool,
    is_queued: bool,
) -> Due:
    """What a client that asked for a stream is due.

    A client shows a stall after 20 s without a byte. While a provider has the request, its status
    may still come, and is worth more than a ping; while the request is queued, nothing will.

    Args:
        down: the client's connection.
        upstream: the attempt's; None: none is connected.
        now: monotonic seconds.
        routing: `ping_s` and `early_head_s`.
        early_head_sent: whether a 200 went out before the provider's.
        is_queued: whether the request is in the pending queue.
    """
    if down.started:
        return _ping(down, upstream, now, routing.ping_s, early_head_sent)
    if upstream is not None and upstream.head is not None:
        # A held 200: its own head can go, what was held stays back.
        beat = Beat.FLUSH_HEAD if upstream.may_insert() else Beat.NOTHING
        return Due(beat, routing.ping_s)
    after_s = min(routing.ping_s, routing.early_head_s) if is_queued else routing.early_head_s
    left_s = down.received_at + after_s - now
    if left_s > SLACK_S / 2:
        return Due(Beat.NOTHING, min(left_s, routing.ping_s))
    return Due(Beat.EARLY_HEAD, routing.ping_s)


def _ping(
    down: Downstream, upstream: Upstream | None, now: float, ping_s: float, early_head_sent: bool
) -> Due:
    quiet_s = now - down.last_out_at
    if quiet_s < ping_s - SLACK_S:
        return Due(Beat.NOTHING, ping_s - quiet_s)
    if upstream is None or upstream.head is None:
        may_insert = early_head_sent
    else:
        may_insert = upstream.may_insert()
    return Due(Beat.PING if may_insert and not down.queued else Beat.NOTHING, ping_s)
