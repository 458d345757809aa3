"""A request body: kept for another attempt, or passing through a window."""

from libc.stdint cimport int64_t

from ccrelay._fast.http1 cimport Head, Walker
from ccrelay._fast.json cimport MemberKeys, MemberScan
from ccrelay._fast.memory_account cimport Arena, Share


cpdef enum BodyFault:
    FINE = 0
    NOT_JSON = 1             # top level is not one JSON object, or ends early
    SECOND_MODEL = 2         # a second top-level `model`
    TOO_LONG = 3             # chunked body over the limit
    BAD_FRAMING = 4          # chunked framing malformed
    NO_ROOM = 5              # the client's share of the worker's memory is spent
    TOO_DEEP = 6             # nested deeper than the scan follows
    OTHER_CASE = 7           # a member that the relay reads, in other letters: `MODEL`


cdef enum:
    WINDOW_BYTES = 262144          # of a body that is not kept
    SLOT_MODEL = 0
    SLOT_STREAM = 1


cdef class BodyLimits:
    cdef public Py_ssize_t body_bytes_max, replay_bytes_max
    cdef MemberKeys keys


cdef class RequestBody:
    cdef Arena arena
    cdef Share share                   # whom it is charged to
    cdef BodyLimits limits
    cdef char* data                    # bytes base .. base+size of the body
    cdef Py_ssize_t size, cap
    cdef int64_t base
    cdef int64_t left                  # still to come, content-length
    cdef int64_t total                 # -1: chunked and not complete
    cdef bint complete
    cdef bint chunked
    cdef bint windowed                 # no copy for a retry: sent bytes are dropped
    cdef int fault                     # BodyFault
    cdef Walker walker
    cdef MemberScan scan               # None: not a body that is routed by its model

    cdef void begin(self, Head head) except *
    cdef Py_ssize_t take(self, const char* p, Py_ssize_t n) except -2
    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept
    cdef void direct_taken(self, Py_ssize_t n) noexcept
    cdef bint window_full(self) noexcept
    cdef bint model_ready(self) noexcept
    cdef bytes slot(self, int slot)
    cdef bytes piece(self, Py_ssize_t at, Py_ssize_t n)
    cdef bytes whole(self)
    cdef void consumed(self, int64_t upto) noexcept
    cdef void drop(self) noexcept
    cdef void reset(self) noexcept

    cdef Py_ssize_t _take_chunked(self, const char* p, Py_ssize_t n) except -2
    cdef bint _room(self, Py_ssize_t n) noexcept
    cdef bint _grow(self, Py_ssize_t n) noexcept
    cdef void _free(self) noexcept
    cdef void _seen(self, const char* p, Py_ssize_t n) noexcept
