# cython: language_level=3
"""Accepts client connections on one listening socket."""

cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.conn cimport Reactor
from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.handlers cimport DownstreamLimits
from ccrelay._fast.memory_account cimport Share

cdef extern from "sock.h" nogil:
    int cc_accept(int listener, char* client, int* n)
    int c_close "close"(int fd)
    int errno
    int EMFILE, ENFILE, ENOBUFS, ENOMEM

cdef enum:
    ACCEPTS_PER_TURN = 32      # then existing connections are served
    ACCEPTS_LAST = 1024        # of what is in the kernel's queue when the listener stops

cdef double PAUSE_S = 0.1


@cython.final
cdef class Listener:
    """Accepts connections on one listening socket.

    Args:
        reactor: the worker's reactor.
        fd: a listening, non-blocking descriptor, owned by the caller.
        handler: receives on_request, on_refused, on_slow, on_gone, on_exhausted and on_turned_away,
            and holds the set `connections`.
        limits: limits of every connection.

    `connections_max`: beyond, connections wait in the kernel's queue; 0: no limit.
    `unadmitted_max`: connections of one address without an admitted request; beyond, new ones are
    closed at once; 0: no limit.
    """

    cdef readonly Reactor reactor
    cdef int fd
    cdef object handler
    cdef public DownstreamLimits limits    # of future connections
    cdef bint running
    cdef object pause
    cdef public int64_t connections_max, unadmitted_max

    def __init__(self, Reactor reactor, int fd, handler, DownstreamLimits limits):
        self.reactor = reactor
        self.fd = fd
        self.handler = handler
        self.limits = limits

    def start(self) -> None:
        """Start accepting."""
        self.pause = None
        if not self.running:
            self.running = True
            self.reactor.loop.add_reader(self.fd, self._acceptable)

    def stop(self) -> None:
        """Accept the connections already in the kernel's queue, then stop."""
        if self.running:
            self._accept(ACCEPTS_LAST)
        if self.pause is not None:
            self.pause.cancel()
            self.pause = None
        if self.running:
            self.running = False
            self.reactor.loop.remove_reader(self.fd)

    def _pause(self) -> None:
        # Out of descriptors, or at the limit: leave the others in the queue and retry shortly.
        self.running = False
        self.reactor.loop.remove_reader(self.fd)
        self.pause = self.reactor.loop.call_later(PAUSE_S, self.start)

    def _acceptable(self):
        self._accept(ACCEPTS_PER_TURN)

    cdef void _accept(self, int most) except *:
        cdef int fd, _turn, n = 0
        cdef char client[8]
        cdef bytes address
        cdef Share share
        cdef Downstream down
        self.reactor.tick()
        for _turn in range(most):
            if self.connections_max and len(self.handler.connections) >= self.connections_max:
                self._pause()
                return
            fd = cc_accept(self.fd, client, &n)
            if fd < 0:
                n = errno
                if n in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    self._pause()
                    self.handler.on_exhausted(n)
                return
            address = client[:n]
            share = self.reactor.account.shares.get(address)
            if (
                self.unadmitted_max
                and share is not None
                and share.unadmitted >= self.unadmitted_max
            ):
                c_close(fd)
                self.handler.on_turned_away()
                continue
            down = Downstream.__new__(Downstream)
            self.handler.connections.add(down)
            down.open(self.reactor, fd, address, self.handler, self.limits)
