"""Readable twin of ccrelay._fast.slots: a log of what was counted, and a window that slides.

The fast one counts in half-second buckets, so that it forgets up to half a second later. Questions
take the window's `span`: the truth lies between the answers for `SHORTEST` and `LONGEST`.
"""

from dataclasses import dataclass, field

REQUESTS, INPUT, OUTPUT, TOKENS = range(4)
SHORTEST, LONGEST = 60.5, 61.0


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
    late: Entry  # more input, by a correction
    open: bool = True
    tokens_in: int = 0


@dataclass
class Learned:
    limit: int = 0
    keep_until: float = 0.0
    others: int = 0
    resets_at: float = 0.0


@dataclass
class Target:
    limits: dict[int, int] = field(default_factory=dict)  # by dim
    max_concurrent: int = 0
    log: list[Entry] = field(default_factory=list)
    learned: dict[int, Learned] = field(default_factory=dict)
    in_flight: int = 0
    rests_until: float = 0.0

    def used(self, dim: int, now: float, span: float) -> int:
        return sum(entry.amount(dim) for entry in self.log if entry.at > now - span)

    def bounds(self, dim: int, now: float) -> list[tuple[int, int]]:
        """(limit, what others use of it) of everything that holds for this dim."""
        learned = self.learned.get(dim, Learned())
        others = learned.others if learned.resets_at > now else 0
        bounds = []
        if learned.limit and learned.keep_until > now:
            bounds.append((learned.limit, others))
            others = 0
        if dim in self.limits:
            bounds.append((self.limits[dim], others))
        return bounds

    def lacks(self, now: float, need: tuple[int, int], span: float) -> bool:
        """Whether a limit stands against a request of that input and output."""
        tokens_in, tokens_out = need
        needs = (1, tokens_in, tokens_out, tokens_in + tokens_out)
        return any(
            self.used(dim, now, span) + others + min(needs[dim], limit) > limit
            for dim in range(4)
            for limit, others in self.bounds(dim, now)
        )

    def busy(self) -> bool:
        return bool(self.max_concurrent) and self.in_flight >= self.max_concurrent

    def reserve(self, now: float, tokens_in: int, tokens_out: int) -> Ticket:
        ticket = Ticket(Entry(now, 1, tokens_in, tokens_out), Entry(now), tokens_in=tokens_in)
        self.log += [ticket.first, ticket.late]
        self.in_flight += 1
        return ticket

    def correct(self, ticket: Ticket, now: float, tokens_in: int) -> None:
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

    def settle(self, ticket: Ticket, now: float, tokens_in: int, tokens_out: int) -> None:
        self.correct(ticket, now, tokens_in)
        more = tokens_out - ticket.first.tokens_out
        if more > 0:
            self.log.append(Entry(now, tokens_out=more))
        else:
            ticket.first.tokens_out = tokens_out
        self.drop(ticket)

    def cancel(self, ticket: Ticket, now: float) -> None:
        self.settle(ticket, now, 0, 0)
        ticket.first.requests = 0

    def drop(self, ticket: Ticket) -> None:
        ticket.open = False
        self.in_flight -= 1
