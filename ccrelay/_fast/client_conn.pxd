"""A client's socket: whose memory it holds, whether it was admitted, what waits for its turn."""

from libc.stdint cimport int64_t

from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.memory_account cimport Share


cdef enum:
    PIPELINE_BYTES_MAX = 65536     # requests ahead of their turn; more is left in the kernel
    REQUESTS_PER_TURN = 4          # of one connection, then the others are served
    NO_MEMORY = -1                 # beside the HeadFaults: the head cannot be kept


cdef class ClientConn(Conn):
    cdef Share origin                  # of the client's address; `share` may be that of its token
    cdef readonly bint admitted        # a request of this connection was admitted
    cdef Buffer ahead                  # a head that arrived in pieces, or pipelined requests
    cdef Py_ssize_t ahead_scanned
    cdef bint resuming                 # what is ahead waits for its turn

    cpdef object admit(self)
    cpdef object charge_to(self, bytes client)

    cdef void join(self, Reactor reactor, bytes address) except *
    cdef bint keep_ahead(self, const char* p, Py_ssize_t n) except -1
    cdef Buffer take_ahead(self) noexcept
    cdef void drop_ahead(self) noexcept
    cdef void wait_turn(self) except *
    # filled in by downstream
    cdef int64_t body_bytes_held(self) noexcept
    cdef void move_body(self, Share share) noexcept
