"""The provider's side of an exchange: request out, response in, taps in passing."""

from libc.stdint cimport int64_t

from ccrelay._fast.body_framing cimport BodyFraming
from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.conn cimport Conn
from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.early_head cimport EarlyHead
from ccrelay._fast.handlers cimport ConnectionPool, RequestHandler, UpstreamLimits
from ccrelay._fast.head_writer cimport RequestPlan
from ccrelay._fast.http1 cimport Head, Piece
from ccrelay._fast.outgoing cimport Outgoing
from ccrelay._fast.response_writer cimport ResponseWriter
from ccrelay._fast.taps cimport Taps


cpdef enum Mode:
    # What becomes of the response's bytes.
    UNDECIDED = 0
    FORWARD = 1              # downstream as they come
    HOLD = 2                 # kept until its content proves that the upstream means it
    COLLECT = 3              # kept whole and handed to the exchange


cpdef enum Loss:
    # Why an upstream was lost.
    CLOSED = 1               # clean end before the response was whole
    RESET = 2                # socket error
    GARBAGE = 3              # not HTTP, or framing broken
    NO_FIRST_BYTE = 4        # time limit
    IDLE = 5                 # time limit between events
    TOTAL = 6                # time limit of the whole exchange
    TOO_BIG = 7              # a collected body over its bound


cdef class Upstream


cdef class ExchangeHandler(RequestHandler):
    # Base class of exchanges. Called by the upstream connection of the attempt under way.
    cpdef object on_head(self, Upstream upstream)
    cpdef object on_held_error(self, Upstream upstream)    # before any content: no answer, an error
    cpdef object on_commit(self, Upstream upstream)        # held bytes are let go
    cpdef object on_unfinished(self, Upstream upstream)    # a stream ended without message_stop
    cpdef object on_collected(self, Upstream upstream, bytes body)
    cpdef object on_done(self, Upstream upstream)
    cpdef object on_lost(self, Upstream upstream, int reason)      # a Loss


cdef class Upstream(Conn):
    cdef ConnectionPool pool
    cdef UpstreamLimits limits
    cdef public ExchangeHandler exchange   # None while pooled
    cdef public object session         # the dialer's TLS session, for resumption
    cdef public int64_t uses
    cdef Downstream down
    cdef int64_t holds                 # bytes of the response charged to the client

    # the request
    cdef Outgoing request
    cdef bint spoiled                  # the request did not go out whole: not for another exchange
    cdef bint is_head                  # HEAD: the response has no body

    # the response
    cdef public Head head
    cdef EarlyHead early               # a head that arrived in pieces
    cdef public int mode
    cdef ResponseWriter writer         # how it goes downstream
    cdef BodyFraming body
    cdef public Taps taps
    cdef Buffer held                   # in its final framing
    cdef double stopped_at             # message_stop came; 0: not yet
    cdef bint wants_whole              # a JSON answer is collected
    cdef public bint repairs
    cdef public bint committed         # content went downstream: no other attempt
    cdef public bint any_byte          # something of the response has come
    cdef readonly int64_t bytes_in
    cdef public double started_at, sent_at, head_seen_at
    cdef public double forwarded_at    # the first bytes had been given to the client; 0: not yet

    # for exchanges
    cpdef object send_request(
        self, ExchangeHandler exchange, Downstream down, RequestPlan plan, bytes model=*,
        bytes body=*, bytes path=*, bytes lines=*
    )
    cpdef object expect(self, int expected, Py_ssize_t whole_max=*)
    cpdef object decode(self, object decoder, bint for_client)
    cpdef object encode(self, object encoder)
    cpdef object forward(
        self, int mode, int framing, bint with_head, bytes extra=*, bint repairs=*,
        bytes media_type=*
    )
    cpdef object collect(self, Py_ssize_t limit)
    cpdef object drop(self)
    cpdef object park(self)
    cpdef object retire(self)
    cpdef object release(self)
    cpdef bint is_event_stream(self)
    cpdef bint may_insert(self)
    cpdef bint keeps_framing(self)

    cdef int _pump(self) except -2
    cdef void _body(self, char* p, Py_ssize_t n) except *
    cdef void _pass_on(self, const char* p, Py_ssize_t n, const Piece* pieces, int count) except *
    cdef void _emit(self, const char* p, Py_ssize_t n) except *
    cdef bint _charge(self) except -1
    cdef void _arm(self, double limit) except *
    cdef void _commit(self, const char* p, Py_ssize_t n) except *
    cdef void _response_done(self, bint clean) except *
    cdef void _lost(self, int reason) except *
    cdef bint _may_end(self) noexcept
    cdef void _clear(self) noexcept
    cdef void _release(self) noexcept
