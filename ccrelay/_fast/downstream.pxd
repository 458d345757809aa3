"""The client's side of an exchange: request heads and bodies in, response bytes out."""

from libc.stdint cimport int64_t

from ccrelay._fast.client_body cimport ClientBody
from ccrelay._fast.conn cimport Reactor
from ccrelay._fast.handlers cimport DownstreamLimits
from ccrelay._fast.http1 cimport Head


cdef class Downstream


cdef class ConnectionHandler:
    # Admits requests: base class of the worker's dispatcher.
    cpdef object on_request(self, Downstream down)
    cpdef object on_refused(self, Downstream down, int fault)      # a HeadFault or NO_MEMORY
    cpdef object on_slow(self, Downstream down)    # the head did not arrive in time
    cpdef object on_gone(self, Downstream down)    # the connection is closed
    cpdef object on_exhausted(self, int error)     # errno: nothing can be accepted
    cpdef object on_turned_away(self)      # a connection over its address's limit was closed


cdef class Downstream(ClientBody):
    cdef ConnectionHandler handler
    cdef public object memo            # the relay's own note about this connection
    cdef bytes shown                   # credentials, Host and Origin that the memo is about

    cdef double linger_until

    # the response
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
    cpdef object recall(self)
    cdef object _forget(self)
    cpdef object pause(self)
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
        self, Reactor reactor, int fd, bytes address, ConnectionHandler handler,
        DownstreamLimits limits,
    ) except *
    cdef int forward(self, const char* p, Py_ssize_t n) except -2
    cdef void complete(self) except *
    cdef void peer_gone(self) except *

    cdef void _process(self, char* p, Py_ssize_t n) except *
    cdef Py_ssize_t _read_head(self, char* p, Py_ssize_t n) except -2
    cdef void _begin_request(self, Head head) except *
    cdef void _close_when_sent(self) except *
    cdef void _gone(self, bint reset) except *
    cdef void _unjam(self) except *
    cdef void _reset_request(self) noexcept
    cdef void _refuse(self, int fault) except *
