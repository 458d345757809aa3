"""The client's side of an exchange: request heads and bodies in, response bytes out."""

from libc.stdint cimport int64_t

from ccrelay._fast.conn cimport Conn
from ccrelay._fast.http1 cimport Head, Walker
from ccrelay._fast.json cimport MemberKeys, MemberScan


cpdef enum Phase:
    IDLE = 0                 # between requests, or a head is arriving
    BODY = 1                 # the request body is arriving
    WAITING = 2              # the request is complete; the answer is not
    LINGERING = 3            # answered; unread request bytes are thrown away before the close


cpdef enum BodyFault:
    FINE = 0
    NOT_JSON = 1             # top level is not one JSON object, or ends early
    SECOND_MODEL = 2         # a second top-level `model`
    TOO_LONG = 3             # chunked body over the limit
    BAD_FRAMING = 4          # chunked framing malformed
    NO_ROOM = 5              # the worker's memory for request bodies is spent


cdef class DownstreamLimits:
    # What one worker asks of its clients; times in seconds.
    cdef public Py_ssize_t head_bytes_max, body_bytes_max, replay_bytes_max
    cdef public int fields_max
    cdef public double head_s, body_idle_s, keepalive_s, write_stall_s, wait_s
    cdef MemberKeys keys


cdef class Downstream(Conn):
    cdef object handler                # the relay: on_request, on_refused, on_gone
    cdef DownstreamLimits limits
    cdef public object exchange        # what answers the current request; None between requests
    cdef public object memo            # the relay's own note about this connection
    cdef bytes shown                   # credentials, Host and Origin that the memo is about
    cdef readonly int phase
    cdef readonly Head head
    cdef char* inbuf                   # a head that arrived in pieces, or pipelined requests
    cdef Py_ssize_t in_len, in_cap, in_scanned
    cdef bint resuming

    # the request body
    cdef char* body                    # bytes base .. base+len of it
    cdef Py_ssize_t body_len, body_cap
    cdef readonly int64_t body_base
    cdef int64_t body_left             # still to come, content-length
    cdef readonly int64_t body_total   # -1: chunked and not complete
    cdef readonly bint body_complete
    cdef bint body_chunked
    cdef bint windowed                 # no copy for a retry: sent bytes are dropped
    cdef bint read_stopped             # the window is full
    cdef Walker walker
    cdef MemberScan scan
    cdef readonly int body_fault
    cdef bint wants_model, wants_body  # who waits for what
    cdef bint in_request               # on_request is running: it looks by itself
    cdef double heard_at

    # the response
    cdef Conn source                   # the upstream that fills it
    cdef bytes pending_head            # leaves together with the first body bytes
    cdef readonly bint started         # some response byte has been given to the kernel or queued
    cdef public bint keep_alive
    cdef bint closing                  # close once the queue is with the kernel
    cdef readonly int64_t bytes_out
    cdef readonly double received_at   # first byte of the request
    cdef readonly double last_out_at

    cdef bytes _slot(self, int slot)
    cdef int forward(self, const char* p, Py_ssize_t n) except -2
    cdef void complete(self) except *
    cdef void peer_gone(self) except *
    cdef void drop_body(self) noexcept
    cdef void consumed(self, int64_t upto) except *

    cdef void _process(self, char* p, Py_ssize_t n) except *
    cdef Py_ssize_t _read_head(self, char* p, Py_ssize_t n) except -2
    cdef Py_ssize_t _read_body(self, char* p, Py_ssize_t n) except -2
    cdef void _body_arrived(self, const char* p, Py_ssize_t n) except *
    cdef bint _body_room(self, Py_ssize_t n) except -1
    cdef bint _keep(self, const char* p, Py_ssize_t n) except -1
    cdef void _tell(self) except *
    cdef void _close_when_sent(self) except *
    cdef void _fail_body(self, int fault) except *
    cdef void _reset_request(self) noexcept

    cdef void _refuse(self, int fault) except *
