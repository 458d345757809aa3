"""Counters of targets: what an object holds in its process. Words and their meaning: target.pxd."""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport SharedMemory
from ccrelay._fast.target cimport Look, Target


cpdef enum Capacity:
    READY = 0
    FULL = 1                       # a request or token limit, ours or learned
    BUSY = 2                       # max_concurrent
    RESTING = 3
    OUT = 4                        # refused: until `pardon`

cpdef enum Cooldown:
    NONE = 0
    RATE = 1
    QUOTA = 2
    REFUSED = 3

cpdef enum Dimension:
    REQUESTS = 0
    INPUT = 1
    OUTPUT = 2
    TOKENS = 3


cdef class TargetLimits:
    cdef SharedMemory memory               # keeps the mapping
    cdef Target target
    cdef readonly int slot

    cpdef int state(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double room(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double ready_at(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef Reservation reserve(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef Reservation force(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double cooldown_until(self)
    cdef int check_writer(self) except -1
    cdef Reservation take(self, Look* at, int64_t generation)
    cdef int64_t count(self, Look* at) noexcept
    cdef void uncount(self, Look* at) noexcept


cdef class Reservation:
    cdef readonly TargetLimits limits
    cdef int64_t generation        # of the slot
    # where and how much was counted
    cdef int64_t bucket
    cdef int64_t first_in          # input in `bucket`
    cdef int64_t late_in           # input in `late_bucket`, by `correct`
    cdef int64_t late_bucket
    cdef readonly int64_t tokens_in
    cdef readonly int64_t tokens_out
    cdef readonly bint open

    cpdef object correct(self, double now, int64_t tokens_in)
    cpdef bint settle(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef bint cancel(self, double now)
    cdef bint current(self) noexcept
    cdef void set_input(self, int64_t now_us, int64_t tokens) noexcept


cdef struct Key:
    # One gauge of a bank.
    Target* target                 # borrowed: Bank.gauges holds it
    int64_t weight                 # its own; 1 where it has none
    int64_t tier                   # higher first: any weight before none, then priority
    uint64_t seed
    # of the last survey
    int state                      # -1: left out
    double room
    # smooth round-robin
    int64_t turn


cdef class KeyPool:
    cdef tuple target_limits
    cdef Key* keys
    cdef int count
    cdef int64_t whole_weight
    cdef int64_t home_tier         # of the best key, READY or not
    # of the last survey
    cdef readonly int ready
    cdef int64_t tier              # the keys to choose from: READY and of this tier
    # of this process
    cdef int next                  # where ties are looked at first

    cpdef int survey(self, double now, int64_t tokens_in, int64_t tokens_out, object skip=*)
    cpdef bint is_ready(self, int index)
    cpdef int favourite(self, object conversation)
    cpdef int most_room(self)
    cpdef int least_loaded(self)
    cpdef int in_turn(self)
    cpdef int at_random(self, double point)
    cdef bint eligible(self, int index) noexcept
    cdef Key* key(self, int index) except NULL
    cdef int chosen(self, int index) noexcept
