"""The standard descriptors: open from the start, and the terminal behind them.

SIGHUP has two meanings: a service manager asks for a reload, and a terminal says that it is closed.
The descriptors tell which: after a hangup the kernel answers every call on them with EIO.
"""

import os
from collections.abc import Iterable

STANDARD = (0, 1, 2)


def open_standard_descriptors() -> None:
    """Open `/dev/null` in place of each standard descriptor that is closed.

    Otherwise the next files and sockets get their numbers, and a worker writes its log into one.
    Raises OSError.
    """
    for fd in STANDARD:
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number
            if opened != fd:
                os.dup2(opened, fd)
                os.close(opened)
            os.set_inheritable(fd, True)


class Terminal:
    """The terminal that a process was started in, by the descriptors that lead to it.

    Args:
        fds: descriptors that are, or were, a terminal; none: not started in one.
    """

    def __init__(self, fds: Iterable[int] = ()) -> None:
        self.fds = tuple(fds)

    @classmethod
    def of_process(cls) -> "Terminal":
        """The terminal behind the standard descriptors of this process."""
        return cls(fd for fd in STANDARD if os.isatty(fd))

    def has_hung_up(self) -> bool:
        """Whether it has been closed since."""
        return any(not os.isatty(fd) for fd in self.fds)
