"""An exchange that waits for a credential of a cloud: until one is issued, cannot be, or too long.

A waiting exchange holds a place of its target, so the time is short. The client's leaving, a drain
and a reload end or outlive it like any other state: `cancel` forgets it.
"""

import asyncio
from collections.abc import Callable, Iterable

from ccrelay.fleet.credential_store import CloudCredential
from ccrelay.fleet.provider_state import ProviderState

# The first credential after a start takes a second or two: libraries are loaded, a token service
# is asked. Who waits longer is better off elsewhere.
WAIT_MAX_S = 10.0
# Where requests may not be queued at all.
WAIT_MIN_S = 2.0
# Requests that waited together begin the same cooldown.
SAME_S = 1.0


def wait_s(queue_timeout_s: float) -> float:
    """How long a request waits for a credential, by `routing.queue_timeout_s`."""
    return min(max(queue_timeout_s, WAIT_MIN_S), WAIT_MAX_S)


def end_lacks(providers: Iterable[ProviderState], now: float, now_wall: float) -> bool:
    """End the cooldowns of targets that had no credential and have one now. True: there were some.

    Args:
        providers: all of them.
        now: monotonic seconds.
        now_wall: seconds since 1970.
    """
    is_news = False
    for provider in providers:
        for target in provider.targets:
            credential = target.credential
            if credential is None or target.lacks_until == 0.0:
                continue
            if credential.secret(now_wall + provider.clock_skew_s) is None:
                continue
            # Another cooldown, of a 429, stays.
            if abs(target.limits.cooldown_until() - target.lacks_until) < SAME_S:
                target.limits.end_cooldowns(now)
            target.lacks_until = 0.0
            is_news = True
    return is_news


class CredentialWait:
    """One wait; it ends once.

    Args:
        loop: the worker's event loop.
        credential: what is waited for.
        timeout_s: for how long.
        ready: called once, never from inside of the constructor. `True`: in time.
    """

    __slots__ = ("_credential", "_ready", "_timer", "_waiter")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        credential: CloudCredential,
        timeout_s: float,
        ready: Callable[[bool], object],
    ) -> None:
        self._credential = credential
        self._ready: Callable[[bool], object] | None = ready
        self._waiter = self._come  # one object: it is looked for when it leaves
        self._timer = loop.call_later(timeout_s, self._expire)
        credential.wait(self._waiter)

    def cancel(self) -> None:
        """Forget it: `ready` is not called any more."""
        self._ready = None
        self._timer.cancel()
        self._credential.leave(self._waiter)

    def _come(self) -> None:
        self._end(True)

    def _expire(self) -> None:
        self._end(False)

    def _end(self, in_time: bool) -> None:
        ready = self._ready
        if ready is not None:
            self.cancel()
            ready(in_time)
