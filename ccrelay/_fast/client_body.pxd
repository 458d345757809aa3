"""A client's connection while a request body arrives."""

from libc.stdint cimport int64_t

from ccrelay._fast.body cimport RequestBody
from ccrelay._fast.body_pace cimport BodyPace
from ccrelay._fast.client_conn cimport ClientConn
from ccrelay._fast.conn cimport Conn
from ccrelay._fast.handlers cimport DownstreamLimits, RequestHandler
from ccrelay._fast.http1 cimport Head


cpdef enum Phase:
    IDLE = 0                 # between requests, or a head is arriving
    BODY = 1                 # the request body is arriving
    WAITING = 2              # the request is complete; the answer is not
    LINGERING = 3            # answered; unread request bytes are thrown away before the close


cdef class ClientBody(ClientConn):
    cdef DownstreamLimits limits
    cdef public RequestHandler exchange    # answers the current request; None between requests
    cdef readonly int phase
    cdef public Head head
    cdef Conn source                   # the upstream that takes the body and fills the response
    cdef RequestBody body
    cdef BodyPace pace
    cdef bint read_stopped             # the window is full
    cdef bint wants_model, wants_body  # who waits for what
    cdef bint wants_flow               # `flows` is enough for who wants the body

    # for exchanges
    cpdef bytes model(self)
    cpdef bint stream_flag(self)
    cpdef bint body_complete(self)
    cpdef int body_fault(self)
    cpdef int64_t body_seen(self)
    cpdef bint can_replay(self)
    cpdef bint length_known(self)
    cpdef bint flows(self)
    cpdef int64_t body_elements(self)
    cpdef bytes body_piece(self, Py_ssize_t at, Py_ssize_t n)
    cpdef bytes body_bytes(self)
    cpdef object await_model(self)
    cpdef object await_body(self)
    cpdef object await_flow(self)

    cdef void consumed(self, int64_t upto) except *
    cdef void begin_pace(self) except *
    cdef void body_arrived(self, Py_ssize_t n) except *
    cdef void body_due(self) except *
    cdef void _watch_body(self) except *
