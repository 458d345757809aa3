"""Folds bursts in the text log: Claude Code counts tokens by dozens, and one row says as much.

    14:22:10 handbook 25 x count_tokens           anthropic team-a  all ok  -  0.40 s  -  free

The first row of a burst is kept back. When no other one has followed for a while, or another row of
its session comes, it is written as it is, or, when more came, one row for all of them.
"""

from ccrelay._fast.row_line import RowLine
from ccrelay.types import RowGroup

PAUSE_S = 1.0  # so long after the last one a burst is over
BURST_S = 10.0  # a burst that goes on is written as often
BURSTS_MAX = 64  # sessions; the one that began first is written when there are more
OUTCOME_COLUMNS = 13
SEVERAL_TARGETS = "several targets"


class Burst:
    """Rows of one session that came one after the other."""

    def __init__(self, group: RowGroup, rows: bytes, clock: bytes, now: float) -> None:
        self._rows = rows  # of the first
        self._clock = clock
        self._name = group.name
        self._count = 1
        self._failed = int(group.has_failed)
        self._tone = group.tone
        self._target = group.target
        self._words = group.words
        self.began_at = now
        self._received_at = now - group.seconds
        self.last_at = now

    def add(self, group: RowGroup, clock: bytes, now: float) -> None:
        """One more."""
        self._clock = clock
        self._count += 1
        self._failed += group.has_failed
        self._tone = max(self._tone, group.tone)
        if self._target != group.target:
            self._target = SEVERAL_TARGETS
        self._words = group.words or self._words
        self.last_at = now

    def write(self, row: RowLine) -> bytes:
        """Its row, and the one below it."""
        if self._count == 1:
            return self._rows
        row.start(self._clock, self._tone)
        # A burst needs no model: its columns are the name's.
        word = f"{self._count:,} x count_tokens"
        columns = row.what + row.model + 1 if row.model else row.what
        row.open(columns)
        if self._name and columns > len(word) + 3:
            row.put_part(self._name, columns - len(word) - 1)
            row.put(" ")
        row.put(word)
        row.close()
        if row.target:
            row.open(row.target)
            row.put(self._target or "-")
            row.close()
        row.tone_on()
        row.open(OUTCOME_COLUMNS)
        row.put(f"{self._failed:,} failed" if self._failed else "all ok")
        row.close()
        row.tone_off()
        if row.first:
            row.put_seconds(-1.0)
        if row.total:
            row.put_seconds(self.last_at - self._received_at)
        if row.tokens:
            row.put_right(b"-", row.tokens)
        if row.cost:
            row.put_right(b"free", row.cost - 1)
        row.end_row()
        if self._words:
            row.indent()
            row.open(row.row_columns - 9)
            row.put(self._words)
            row.close()
            row.end_row()
        return row.take()


class Bursts:
    """The bursts of a worker that are not over, by session."""

    def __init__(self) -> None:
        self._bursts: dict[bytes, Burst] = {}

    def __bool__(self) -> bool:
        return bool(self._bursts)

    def add(self, group: RowGroup, rows: bytes, row: RowLine, clock: bytes, now: float) -> bytes:
        """Take a row; returns what is to be written now.

        Args:
            group: what it is folded by.
            rows: it, as it is written alone.
            row: writes others.
            clock: its time.
            now: the same in seconds, of any clock.
        """
        if not group.is_count:
            burst = self._bursts.pop(group.session, None)
            return rows if burst is None else burst.write(row) + rows
        burst = self._bursts.get(group.session)
        if burst is not None:
            burst.add(group, clock, now)
            return b""
        self._bursts[group.session] = Burst(group, rows, clock, now)
        if len(self._bursts) > BURSTS_MAX:
            return self._bursts.pop(next(iter(self._bursts))).write(row)
        return b""

    def over(self, row: RowLine, now: float) -> list[bytes]:
        """The rows of those that are over; a clock that was set back ends them as well."""
        ended = [
            session
            for session, burst in self._bursts.items()
            if not (now - PAUSE_S < burst.last_at <= now and now - BURST_S < burst.began_at)
        ]
        return [self._bursts.pop(session).write(row) for session in ended]

    def all(self, row: RowLine) -> list[bytes]:
        """The rows of all of them, which are forgotten."""
        bursts, self._bursts = self._bursts, {}
        return [burst.write(row) for burst in bursts.values()]
