"""The connections of a door: how many there may be, and which one goes when there are too many."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ccrelay.control.authorise import Door, Right, right_of

CONNECTIONS_MAX = 128  # of one door


@dataclass(slots=True, eq=False)
class Connection:
    """One accepted connection.

    Args:
        name: unique in this process.
        door: where it came in.
        last_active: when bytes moved last, seconds of the loop's clock.
        authority: of an HTTP/2 connection, once it is read.
    """

    name: str
    door: Door
    last_active: float = 0.0
    authority: str | None = None
    abort: Callable[[], object] = field(default=lambda: None, init=False)  # closes it
    calls: int = field(default=0, init=False)  # of callers who have shown who they are

    def begin(self, path: str) -> Callable[[object], None]:
        """Note a call that was admitted; return what ends it."""
        if not self.door.is_unix and right_of(path) in (Right.OPEN, Right.SIGN_IN):
            return _nothing  # open to all: it must not keep others out
        self.calls += 1
        return self._end

    def _end(self, _: object) -> None:
        self.calls -= 1


def _nothing(_: object) -> None:
    pass


class Connections:
    """All connections of one door.

    Args:
        limit: so many at most.
    """

    def __init__(self, limit: int = CONNECTIONS_MAX) -> None:
        self._limit = limit
        self._all: dict[str, Connection] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))

    def get(self, name: str) -> Connection | None:
        """Return the connection of that name."""
        return self._all.get(name)

    def add(self, connection: Connection) -> bool:
        """Add one; whether there is room.

        At the limit the one that was idle longest is closed, of those without a call that was
        authorised: opening connections thus shuts no other caller out.
        """
        if len(self._all) >= self._limit:
            idle = [each for each in self._all.values() if each.calls == 0]
            if not idle:
                return False
            oldest = min(idle, key=lambda each: each.last_active)
            self.remove(oldest)
            oldest.abort()
        self._all[connection.name] = connection
        return True

    def remove(self, connection: Connection) -> None:
        """Forget one; may be called again."""
        if self._all.get(connection.name) is connection:
            del self._all[connection.name]
