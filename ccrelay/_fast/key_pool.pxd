"""The choice of a key: the contract."""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.rate_limits cimport Target


cdef struct Key:
    # One key of a pool.
    Target* target                 # borrowed from target_limits
    int64_t weight                 # configured; 1 if it has none
    int64_t tier                   # higher first: weighted before unweighted, then priority
    uint64_t seed
    # of the last refresh
    int state                      # -1: skipped
    double room
    # smooth round-robin
    int64_t turn


cdef class KeyPool:
    cdef tuple target_limits
    cdef Key* keys
    cdef int count
    cdef int64_t total_weight
    cdef int64_t best_tier         # of the best key, READY or not
    # of the last refresh
    cdef readonly int ready
    cdef readonly int unready          # keys that are not READY, or were skipped
    cdef int64_t tier              # candidates: READY keys of this tier
    # of this process
    cdef int next                  # where tie-breaking starts

    cpdef int refresh(
        self, double now, int64_t tokens_in, int64_t tokens_out, object skip=*, bint anyway=*,
        int group=*
    )
    cpdef bint is_ready(self, int index)
    cpdef int preferred_key(self, object conversation)
    cpdef int most_room(self)
    cpdef int least_loaded(self)
    cpdef int in_turn(self)
    cpdef int at_random(self, double point)
    cdef bint eligible(self, int index) noexcept
    cdef Key* key(self, int index) except NULL
    cdef int turn_after(self, int index) noexcept
