"""What the dashboard knows of the relay: filled by threads, read by the one that draws."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ccrelay.tui.marks import Marks
from ccrelay.v1 import relay_pb2

RING_MAX = 2000  # exchanges that are kept; older ones are asked for
ATTEMPTS_MAX = 500  # exchanges whose attempts are kept
SEEN_MAX = 4000
MOVED_MAX = 500  # sessions whose last move is kept


class Trouble(NamedTuple):
    """The relay does not answer.

    Args:
        message: what came instead.
        next_try_at_ms: when it is tried again, milliseconds since 1970.
        is_hopeless: whether it answers, and refuses.
    """

    message: str
    next_try_at_ms: int
    is_hopeless: bool = False


class Ring:
    """The latest exchanges, each once. `total` counts all that came.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int = RING_MAX) -> None:
        self._kept: deque[Any] = deque(maxlen=size)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.total = 0
        self.dropped = 0

    def add(self, exchanges: Iterable[Any]) -> list[Any]:
        """Keep those that are new, and return them."""
        fresh = []
        for one in exchanges:
            if one.id in self._seen:
                continue
            self._seen[one.id] = None
            if len(self._seen) > SEEN_MAX:
                self._seen.popitem(last=False)
            fresh.append(one)
        self._kept.extend(fresh)
        self.total += len(fresh)
        return fresh

    def newest_first(self) -> list[Any]:
        """Return those that are kept."""
        return list(reversed(self._kept))


class Live:
    """The state of a relay as it is seen from here. Every method may be called by any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._status: Any = None
        self._providers: dict[str, Any] = {}
        self._running: Sequence[Any] = ()
        self._running_total = 0
        self._ring = Ring()
        self._filtered: Ring | None = None
        self._filter_problem = ""
        self._attempts: OrderedDict[str, Sequence[Any]] = OrderedDict()
        self._moved: OrderedDict[str, int] = OrderedDict()
        self.marks = Marks()
        self.trouble: Trouble | None = None
        self.last_seen_ms = 0
        self.version = 0  # grows with every change

    # ---- the threads tell

    def on_status(self, message: Any) -> None:
        """Take a `WatchStatusResponse`, or a status that is whole."""
        with self._lock:
            if message.whole:
                self._providers = {}
            for name in message.removed_providers:
                self._providers.pop(name, None)
            for one in message.status.providers:
                self._providers[one.name] = one
            status = relay_pb2.Status()
            status.CopyFrom(message.status)
            del status.providers[:]
            status.providers.extend(self._providers.values())
            self._status = status
            self._alive(status.at_ms)

    def on_alive(self, at_ms: int) -> None:
        """The relay has answered, and nothing has changed."""
        with self._lock:
            self._alive(at_ms)

    def _alive(self, at_ms: int) -> None:
        self.trouble = None
        self.last_seen_ms = max(self.last_seen_ms, at_ms)
        self.version += 1

    def on_trouble(self, trouble: Trouble) -> None:
        """The relay does not answer."""
        with self._lock:
            self.trouble = trouble
            self._running, self._running_total = (), 0
            self.version += 1

    def on_exchanges(self, message: Any) -> list[Any]:
        """Take a `TailResponse`; return the exchanges that are new."""
        with self._lock:
            fresh = self._ring.add(message.exchanges)
            self._ring.dropped += message.dropped
            for one in fresh:
                self.marks.add(one)
                if one.moved and one.session:
                    self._note_move(one)
            self.version += 1
            return fresh

    def _note_move(self, one: Any) -> None:
        self._moved[one.session] = max(one.started_at_ms, self._moved.get(one.session, 0))
        self._moved.move_to_end(one.session)
        while len(self._moved) > MOVED_MAX:
            self._moved.popitem(last=False)

    def on_running(self, message: Any) -> None:
        """Take a `WatchRunningResponse`."""
        with self._lock:
            self._running = list(message.running)
            self._running_total = message.total
            self.version += 1

    def on_attempts(self, one: Any, attempts: Sequence[Any]) -> None:
        """Take the attempts of an exchange that had more than one."""
        with self._lock:
            self._attempts[one.id] = list(attempts)
            while len(self._attempts) > ATTEMPTS_MAX:
                self._attempts.popitem(last=False)
            self.marks.add_attempts(one, attempts)
            self.version += 1

    def on_filtered(self, message: Any) -> None:
        """Take a `TailResponse` of the stream with a filter."""
        with self._lock:
            if self._filtered is not None:
                self._filtered.add(message.exchanges)
                self._filtered.dropped += message.dropped
            self.version += 1

    def begin_filter(self, *, on: bool) -> None:
        """Forget what came by another filter; `on`: there is one."""
        with self._lock:
            self._filtered = Ring() if on else None
            self._filter_problem = ""
            self.version += 1

    def on_filter_problem(self, message: str) -> None:
        """The filter is refused."""
        with self._lock:
            self._filter_problem = message
            self.version += 1

    # ---- the one that draws asks

    @property
    def status(self) -> Any:
        """The newest status; None: there was none yet."""
        with self._lock:
            return self._status

    @property
    def filter_problem(self) -> str:
        """Why the filter is refused; empty: it is not."""
        return self._filter_problem

    def exchanges(self, *, filtered: bool = False) -> tuple[list[Any], int, int]:
        """Return those that are kept, newest first; how many came; how many were left out."""
        with self._lock:
            ring = self._filtered if filtered and self._filtered is not None else self._ring
            return ring.newest_first(), ring.total, ring.dropped

    def running(self) -> tuple[Sequence[Any], int]:
        """Return those under way, oldest first, and how many there are."""
        with self._lock:
            return self._running, self._running_total

    def attempts(self, exchange_id: str) -> Sequence[Any]:
        """Return the attempts of an exchange; empty: not known."""
        with self._lock:
            return self._attempts.get(exchange_id, ())

    def moved_at(self, session: str) -> int:
        """Return when a session left a warm cache last, as far as that is kept; 0: not known."""
        with self._lock:
            return self._moved.get(session, 0)

    def lanes(self) -> Mapping[tuple[str, str], Mapping[int, int]]:
        """Return a copy of the marks of all lanes."""
        with self._lock:
            return self.marks.copy()
