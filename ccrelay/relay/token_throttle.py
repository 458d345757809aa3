"""Wrong relay tokens cost their address a delay that grows; right ones cost nothing.

The answer waits, nothing else does: no thread, no body, one entry of a bounded table per address.
A token is compared before anything waits, so those who share an address with a guesser (behind a
proxy, say) are not delayed as long as their own token is right.
"""

from collections import OrderedDict

from ccrelay._fast.conn import Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay.relay.peer import peer_network

FIRST_S = 0.1  # a typing mistake is hardly noticed
LONGEST_S = 2.0
FORGET_S = 60.0
ADDRESSES_MAX = 4096
# Answers that wait at the same time: each holds a connection. Beyond it they are sent at once, and
# the connection is closed.
WAITING_MAX = 256


class WrongTokens:
    """Counts wrong tokens per network. Instants are seconds of one clock."""

    def __init__(self, addresses_max: int = ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()  # network -> count, last at

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, network: str, now: float) -> float:
        """Count one; the delay that it costs, seconds."""
        count, last_at = self._seen.pop(network, (0, now))
        if now - last_at >= FORGET_S:
            count = 0
        self._seen[network] = (count + 1, now)
        if len(self._seen) > self._addresses_max:
            self._seen.popitem(last=False)
        return min(FIRST_S * float(1 << min(count, 16)), LONGEST_S)


class TokenThrottle:
    """Sends the answers to wrong tokens, late.

    Args:
        reactor: the worker's clock and loop.
    """

    def __init__(self, reactor: Reactor) -> None:
        self.waiting = 0
        self._reactor = reactor
        self._wrong = WrongTokens()

    def answer(self, down: Downstream, address: str, data: bytes, keep_alive: bool) -> None:
        """Answer a request with a wrong token after the delay of its address."""
        delay_s = self._wrong.add(peer_network(address), self._reactor.now)
        if self.waiting >= WAITING_MAX:
            down.answer(data, False)
            return
        self.waiting += 1
        down.pause()
        self._reactor.loop.call_later(delay_s, self._send, down, data, keep_alive)

    def _send(self, down: Downstream, data: bytes, keep_alive: bool) -> None:
        self.waiting -= 1
        self._reactor.clock()
        down.answer(data, keep_alive)
