"""Rate limits of targets: the contract. The shared words are in target.pxd."""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cpdef enum Capacity:
    READY = 0
    FULL = 1                       # a configured request or token limit
    BUSY = 2                       # max_concurrent
    COOLING_DOWN = 3
    DISABLED = 4                        # refused: until `clear_cooldown`
    TIGHT = 5                      # READY but for what headers taught

cpdef enum Cooldown:
    NONE = 0
    RATE = 1
    QUOTA = 2
    REFUSED = 3

# Array indices; without a name, because Cython indexes arrays with plain integers only. Python has
# them as Dimension.
cdef enum:
    REQUESTS = 0
    INPUT = 1
    OUTPUT = 2
    TOKENS = 3
    DIMS = 4
    RINGS = 3                      # TOKENS is the sum of INPUT and OUTPUT


cdef struct Target:
    int64_t* words
    int64_t* columns               # exchanges in flight, by worker
    int workers
    # configured; 0: none
    int64_t limits[DIMS]
    int64_t max_concurrent


cdef struct Check:
    # One request, and what was read of one target for it.
    int64_t now_us
    int64_t bucket
    int64_t need[DIMS]
    bint counted                   # the rings already include the request
    int64_t sums[RINGS]            # -1: not read yet
    bint learned                   # whether any learned word may still be valid, and counts
    bint anyway                    # what was learned does not count


cdef class TargetLimits:
    cdef SharedMemory memory               # keeps the mapping
    cdef Target target
    cdef readonly int slot

    cpdef int state(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double room(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double ready_at(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=*
    )
    cpdef Reservation reserve(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=*
    )
    cpdef Reservation reserve_unchecked(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double cooldown_until(self)
    cdef int check_writer(self) except -1
    cdef Reservation issue(self, Check* check, int64_t generation)
    cdef int64_t count(self, Check* check) noexcept
    cdef void uncount(self, Check* check) noexcept


cdef class Reservation:
    cdef readonly TargetLimits limits
    cdef int64_t generation        # of the slot
    # what was counted, and in which bucket
    cdef int64_t bucket
    cdef int64_t first_in          # input in `bucket`
    cdef int64_t late_in           # input in `late_bucket`, added by `adjust`
    cdef int64_t late_bucket
    cdef readonly int64_t tokens_in
    cdef readonly int64_t tokens_out
    cdef readonly bint open

    cpdef object adjust(self, double now, int64_t tokens_in)
    cpdef bint commit(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef bint cancel(self, double now)
    cdef bint is_current(self) noexcept
    cdef void set_input(self, int64_t now_us, int64_t tokens) noexcept


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
    cdef int64_t tier              # candidates: READY keys of this tier
    # of this process
    cdef int next                  # where tie-breaking starts

    cpdef int refresh(
        self, double now, int64_t tokens_in, int64_t tokens_out, object skip=*, bint anyway=*
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
