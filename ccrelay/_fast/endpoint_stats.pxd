"""The shared words of one endpoint, and the retry budget: contract and layout.

A process may be killed between any two writes: words change atomically, and each is valid by
itself.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cdef enum:
    OUTCOME_BUCKETS = 16
    BUDGET_BUCKETS = 10
    OUTPUT_CLASSES = 4             # one spare

    # words of an endpoint
    P_STATE = 0                    # as ccrelay.fleet.breaker packs it
    P_LEASE = 1                    # holder and end of the probe lease; 0: none
    P_ANSWERS = 2                  # 1: the last failure was an HTTP response, not a connection
    P_OUTCOMES = 8                 # OUTCOME_BUCKETS tallies
    P_AVERAGES = 24                # per output class: bits of a double, time observed

    # words shared by all endpoints
    F_BUDGET = 0                   # BUDGET_BUCKETS tallies


cdef class EndpointStats:
    cdef readonly int slot
    cdef SharedMemory memory               # keeps the memory mapped
    cdef int64_t* words            # ENDPOINT_WORDS

    cpdef int64_t load(self)
    cpdef bint swap(self, int64_t old, int64_t fresh)
    cpdef object count(self, double now, bint ok, double window_s)
    cpdef object observe(self, int output_class, double seconds, double now)
    cpdef double average(self, int output_class)
    cdef int64_t* _pair(self, int output_class) except NULL


cdef class RetryBudget:
    cdef SharedMemory memory
    cdef int64_t* tallies

    cpdef object request(self, double now)
