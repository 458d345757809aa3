# cython: language_level=3
"""A client's socket.

Until a request was admitted, a connection is anybody's: it is counted to its address, it has a
short idle time, at most one head of it is read ahead, and each of its requests waits for a turn of
its own. What it holds is charged to a client: its relay token, else its address.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free, buffer_take
from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.memory_account cimport Share


cdef class ClientConn(Conn):
    """What of a client connection does not depend on HTTP."""

    def __dealloc__(self):
        buffer_free(&self.ahead)

    cdef void join(self, Reactor reactor, bytes address) except *:
        """Count the connection to its address."""
        self.sheds = True
        self.origin = self.share = reactor.account.share(address)
        self.origin.join(True)

    @property
    def client(self) -> bytes:
        """Whom the connection is charged to: the digest of its relay token, else its address."""
        return self.share.client

    @property
    def memory(self) -> Share:
        """The share that what is held for this connection is charged to."""
        return self.share

    cpdef object admit(self):
        """A request was admitted: the connection is a client's like any other."""
        if not self.admitted and self.fd >= 0:
            self.admitted = True
            self.origin.unadmitted -= 1

    cpdef object charge_to(self, bytes client):
        """Charge what is held to this client; None: to its address."""
        cdef Share old = self.share
        cdef Share new = self.origin
        cdef int64_t held = self.out_cap + self.ahead.cap + self.body_bytes_held()
        if client is not None:
            new = self.reactor.account.share(client)
        if new is old or self.fd < 0:
            return
        if new is not self.origin:
            new.join(False)
        new.put(held)
        self.share = new
        self.move_body(new)
        old.give(held)
        if old is not self.origin:
            old.leave(False)

    cdef bint keep_ahead(self, const char* p, Py_ssize_t n) except -1:
        """Keep bytes for later. False: there is no room, and nothing is kept any more."""
        cdef Py_ssize_t before = self.ahead.cap
        buffer_add(&self.ahead, p, n)
        if self.ahead.cap != before and not self.share.take(self.ahead.cap - before):
            self.share.put(self.ahead.cap - before)
            self.drop_ahead()
            return False
        return True

    cdef Buffer take_ahead(self) noexcept:
        """Move out what was kept; the caller frees it."""
        self.share.give(self.ahead.cap)
        self.ahead_scanned = 0
        return buffer_take(&self.ahead)

    cdef void drop_ahead(self) noexcept:
        """Forget what was kept."""
        if self.ahead.cap:
            self.share.give(self.ahead.cap)
        buffer_free(&self.ahead)
        self.ahead_scanned = 0

    cdef void wait_turn(self) except *:
        """The rest waits for a later turn of the loop; more is left in the kernel until then."""
        self.resuming = True
        self.stop_reading()
        self.reactor.defer(self)

    cdef void on_closed(self) noexcept:
        self.drop_ahead()
        self.origin.leave(not self.admitted)
        if self.share is not self.origin:
            self.share.leave(False)

    cdef int64_t body_bytes_held(self) noexcept:
        return 0

    cdef void move_body(self, Share share) noexcept:
        pass
