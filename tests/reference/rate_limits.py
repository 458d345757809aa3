"""Readable reference of ccrelay._fast.rate_limits: a log of counts and a sliding window.

The fast version counts in half-second buckets, so counts leave its window up to half a second
later. Queries take the window's `span`: the right result lies between those for `SHORTEST` and
`LONGEST`.
"""

import math
from dataclasses import dataclass, field

REQUESTS, INPUT, OUTPUT, TOKENS = range(4)
SHORTEST, LONGEST = 60.5, 61.0
TRIAL_S = 2.0


@dataclass
class Entry:
    """What was counted at one instant."""

    at: float
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def amount(self, dim: int) -> int:
        both = self.tokens_in + self.tokens_out
        return (self.requests, self.tokens_in, self.tokens_out, both)[dim]


@dataclass
class Ticket:
    first: Entry
    late: Entry  # additional input, by a correction
    open: bool = True
    tokens_in: int = 0


@dataclass
class Learned:
    limit: int = 0
    keep_until: float = 0.0
    others: int = 0
    more: int | None = None  # may be counted from `since` on, whatever the window holds
    since: float = 0.0
    resets_at: float = 0.0  # until when the three above are valid


@dataclass
class Bound:
    """A limit, and what is used of it."""

    limit: int
    used: int
    is_learned: bool = False
    alone: bool = False  # derived from a configured limit: a larger request fits when it is unused

    def fits(self, need: int) -> bool:
        if self.alone or not self.is_learned:
            need = min(need, self.limit)
        return self.used + need <= self.limit


@dataclass
class Target:
    limits: dict[int, int] = field(default_factory=dict)  # by dim
    max_concurrent: int = 0
    log: list[Entry] = field(default_factory=list)
    learned: dict[int, Learned] = field(default_factory=dict)
    in_flight: int = 0
    cooldown_until: float = 0.0
    on_trial: bool = False  # `cooldown_until` is the end of a trial's turn

    def used(self, dim: int, now: float, span: float) -> int:
        return sum(entry.amount(dim) for entry in self.log if entry.at > now - span)

    def since(self, dim: int, at: float) -> int:
        return sum(entry.amount(dim) for entry in self.log if entry.at >= at)

    def learn(
        self,
        dim: int,
        limit: int,
        remaining: int,
        resets_at: float,
        keep_until: float,
        now: float,
        counts: tuple[int, int],
    ) -> None:
        """A header said so; `counts`: requests, and amount of this dim, in the window as it is
        seen. Where remaining is told, a limit is known: this answer's, an earlier one's, ours."""
        learned = self.learned.setdefault(dim, Learned())
        if limit and keep_until > now:
            learned.limit, learned.keep_until = limit, keep_until
        if remaining < 0:
            return
        requests, used = counts
        kept = learned.limit if learned.keep_until > now else 0
        learned.resets_at = min(resets_at, learned.keep_until) if kept else resets_at
        # The provider need not know of the others that are under way.
        others = min(max(self.in_flight - 1, 0), requests)
        left = min(remaining, kept) - (used * others // requests if requests else 0)
        learned.others, learned.more = 0, None
        if kept and left > max(kept - used, 0):
            learned.since = math.floor(now * 2) / 2
            learned.more = left + self.since(dim, learned.since)
            learned.resets_at = min(learned.resets_at, learned.since + LONGEST)
        else:
            learned.others = max((kept or self.limits[dim]) - remaining - used, 0)

    def bounds(self, dim: int, now: float, span: float) -> list[Bound]:
        """Everything that holds for this dim."""
        learned = self.learned.get(dim, Learned())
        used = self.used(dim, now, span)
        holds = learned.resets_at > now
        others = learned.others if holds else 0
        bounds = []
        if learned.limit and learned.keep_until > now:
            theirs = used + others
            if holds and learned.more is not None:
                left = learned.more - self.since(dim, learned.since)
                theirs = min(theirs, max(learned.limit - left, 0))
            bounds.append(Bound(learned.limit, theirs, is_learned=True))
            others = 0
        if dim in self.limits:
            bounds.append(Bound(self.limits[dim], used))
            if others:
                bounds.append(Bound(self.limits[dim], used + others, is_learned=True, alone=True))
        return bounds

    def lacks(self, now: float, need: tuple[int, int], span: float, anyway: bool) -> bool:
        """Whether a limit rules out a request of that input and output. `anyway`: a configured
        limit does."""
        tokens_in, tokens_out = need
        needs = (1, tokens_in, tokens_out, tokens_in + tokens_out)
        return any(
            not bound.fits(needs[dim])
            for dim in range(4)
            for bound in self.bounds(dim, now, span)
            if not (anyway and bound.is_learned)
        )

    def busy(self) -> bool:
        return bool(self.max_concurrent) and self.in_flight >= self.max_concurrent

    def reserve(self, now: float, tokens_in: int, tokens_out: int) -> Ticket:
        ticket = Ticket(Entry(now, 1, tokens_in, tokens_out), Entry(now), tokens_in=tokens_in)
        self.log += [ticket.first, ticket.late]
        self.in_flight += 1
        return ticket

    def try_key(self, now: float) -> None:
        """After a cooldown one request goes first."""
        if self.cooldown_until:
            self.cooldown_until, self.on_trial = now + TRIAL_S, True

    def cool_down(self, until: float) -> None:
        if self.on_trial or until > self.cooldown_until:
            self.cooldown_until, self.on_trial = until, False

    def prove(self) -> None:
        if self.on_trial:
            self.cooldown_until, self.on_trial = 0.0, False

    def adjust(self, ticket: Ticket, now: float, tokens_in: int) -> None:
        more = tokens_in - ticket.tokens_in
        ticket.tokens_in = tokens_in
        if more > 0:
            ticket.late = Entry(now, tokens_in=more)
            self.log.append(ticket.late)
        else:
            for entry in (ticket.late, ticket.first):
                back = min(-more, entry.tokens_in)
                entry.tokens_in -= back
                more += back

    def commit(self, ticket: Ticket, now: float, tokens_in: int, tokens_out: int) -> None:
        self.adjust(ticket, now, tokens_in)
        more = tokens_out - ticket.first.tokens_out
        if more > 0:
            self.log.append(Entry(now, tokens_out=more))
        else:
            ticket.first.tokens_out = tokens_out
        self.drop(ticket)

    def cancel(self, ticket: Ticket, now: float) -> None:
        self.commit(ticket, now, 0, 0)
        ticket.first.requests = 0

    def drop(self, ticket: Ticket) -> None:
        ticket.open = False
        self.in_flight -= 1
