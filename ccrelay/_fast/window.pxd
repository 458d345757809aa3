"""A sliding one-minute window in shared memory: a ring of 128 half-second buckets, one word each.

    word = bucket number (32 bits) | count (32 bits)

The bucket number is the time divided by half a second, so each word shows whether it is still in
the window: the ring needs no sweeping, and a process may die between any two instructions. Words
change by compare-and-swap only. 2^31 buckets are 34 years of uptime.

The window is the current bucket and the 121 before it: a count stays for 60.5 to 61 s. The extra
half second covers the varying delay between reservation here and arrival at the provider: with
60 s, keys were seen 11 to 18 % over their limit in some minute of a provider's
(`python -m bench.resilience pool-tpm`).
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from ccrelay._fast.shared_memory cimport word_get, word_swap


cdef extern from "ring.h" nogil:
    enum:
        BUCKETS "RING_WORDS"
    int64_t ring_total(const int64_t* ring, uint32_t first, uint32_t span) noexcept
    void ring_barrier() noexcept


cdef enum:
    BUCKET_US = 500000
    WINDOW = 121                   # full buckets: half a second more than a minute
    AHEAD = BUCKETS - WINDOW       # the current one, and 6 for workers whose clock reading is newer
    COUNT_BITS = 32

cdef extern from * nogil:
    """
    /* Never: leaves two bits for a cooldown's reason. */
    #define CCRELAY_NEVER_US (INT64_MAX >> 2)
    """
    const int64_t NEVER_US "CCRELAY_NEVER_US"


cdef inline int64_t instant_us(double seconds) noexcept nogil:
    """Seconds to whole microseconds, rounded, so that times survive the round trip."""
    if not seconds > 0.0:          # also NaN
        return 0
    if seconds >= <double>NEVER_US * 1e-6:
        return NEVER_US
    return <int64_t>(seconds * 1e6 + 0.5)


cdef inline int64_t bucket_at(int64_t now_us) noexcept nogil:
    return now_us // BUCKET_US


cdef inline int64_t left_behind_us(int64_t bucket) noexcept nogil:
    """When a bucket leaves the window."""
    return (bucket + 1 + WINDOW) * BUCKET_US


cdef inline int64_t ring_sum(const int64_t* ring, int64_t first, int64_t bucket) noexcept nogil:
    """Total counted since bucket `first` (at least `bucket - WINDOW`), as of `bucket`."""
    return ring_total(ring, <uint32_t>first, <uint32_t>(bucket + AHEAD - first))


cdef inline void ring_add(int64_t* ring, int64_t bucket, int64_t count) noexcept nogil:
    """Add to a bucket, or to the newer one in its word when the caller's clock reading is old."""
    cdef int64_t* at = ring + (bucket & (BUCKETS - 1))
    cdef int64_t old
    cdef uint64_t number, sum
    while True:
        old = word_get(at)
        number = <uint64_t>old >> COUNT_BITS
        sum = <uint64_t>count
        if <int32_t>(<uint32_t>number - <uint32_t>bucket) >= 0:
            sum += <uint32_t>old
        else:
            number = <uint32_t>bucket
        if sum > <uint32_t>-1:
            sum = <uint32_t>-1
        if word_swap(at, old, <int64_t>(number << COUNT_BITS | sum)):
            return


cdef inline void ring_take(int64_t* ring, int64_t bucket, int64_t count) noexcept nogil:
    """Subtract from a bucket; no effect once it has been overwritten."""
    cdef int64_t* at = ring + (bucket & (BUCKETS - 1))
    cdef int64_t old
    while True:
        old = word_get(at)
        if <uint32_t>(<uint64_t>old >> COUNT_BITS) != <uint32_t>bucket:
            return
        # The bucket number is in the upper half: subtracting from the lower leaves it unchanged.
        if word_swap(at, old, old - min(count, <int64_t><uint32_t>old)):
            return


cdef inline int64_t ring_count(const int64_t* ring, int64_t bucket) noexcept nogil:
    """Count of one bucket."""
    cdef uint64_t word = <uint64_t>word_get(ring + (bucket & (BUCKETS - 1)))
    return <uint32_t>word if <uint32_t>(word >> COUNT_BITS) == <uint32_t>bucket else 0


cdef inline int64_t rings_fall_us(
    const int64_t* ring, const int64_t* other, int64_t first, int64_t bucket, int64_t allowed
) noexcept nogil:
    """When the sum since `first` of a ring (plus another, if given) drops to `allowed`.

    0: already; NEVER_US: never, `allowed` is negative.
    """
    cdef int64_t total = ring_sum(ring, first, bucket)
    cdef int64_t at
    if other != NULL:
        total += ring_sum(other, first, bucket)
    if total <= allowed:
        return 0
    if allowed < 0:
        return NEVER_US
    for at in range(first, bucket + AHEAD):
        total -= ring_count(ring, at)
        if other != NULL:
            total -= ring_count(other, at)
        if total <= allowed:
            return left_behind_us(at)
    return left_behind_us(bucket + AHEAD)      # another worker counted meanwhile
