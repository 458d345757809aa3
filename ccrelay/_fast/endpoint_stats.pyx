"""Statistics of an endpoint, and the retry budget. Contract and layout: endpoint_stats.pxd.

A tally is one word of a ring of buckets:

    24 bits: period | 20 bits: first count | 20 bits: second count

A bucket of another period counts as empty. So the ring needs no sweeping, and a count changes
together with its period.
"""

cimport cython
from libc.math cimport exp, floor
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ccrelay._fast.shared_memory cimport SharedMemory, micros, word_get, word_set, word_swap

cdef enum:
    COUNT_BITS = 20
    COUNT_MAX = (1 << 20) - 1      # counts saturate
    TAG_BITS = 24
    TAG_MASK = (1 << 24) - 1
    HOLDER_BITS = 13               # worker + 1
    HOLDER_MASK = (1 << 13) - 1

cdef double FADE_S = 30.0          # of the averages: after 30 s idle a new value weighs 63 %
cdef double WEIGHT_MIN = 0.1
cdef double SECONDS_MIN = 1e-6     # 0.0 means no average
cdef double SECONDS_MAX = 86400.0


# ---- tallies

cdef inline int period_gap(uint64_t one, uint64_t other) noexcept nogil:
    """one - other, for periods truncated to TAG_BITS."""
    cdef int gap = <int>((one - other) & TAG_MASK)
    return gap - (TAG_MASK + 1) if gap > TAG_MASK >> 1 else gap


cdef void tally_add(int64_t* ring, int buckets, int64_t period, bint second) noexcept nogil:
    """Increment the first or the second count."""
    cdef int64_t* at = ring + period % buckets
    cdef uint64_t tag = <uint64_t>period & TAG_MASK
    cdef uint64_t word, fresh, count
    cdef int shift = 0 if second else COUNT_BITS
    cdef int gap
    while True:
        word = <uint64_t>word_get(at)
        gap = period_gap(word >> 2 * COUNT_BITS, tag)
        if gap == buckets:
            return                 # the caller's clock reading is a whole window old
        fresh = word if gap == 0 else tag << 2 * COUNT_BITS
        count = (fresh >> shift) & COUNT_MAX
        if count == COUNT_MAX:
            return
        fresh += <uint64_t>1 << shift
        if word_swap(at, <int64_t>word, <int64_t>fresh):
            return


cdef void tally_sum(
    int64_t* ring, int buckets, int64_t period, int64_t* first, int64_t* second
) noexcept nogil:
    """Sum the window that ends with `period`, including buckets of workers slightly ahead."""
    cdef uint64_t tag = <uint64_t>period & TAG_MASK
    cdef uint64_t word
    cdef int k, gap
    first[0] = second[0] = 0
    for k in range(buckets):
        word = <uint64_t>word_get(ring + k)
        gap = period_gap(word >> 2 * COUNT_BITS, tag)
        if -buckets < gap < buckets:
            first[0] += (word >> COUNT_BITS) & COUNT_MAX
            second[0] += word & COUNT_MAX


cdef inline int64_t outcome_period(double now, double window_s) noexcept nogil:
    return <int64_t>floor(now * OUTCOME_BUCKETS / window_s)


# ---- averages

cdef inline double as_double(int64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline int64_t as_bits(double value) noexcept nogil:
    cdef int64_t bits
    memcpy(&bits, &value, 8)
    return bits


@cython.final
cdef class EndpointStats:
    """The shared words of one endpoint. IndexError: the memory has no such slot."""

    def __init__(self, SharedMemory memory not None, int slot):
        if not 0 <= slot < memory.endpoints:
            raise IndexError(f"endpoint {slot} of {memory.endpoints}")
        self.memory = memory
        self.slot = slot
        self.words = memory.endpoint(slot)

    # ---- breaker state word

    cpdef int64_t load(self):
        """The breaker's state word; initially 0."""
        return word_get(self.words + P_STATE)

    cpdef bint swap(self, int64_t old, int64_t fresh):
        """Compare-and-swap the state word; False: it was not `old`."""
        return word_swap(self.words + P_STATE, old, fresh)

    @property
    def answers(self):
        """Whether the last failure was an HTTP response: then a connection proves no recovery."""
        return word_get(self.words + P_ANSWERS) != 0

    @answers.setter
    def answers(self, bint value):
        word_set(self.words + P_ANSWERS, value)

    # ---- outcomes

    cpdef object count(self, double now, bint ok, double window_s):
        """Count one outcome in the ring that covers `window_s`."""
        tally_add(
            self.words + P_OUTCOMES, OUTCOME_BUCKETS, outcome_period(now, window_s), not ok
        )

    def outcomes(self, double now, double window_s):
        """(succeeded, failed) in the window."""
        cdef int64_t good, failed
        tally_sum(
            self.words + P_OUTCOMES, OUTCOME_BUCKETS, outcome_period(now, window_s), &good, &failed
        )
        return good, failed

    def forget_outcomes(self):
        """Start a new window."""
        cdef int k
        for k in range(OUTCOME_BUCKETS):
            word_set(self.words + P_OUTCOMES + k, 0)

    # ---- averages

    cdef int64_t* _pair(self, int output_class) except NULL:
        if not 0 <= output_class < OUTPUT_CLASSES:
            raise IndexError(f"output class {output_class}")
        return self.words + P_AVERAGES + 2 * output_class

    cpdef object observe(self, int output_class, double seconds, double now):
        """Add one time to first event to the moving average."""
        cdef int64_t* pair = self._pair(output_class)
        cdef int64_t seen = word_get(pair + 1)
        cdef int64_t fresh = micros(now)
        cdef int64_t old
        cdef double weight, average
        if not seconds >= SECONDS_MIN:
            seconds = SECONDS_MIN
        elif seconds > SECONDS_MAX:
            seconds = SECONDS_MAX
        weight = 1.0 - exp(-<double>(fresh - seen) / (FADE_S * 1e6)) if fresh > seen else 0.0
        if weight < WEIGHT_MIN:
            weight = WEIGHT_MIN
        while True:
            old = word_get(pair)
            average = as_double(old)
            average = seconds if old == 0 else average + weight * (seconds - average)
            if word_swap(pair, old, as_bits(average)):
                break
        while seen < fresh and not word_swap(pair + 1, seen, fresh):
            seen = word_get(pair + 1)

    cpdef double average(self, int output_class):
        """Average time to first event, seconds; 0.0: none observed."""
        return as_double(word_get(self._pair(output_class)))

    def observed_at(self, int output_class):
        """Time of the last observation; 0.0: never."""
        return <double>word_get(self._pair(output_class) + 1) / 1e6

    # ---- the probe lease

    def lease(self, double now, double seconds):
        """Acquire or renew the right to probe. False: another worker has it."""
        cdef int64_t* at = self.words + P_LEASE
        cdef int64_t word = word_get(at)
        cdef int64_t me = self.memory.worker + 1
        if word & HOLDER_MASK != me and word >> HOLDER_BITS > micros(now):
            return False
        return bool(word_swap(at, word, micros(now + seconds) << HOLDER_BITS | me))

    def unlease(self):
        """Release it, if this worker holds it."""
        cdef int64_t word = word_get(self.words + P_LEASE)
        if word & HOLDER_MASK == self.memory.worker + 1:
            word_swap(self.words + P_LEASE, word, 0)

    def __repr__(self):
        return f"<EndpointStats {self.slot} word={self.load():#x}>"


@cython.final
cdef class RetryBudget:
    """Limits retries as a share of requests, all workers together, over the last 10 seconds."""

    def __init__(self, SharedMemory memory not None):
        self.memory = memory
        self.tallies = memory.shared() + F_BUDGET

    cpdef object request(self, double now):
        """Count a request."""
        tally_add(self.tallies, BUDGET_BUCKETS, <int64_t>now, False)

    def retry(self, double now, double ratio, int64_t minimum):
        """Count a retry; False: the budget is used up."""
        cdef int64_t requests, retries
        tally_sum(self.tallies, BUDGET_BUCKETS, <int64_t>now, &requests, &retries)
        if retries >= minimum and retries + 1 > ratio * requests:
            return False
        tally_add(self.tallies, BUDGET_BUCKETS, <int64_t>now, True)
        return True

    def __repr__(self):
        return f"<RetryBudget of {self.memory!r}>"
