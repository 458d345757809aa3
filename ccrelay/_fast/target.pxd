"""The words of a target in shared memory, and what they say: has it room, and when.

    generation, rest, end of what was learned | learned, by Dim | requests | input | output

The last three are rings (window.pxd). Reading stands here, writing in slots.pyx, which tells what
the words mean. Nothing here waits or allocates; other workers may write meanwhile.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.shared_memory cimport word_get
from ccrelay._fast.window cimport (
    BUCKETS, NEVER_US, WINDOW, bucket_at, instant_us, ring_sum, rings_fall_us,
)


# slots.Room, slots.Rest and slots.Dim, for C.
cdef enum:
    READY_ = 0
    FULL_ = 1
    BUSY_ = 2
    RESTING_ = 3
    OUT_ = 4

cdef enum:
    REQUESTS_ = 0
    INPUT_ = 1
    OUTPUT_ = 2
    TOKENS_ = 3
    DIMS = 4
    RINGS = 3                      # TOKENS is the last two

# Words of a target.
cdef enum:
    T_GENERATION = 0               # Board.clear_target adds one: reservations from before are inert
    T_REST = 1                     # until, in microseconds, << 2 | Rest: the later is the larger
    T_LEARNED_UNTIL = 2            # nothing of the learned words holds longer
    T_LEARNED = 8
    T_RINGS = 64

# Words of what was learned about one Dim, from T_LEARNED + dim * L_WORDS.
cdef enum:
    L_LIMIT = 0
    L_KEEP = 1                     # until when the limit holds
    L_AMOUNT = 2                   # an amount << KIND_BITS | what kind of amount
    L_SINCE = 3                    # LEFT and MORE: the first bucket that counts against it
    L_RESETS = 4                   # until when L_AMOUNT holds
    L_WORDS = 8

# Kinds of amounts. In the word itself, so that two answers mixed never take one for another.
cdef enum:
    OTHERS_ = 0                    # what others use of the limit
    LEFT_ = 1                      # no limit was known: no more than this since L_SINCE
    MORE_ = 2                      # more is left than the learned limit has by our own count: this
    KIND_BITS = 2
    KIND_MASK = 3

cdef enum:
    BUSY_US = 50000                # when to look again for a place in flight
    TOKENS_MAX = 1 << 27           # of one request: keeps the sum of a bucket inside its 32 bits

cdef extern from * nogil:
    """
    /* T_REST of REFUSED: until the end of time. */
    #define CCRELAY_OUT_WORD INT64_MAX
    /* A READY target is never without a share of choices at random. */
    #define CCRELAY_ROOM_MIN 0.001
    """
    const int64_t OUT_WORD "CCRELAY_OUT_WORD"
    const double ROOM_MIN "CCRELAY_ROOM_MIN"


cdef struct Target:
    int64_t* words
    int64_t* columns               # exchanges in flight, by worker
    int workers
    # configured; 0: none
    int64_t limits[DIMS]
    int64_t flights_max

cdef struct Look:
    # One request, and what was read of one target on its behalf.
    int64_t now_us
    int64_t bucket
    int64_t need[DIMS]
    bint counted                   # the request itself is in the rings already
    int64_t sums[RINGS]            # -1: not read yet
    bint learned                   # whether any learned word may still hold


cdef inline int64_t bounded_tokens(int64_t count) noexcept nogil:
    return 0 if count < 0 else TOKENS_MAX if count > TOKENS_MAX else count


cdef inline Look look_for(double now, int64_t tokens_in, int64_t tokens_out) noexcept nogil:
    cdef Look at
    at.now_us = instant_us(now)
    at.bucket = bucket_at(at.now_us)
    at.need[REQUESTS_] = 1
    at.need[INPUT_] = bounded_tokens(tokens_in)
    at.need[OUTPUT_] = bounded_tokens(tokens_out)
    at.need[TOKENS_] = at.need[INPUT_] + at.need[OUTPUT_]
    at.counted = False
    at.sums[REQUESTS_] = at.sums[INPUT_] = at.sums[OUTPUT_] = -1
    at.learned = True
    return at


cdef inline void look_afresh(Look* at, const Target* target) noexcept nogil:
    """Nothing of this target was read yet."""
    at.sums[REQUESTS_] = at.sums[INPUT_] = at.sums[OUTPUT_] = -1
    at.learned = word_get(target.words + T_LEARNED_UNTIL) > at.now_us


cdef inline int64_t flights_of(const Target* target) noexcept nogil:
    cdef int64_t sum = 0
    cdef int worker
    for worker in range(target.workers):
        # Below nothing when the slot was cleared between two writes: that hides nobody else's.
        sum += max(word_get(target.columns + worker), 0)
    return sum


cdef inline int64_t* ring_of(const Target* target, int dim) noexcept nogil:
    return target.words + T_RINGS + dim * BUCKETS


cdef inline int64_t* learned_of(const Target* target, int dim) noexcept nogil:
    return target.words + T_LEARNED + dim * L_WORDS


cdef inline int64_t ring_used(const Target* target, Look* at, int dim) noexcept nogil:
    if at.sums[dim] < 0:
        at.sums[dim] = ring_sum(ring_of(target, dim), at.bucket - WINDOW, at.bucket)
    return at.sums[dim]


cdef inline int64_t used_of(const Target* target, Look* at, int dim) noexcept nogil:
    """What all workers counted in the window."""
    if dim == TOKENS_:
        return ring_used(target, at, INPUT_) + ring_used(target, at, OUTPUT_)
    return ring_used(target, at, dim)


cdef inline int64_t first_since(const Look* at, int64_t since) noexcept nogil:
    """The first bucket of the window that is not older than `since`."""
    return min(max(since, at.bucket - WINDOW), at.bucket)


cdef inline int64_t used_since(
    const Target* target, const Look* at, int dim, int64_t since
) noexcept nogil:
    cdef int64_t first = first_since(at, since)
    if dim == TOKENS_:
        return (
            ring_sum(ring_of(target, INPUT_), first, at.bucket)
            + ring_sum(ring_of(target, OUTPUT_), first, at.bucket)
        )
    return ring_sum(ring_of(target, dim), first, at.bucket)


cdef inline int64_t kept_limit(const Target* target, int dim, int64_t now_us) noexcept nogil:
    """The limit that was learned and holds; 0: none."""
    cdef int64_t* learned = learned_of(target, dim)
    return word_get(learned + L_LIMIT) if word_get(learned + L_KEEP) > now_us else 0


cdef inline int64_t told_of(const Target* target, int dim, int64_t now_us) noexcept nogil:
    """The amount that was told and holds, with its kind; 0: none, others use nothing."""
    cdef int64_t* learned = learned_of(target, dim)
    return word_get(learned + L_AMOUNT) if word_get(learned + L_RESETS) > now_us else 0


cdef inline int64_t others_of(int64_t told) noexcept nogil:
    return told >> KIND_BITS if told & KIND_MASK == OTHERS_ else 0


# ---- is there room?


cdef inline int64_t own_of(const Look* at, int dim) noexcept nogil:
    """How much of what is counted is the request itself."""
    return at.need[dim] if at.counted else 0


cdef inline double share_left(int64_t limit, int64_t used, int64_t need) noexcept nogil:
    """Share of a limit left after a request, negative when it does not fit.

    One that is larger than the whole limit fits into an empty window.
    """
    if used + min(need, limit) > limit:
        return -1.0
    return <double>max(limit - used - need, 0) / <double>limit


cdef inline int64_t learned_used(
    const Target* target, const Look* at, int dim, int64_t limit, int64_t told, int64_t used
) noexcept nogil:
    """What counts against a learned limit: our count and others', or less if the provider said so.

    Of two answers mixed, `since` may be another's: the result stays between nothing and `used`.
    """
    cdef int64_t amount = told >> KIND_BITS
    cdef int64_t since
    if told & KIND_MASK == OTHERS_:
        return used + amount
    if told & KIND_MASK != MORE_:
        return used
    since = used_since(target, at, dim, word_get(learned_of(target, dim) + L_SINCE))
    return min(used, max(limit - amount + since - own_of(at, dim), 0))


cdef inline double dim_share(const Target* target, Look* at, int dim) noexcept nogil:
    """Share left of the limits of one Dim after the request; negative: it does not fit."""
    cdef int64_t need = at.need[dim]
    cdef int64_t limit = 0, told = 0, amount, used
    cdef double share = 1.0
    if at.learned:
        limit = kept_limit(target, dim, at.now_us)
        told = told_of(target, dim, at.now_us)
        if told & KIND_MASK == LEFT_:
            amount = told >> KIND_BITS
            used = used_since(target, at, dim, word_get(learned_of(target, dim) + L_SINCE))
            used -= own_of(at, dim)
            if used + need > amount:
                return -1.0
            share = <double>(amount - used - need) / <double>max(amount, 1)
    if limit == 0 and target.limits[dim] == 0:
        return share
    used = used_of(target, at, dim) - own_of(at, dim)
    if limit:
        share = min(
            share, share_left(limit, learned_used(target, at, dim, limit, told, used), need)
        )
        told = 0
    if target.limits[dim]:
        share = min(share, share_left(target.limits[dim], used + others_of(told), need))
    return share


cdef inline int look_at(const Target* target, Look* at, double* room) noexcept nogil:
    """A Room, and the share of the tightest limit left after the request."""
    cdef int64_t rest = word_get(target.words + T_REST)
    cdef double share = 1.0
    cdef int dim
    room[0] = 0.0
    if rest >> 2 > at.now_us:
        return OUT_ if rest == OUT_WORD else RESTING_
    if target.flights_max:
        share = share_left(target.flights_max, flights_of(target) - at.counted, 1)
        if share < 0.0:
            return BUSY_
    look_afresh(at, target)
    for dim in range(DIMS):
        if target.limits[dim] or at.learned:
            share = min(share, dim_share(target, at, dim))
            if share < 0.0:
                return FULL_
    room[0] = max(share, ROOM_MIN)
    return READY_


# ---- when will there be?


cdef inline int64_t falls_us(
    const Target* target, const Look* at, int dim, int64_t first, int64_t allowed
) noexcept nogil:
    """When what was counted since a bucket is at most so much."""
    if dim == TOKENS_:
        return rings_fall_us(
            ring_of(target, INPUT_), ring_of(target, OUTPUT_), first, at.bucket, allowed
        )
    return rings_fall_us(ring_of(target, dim), NULL, first, at.bucket, allowed)


cdef inline int64_t limit_ready_us(
    const Target* target, const Look* at, int dim, int64_t limit, int64_t others, int64_t resets
) noexcept nogil:
    """When the request fits into a limit, of which others use so much until it resets."""
    cdef int64_t allowed = limit - min(at.need[dim], limit)
    cdef int64_t first = at.bucket - WINDOW
    cdef int64_t with_others = falls_us(target, at, dim, first, allowed - others)
    if others == 0:
        return with_others
    return min(with_others, max(resets, falls_us(target, at, dim, first, allowed)))


cdef inline int64_t dim_ready_us(const Target* target, Look* at, int dim) noexcept nogil:
    """When the last limit of a Dim has room: each by itself.

    Where the provider said that MORE is left, the request has room now or gets none by that: what
    was counted since stays in the window for as long as it holds.
    """
    cdef int64_t* learned = learned_of(target, dim)
    cdef int64_t limit = kept_limit(target, dim, at.now_us)
    cdef int64_t told = told_of(target, dim, at.now_us)
    cdef int64_t others = others_of(told)
    cdef int64_t resets = word_get(learned + L_RESETS)
    cdef int64_t ready = 0, used
    if told & KIND_MASK == LEFT_:
        ready = min(resets, falls_us(
            target, at, dim, first_since(at, word_get(learned + L_SINCE)),
            (told >> KIND_BITS) - at.need[dim],
        ))
    if limit:
        used = learned_used(target, at, dim, limit, told, used_of(target, at, dim))
        if share_left(limit, used, at.need[dim]) < 0.0:
            ready = max(ready, min(
                limit_ready_us(target, at, dim, limit, others, resets),
                word_get(learned + L_KEEP),
            ))
        others = 0
    if target.limits[dim]:
        ready = max(
            ready, limit_ready_us(target, at, dim, target.limits[dim], others, resets)
        )
    return ready


cdef inline int64_t ready_once_us(const Target* target, Look* at) noexcept nogil:
    """When the last of what is in the way now will be gone; NEVER_US: not by waiting."""
    cdef int64_t ready = max(at.now_us, word_get(target.words + T_REST) >> 2)
    cdef int dim
    look_afresh(at, target)
    for dim in range(DIMS):
        if (target.limits[dim] or at.learned) and dim_share(target, at, dim) < 0.0:
            ready = max(ready, dim_ready_us(target, at, dim))
    return ready


cdef inline int64_t ready_us(const Target* target, const Look* at) noexcept nogil:
    """When nothing will be in the way; NEVER_US: not by waiting.

    When a learned limit ends, what others use counts against the configured one: so look again.
    """
    cdef Look then = at[0]
    cdef int64_t ready = ready_once_us(target, &then)
    cdef int _round
    for _round in range(DIMS):
        if ready <= then.now_us or ready >= NEVER_US:
            break
        then.now_us = ready
        then.bucket = bucket_at(ready)
        ready = ready_once_us(target, &then)
    if target.flights_max and flights_of(target) >= target.flights_max:
        ready = max(ready, at.now_us + BUSY_US)
    return ready
