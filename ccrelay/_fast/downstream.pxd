"""The client's side of an exchange: request heads and bodies in, response bytes out."""

from libc.stdint cimport int64_t

from ccrelay._fast.body cimport RequestBody
from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.handlers cimport DownstreamLimits, RequestHandler
from ccrelay._fast.http1 cimport Head


cpdef enum Phase:
    IDLE = 0                 # between requests, or a head is arriving
    BODY = 1                 # the request body is arriving
    WAITING = 2              # the request is complete; the answer is not
    LINGERING = 3            # answered; unread request bytes are thrown away before the close


cdef class Downstream


cdef class ConnectionHandler:
    # Admits requests: base class of the worker's dispatcher.
    cpdef object on_request(self, Downstream down)
    cpdef object on_refused(self, Downstream down, int fault)      # a HeadFault
    cpdef object on_slow(self, Downstream down)    # the head did not arrive in time
    cpdef object on_gone(self, Downstream down)    # the connection is closed


cdef class Downstream(Conn):
    cdef ConnectionHandler handler
    cdef DownstreamLimits limits
    cdef public RequestHandler exchange    # answers the current request; None between requests
    cdef public object memo            # the relay's own note about this connection
    cdef bytes shown                   # credentials, Host and Origin that the memo is about
    cdef readonly int phase
    cdef public Head head
    cdef Buffer ahead                  # a head that arrived in pieces, or pipelined requests
    cdef Py_ssize_t ahead_scanned
    cdef bint resuming

    # the request body
    cdef RequestBody body
    cdef bint read_stopped             # the window is full
    cdef bint wants_model, wants_body  # who waits for what
    cdef double linger_until
    cdef double heard_at

    # the response
    cdef Conn source                   # the upstream that fills it
    cdef bytes pending_head            # leaves together with the first body bytes
    cdef public bint started           # some response byte has been given to the kernel or queued
    cdef public bint keep_alive
    cdef bint closing                  # close once the queue is with the kernel
    cdef bint resets                   # that close has to be a reset
    cdef bint jammed                   # no next request before the queue is with the kernel
    cdef public int64_t bytes_out
    cdef public double received_at     # first byte of the request
    cdef public double last_out_at

    # for exchanges
    cpdef bytes model(self)
    cpdef bint stream_flag(self)
    cpdef bint body_complete(self)
    cpdef int body_fault(self)
    cpdef int64_t body_seen(self)
    cpdef bint can_replay(self)
    cpdef bint length_known(self)
    cpdef bytes body_bytes(self)
    cpdef object recall(self)
    cdef object _forget(self)
    cpdef object hold(self)
    cpdef object await_model(self)
    cpdef object await_body(self)
    cpdef object wake_in(self, double seconds)
    cpdef double stalled_for(self)
    cpdef object answer(self, bytes data, bint keep_alive)
    cpdef object begin(self, bytes head)
    cpdef bint flush_head(self)
    cpdef bint write(self, bytes data)
    cpdef object finish(self)
    cpdef object cut(self)
    cpdef object abort(self)

    cdef void open(
        self, Reactor reactor, int fd, ConnectionHandler handler, DownstreamLimits limits
    ) except *
    cdef int forward(self, const char* p, Py_ssize_t n) except -2
    cdef void complete(self) except *
    cdef void peer_gone(self) except *
    cdef void consumed(self, int64_t upto) except *

    cdef void _process(self, char* p, Py_ssize_t n) except *
    cdef Py_ssize_t _read_head(self, char* p, Py_ssize_t n) except -2
    cdef void _begin_request(self, Head head) except *
    cdef void _body_arrived(self) except *
    cdef void _close_when_sent(self) except *
    cdef void _gone(self, bint reset) except *
    cdef void _unjam(self) except *
    cdef void _reset_request(self) noexcept
    cdef void _refuse(self, int fault) except *
