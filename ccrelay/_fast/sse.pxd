"""Event boundaries and usage of an Anthropic SSE stream, read in passing. The contract."""

from libc.stdint cimport int64_t

cpdef enum Verdict:
    WAITING = 0              # nothing but pings and comments so far
    STARTED = 1              # message_start seen
    CONTENT = 2              # the first event that is neither ping, message_start nor error
    FAILED = 3               # an error event came before any content


cdef class SseTap:
    cdef readonly int64_t events       # complete events, pings left out
    cdef readonly int64_t pings
    cdef readonly bint at_boundary     # between events: a foreign event could be inserted here
    cdef readonly int verdict          # Verdict; moves forward only
    cdef readonly bint stopped         # message_stop seen
    cdef int event_max                 # bytes kept of one event's data
    # ... private layout

    cdef void feed(self, const char* p, Py_ssize_t n) noexcept
    cpdef bytes start(self)            # data of message_start, or None
    cpdef bytes delta(self)            # data of the last message_delta, or None
    cpdef bytes error(self)            # data of the first error event, or None
