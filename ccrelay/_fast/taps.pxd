"""What is read of a response in passing: what it is, its usage, signs of life. The contract."""

from libc.stdint cimport int64_t

from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.eventstream cimport EventStreamDecoder
from ccrelay._fast.http1 cimport Head
from ccrelay._fast.json cimport MemberScan
from ccrelay._fast.sse cimport SseTap
from ccrelay._fast.usage cimport Usage

cdef enum:
    OPENING_MAX = 8                    # bytes that tell an event stream from a text


cpdef enum Expected:
    # What a response has to be.
    ANYTHING = 0                       # believed by its labels: nothing is held back for it
    A_MESSAGE = 1                      # a message, or an event stream with content
    A_COUNT = 2                        # a JSON object with `input_tokens`, or that is no error


cpdef enum ContentKind:
    # What a body is, by what it carries.
    UNDECIDED_KIND = 0                 # not enough of it is here
    EVENT_STREAM = 1
    ANSWER = 2                         # a message, or a count where one is expected
    JSON = 3                           # a JSON object, not known to be an answer yet
    FOREIGN_JSON = 4                   # JSON, and no answer: an error in some shape
    PAGE = 5                           # HTML or XML
    TEXT = 6                           # anything else
    NOTHING = 7                        # empty
    ENCODED = 8                        # in a content coding that cannot be decoded here


cdef class Taps:
    cdef public SseTap sse             # None: not an event stream
    cdef MemberScan json               # None: not a JSON answer
    cdef public int kind               # ContentKind
    cdef readonly double life_at       # last event but pings; last byte of other bodies
    cdef public double first_event_at  # first content event; 0: none yet
    cdef public bint declared          # Content-Type says event stream
    cdef readonly int64_t size         # decoded bytes so far
    cdef int64_t events_seen
    cdef int expected                  # Expected
    cdef int event_bytes_max
    cdef int opening_size
    cdef char opening[OPENING_MAX]     # the first bytes but white space, until they tell the kind
    # a content coding
    cdef bint encoded
    cdef object decoder                # None: identity, or one that cannot be decoded
    cdef EventStreamDecoder frames     # the decoder, if it is one
    cdef bint decodes_for_client       # what is decoded is collected in `decoded`
    cdef Buffer decoded
    # the body, where it is kept
    cdef bint keeps
    cdef bint overflow                 # it was longer than keep_max
    cdef bint broken                   # it is not in the coding that it claims
    cdef Buffer kept
    cdef Py_ssize_t keep_max

    cpdef Usage usage(self)            # None: only ccrelay.wire.usage can read it
    cpdef bytes raw_usage(self)        # raw JSON of a JSON answer's `usage`, or None

    cdef void begin(self, Head head, int event_bytes_max, double now) except *
    cdef void expect(self, int expected, Py_ssize_t keep_max) except *
    cdef void keep(self, Py_ssize_t keep_max) noexcept
    cdef void decode_with(self, object decoder, bint for_client) noexcept
    cdef void feed(self, const char* p, Py_ssize_t n, double now) except *
    cdef void _feed_frames(self, const char* p, Py_ssize_t n, double now) except *
    cdef void _feed_plain(self, const char* p, Py_ssize_t n, double now) except *
    cdef void _break(self) noexcept
    cdef void _open(self, const char* p, Py_ssize_t n) except *
    cdef void _begin_kind(self, int kind) except *
    cdef void _judge_json(self)  except *
    cdef void end(self) except *       # no more bytes will come
    cdef int verdict(self) noexcept
    cdef bint is_cut(self) noexcept
    cdef bint is_unfinished(self) noexcept
    cdef int64_t held(self) noexcept
    cdef bytes take_kept(self)
    cdef void clear(self) noexcept
