"""What is read of a response in passing: usage, the first event, signs of life. The contract."""

from libc.stdint cimport int64_t

from ccrelay._fast.http1 cimport Head
from ccrelay._fast.json cimport MemberScan
from ccrelay._fast.sse cimport SseTap
from ccrelay._fast.usage cimport Usage


cdef class Taps:
    cdef public SseTap sse             # None: not an event stream
    cdef MemberScan json               # None: not a JSON answer
    cdef readonly double life_at       # last event but pings; last byte of other bodies
    cdef public double first_event_at  # first content event; 0: none yet
    cdef int64_t events_seen

    cpdef Usage usage(self)            # None: only ccrelay.wire.usage can read it
    cpdef bytes raw_usage(self)        # raw JSON of a JSON answer's `usage`, or None

    cdef void begin(self, Head head, int event_bytes_max, double now) except *
    cdef void feed(self, const char* p, Py_ssize_t n, double now) noexcept
    cdef int verdict(self) noexcept
    cdef void clear(self) noexcept
