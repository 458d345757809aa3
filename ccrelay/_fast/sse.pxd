"""Event boundaries and usage of an Anthropic SSE stream, read in passing. The contract."""

from libc.stdint cimport int64_t

cdef enum:
    HEAD_MAX = 16            # bytes of an event name; the longest that matters has 13
    SNIFF_MAX = 128          # bytes of data in which an event without a name tells its type

cpdef enum Verdict:
    WAITING = 0              # nothing but pings and comments so far
    STARTED = 1              # message_start seen
    CONTENT = 2              # content, message_delta, or message_stop of what has started
    FAILED = 3               # an error event came before any content


cdef class SseTap:
    cdef readonly int64_t events       # complete events, pings left out
    cdef readonly int64_t pings
    cdef readonly bint at_boundary     # between events: a foreign event could be inserted here
    cdef readonly int verdict          # Verdict; moves forward only
    cdef readonly bint stopped         # message_stop seen
    cdef int event_max                 # bytes kept of one event's data
    # private: the line under way
    cdef int line                      # what kind of bytes come next
    cdef bint after_cr                 # a LF now would belong to the line end before
    cdef int head_size                 # full: the name may be longer
    cdef char head[HEAD_MAX]           # field name, then event name
    # private: the event under way
    cdef int kind
    cdef bint has_fields               # any line but comments since the last empty line
    cdef bint has_data
    cdef int sniff_size
    cdef char sniff[SNIFF_MAX]         # start of the data of an event without a name
    cdef char* data                    # collected data, NULL: none
    cdef Py_ssize_t data_size
    cdef Py_ssize_t data_cap
    # private: what is kept
    cdef bytes kept_start
    cdef bytes kept_delta
    cdef bytes kept_error
    cdef bint delta_has_usage

    cdef void feed(self, const char* p, Py_ssize_t n) noexcept
    cpdef bytes start(self)            # data of message_start, or None
    cpdef bytes delta(self)            # data of the last message_delta, or None
    cpdef bytes error(self)            # data of the first error event, or None
