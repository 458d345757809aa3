"""Rate limits of targets: the contract. The shared words are in target.pxd."""

from libc.stdint cimport int64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cpdef enum Capacity:
    READY = 0
    FULL = 1                       # a configured request or token limit
    BUSY = 2                       # max_concurrent
    COOLING_DOWN = 3
    DISABLED = 4                        # refused: until a trial (refusals.pyx)
    TIGHT = 5                      # READY but for what headers taught

# Of models: a provider may limit each of them for itself. 1..GROUPS; more share.
cpdef enum:
    GROUPS = 24

cpdef enum Cooldown:
    NONE = 0
    RATE = 1
    QUOTA = 2
    REFUSED = 3
    NO_CREDENTIAL = 4              # the bits of REFUSED, with an end

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
    int64_t* columns               # what is in flight, by worker
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
    int group                      # of the model; 0: none
    bint settled                   # as if all that is reserved came back, and every trial passed
    int64_t held[DIMS]             # reserved by exchanges in flight; read when `settled`


cdef class TargetLimits:
    cdef SharedMemory memory               # keeps the mapping
    cdef Target target
    cdef readonly int slot

    cpdef int state(self, double now, int64_t tokens_in, int64_t tokens_out, int group=*)
    cpdef double room(self, double now, int64_t tokens_in, int64_t tokens_out, int group=*)
    cpdef double ready_at(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=*, int group=*
    )
    cpdef Reservation reserve(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=*, int group=*
    )
    cpdef Reservation reserve_unchecked(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef double cooldown_until(self)
    cpdef double resting_until(self, int group)
    cpdef bint prove(self, int group)
    cdef int64_t* column(self) noexcept
    cdef bint begins(self, Check* check) noexcept
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
    cdef int64_t held_in           # counted as held in this worker's column
    cdef int64_t held_out
    cdef readonly int64_t tokens_in
    cdef readonly int64_t tokens_out
    cdef readonly bint open

    cpdef object adjust(self, double now, int64_t tokens_in)
    cpdef bint commit(self, double now, int64_t tokens_in, int64_t tokens_out)
    cpdef bint cancel(self, double now)
    cdef bint is_current(self) noexcept
    cdef void release(self, int64_t tokens_in, int64_t tokens_out) noexcept
    cdef void set_input(self, int64_t now_us, int64_t tokens) noexcept
