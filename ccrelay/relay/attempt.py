"""One attempt: one try of an exchange on one target, and everything it acquired.

A reservation of the target's limits, a ticket of the endpoint's circuit breaker, a connection, and
what is sent over it. `finish` is the only place where the first two are given back; the connection
returns to its pool by itself when its response is whole (`_fast.upstream`).
"""

import random

from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.rate_limits import Reservation
from ccrelay._fast.upstream import Upstream
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.cloud_request import Prepared
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.selection import Selection


class Attempt:
    """One try on one target.

    Args:
        candidate: the provider as a candidate for the model; None: the path is not routed.
        target: the credential in use.
        reservation: of the target's limits; None: the request counts against none.
        ticket: of the endpoint's breaker; None: the path is not routed.
    """

    __slots__ = (
        "body",
        "breaker_result",
        "candidate",
        "finished",
        "move_reason",
        "moved_from",
        "needs_new_connection",
        "noted",
        "plan",
        "prepared",
        "reservation",
        "serial",
        "signed_at",
        "started_at",
        "strip_thinking",
        "target",
        "ticket",
        "upstream",
    )

    def __init__(
        self,
        candidate: Candidate | None,
        target: Target,
        reservation: Reservation | None,
        ticket: int | None,
    ) -> None:
        self.begin(candidate, target, reservation, ticket)

    def begin(
        self,
        candidate: Candidate | None,
        target: Target,
        reservation: Reservation | None,
        ticket: int | None,
    ) -> None:
        """As the constructor, for one that `__new__` has made: it spares the arguments a trip."""
        self.candidate = candidate
        self.target = target
        self.reservation = reservation
        self.ticket = ticket
        self.upstream: Upstream | None = None
        self.plan: RequestPlan | None = None  # how the request head is written
        self.body: bytes | None = None  # sent instead of the client's bytes
        # A bridged request, whose body is `body`; None: the dialect does not bridge.
        self.prepared: Prepared | None = None
        self.serial = 0  # of the cloud's credential that was sent; 0: none
        self.signed_at = 0.0  # time of the signature, seconds since 1970; 0.0: there is none
        self.needs_new_connection = False  # a pooled connection was stale
        self.breaker_result: bool | None = None  # what it proves of the endpoint; None: nothing
        # Leave out thinking blocks that the provider did not sign; True: all of them.
        self.strip_thinking: bool | None = None
        # Why the conversation leaves its target, should this attempt serve it, and that target.
        self.move_reason: str | None = None
        self.moved_from: Target | None = None
        self.finished = False
        self.started_at = 0.0  # monotonic seconds
        self.noted = False  # it failed, and is among the tries of its outcome

    def settle_breaker(self, now: float, rng: random.Random, result: bool | None) -> None:
        """Give the breaker's ticket back ahead of the end: content proves a trial."""
        ticket = self.ticket
        if ticket is not None:
            self.ticket = None
            self.target.provider.endpoint.breaker.settle(ticket, now, rng, ok=result)

    def finish(self, now: float, rng: random.Random, tokens_in: int, tokens_out: int) -> bool:
        """Give everything back; only the first call counts.

        Args:
            now: monotonic seconds.
            rng: for the breaker's open time.
            tokens_in: input tokens to count against the limits.
            tokens_out: output tokens to count against the limits.
        """
        if self.finished:
            return False
        self.finished = True
        reservation = self.reservation
        if reservation is not None:
            self.reservation = None
            reservation.commit(now, tokens_in, tokens_out)
        ticket = self.ticket
        if ticket is not None:
            self.ticket = None
            endpoint = self.target.provider.endpoint
            if self.breaker_result is False:
                # An endpoint that answers badly is not proven by a connection.
                endpoint.stats.answers = self.upstream is not None
            endpoint.breaker.settle(ticket, now, rng, ok=self.breaker_result)
        return True

    def cancel(self, now: float) -> None:
        """Nothing was sent: take the request out of the limits."""
        if self.reservation is not None:
            self.reservation.cancel(now)
            self.reservation = None


def attempt_on(selection: Selection) -> Attempt:
    """The attempt for a selection."""
    attempt = Attempt.__new__(Attempt)
    attempt.begin(selection.candidate, selection.target, selection.reservation, selection.ticket)
    return attempt
