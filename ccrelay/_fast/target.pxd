"""The words of a target in shared memory, read side: has it capacity now, and if not, when?

    generation, cooldown, end of learned | learned, by Dimension | cooldowns of model groups |
    requests | input | output

The last three are rings (window.pxd). rate_limits.pyx writes these words and documents their
meaning. Nothing here waits or allocates; other workers may write concurrently.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.rate_limits cimport (
    BUSY, DIMS, FULL, INPUT, DISABLED, NONE, OUTPUT, READY, REQUESTS, COOLING_DOWN, RINGS, TIGHT,
    TOKENS, Check, Target,
)
from ccrelay._fast.shared_memory cimport COLUMN_WORDS, word_get, word_swap
from ccrelay._fast.window cimport (
    BUCKETS, NEVER_US, WINDOW, bucket_at, instant_us, ring_sum, rings_fall_us,
)


# Words of a target.
cdef enum:
    T_GENERATION = 0               # clear_target increments it: older reservations are inert
    # End in microseconds << 2 | Cooldown: the later one is larger. NONE, with an end: on trial.
    # REFUSED, with an end: NO_CREDENTIAL.
    T_COOLDOWN = 1
    T_LEARNED_UNTIL = 2            # no learned word is valid longer
    T_REFUSALS = 6                 # in a row, by the provider (401, 403)
    T_TRIAL = 7                    # DISABLED: next trial in microseconds << 1 | one is under way
    T_LEARNED = 8
    T_GROUPS = 40                  # GROUPS words: end << GROUP_BITS | kind
    T_RINGS = 64

# Learned words of one Dimension, from T_LEARNED + dim * L_WORDS.
cdef enum:
    L_LIMIT = 0
    L_KEEP = 1                     # until when the limit is valid
    L_AMOUNT = 2                   # amount << KIND_BITS | kind
    L_SINCE = 3                    # LEFT and MORE: first bucket that counts against the amount
    L_RESETS = 4                   # until when L_AMOUNT is valid
    L_WORDS = 8

# Words of one worker's column.
cdef enum:
    C_IN_FLIGHT = 0
    C_HELD = 1                     # reserved input, then output, that may come back

# Kinds of cooldowns of a model group: REST_MAX and below are rests after a 429 without a time, each
# twice as long as the last; they steer only.
cdef enum:
    REST_MAX = 6
    SPENT = 7                      # until the reset that the provider names
    KIND_OF_GROUP = 7
    TRIAL = 8                      # the cooldown has ended, and one request shows whether it has
    GROUP_BITS = 4

# Kinds of amounts, in the same word as the amount: interleaved writers cannot mismatch the two.
cdef enum:
    OTHERS = 0                     # used by others, out of the limit
    LEFT = 1                       # no limit known: at most this much since L_SINCE
    MORE = 2                       # remaining, more than learned limit - our own count
    KIND_BITS = 2
    KIND_MASK = 3

cdef enum:
    BUSY_US = 50000                # when to retry for max_concurrent, and what others hold
    TRIAL_US = 2000000             # after a cooldown, one request in so long until one is served
    REST_US = 1000000              # the first rest of a model group
    RESTED_US = 60000000           # after a rest for so long, the next one is a first one
    TOKENS_MAX = 1 << 27           # per request: keeps a bucket's count within 32 bits

cdef extern from * nogil:
    """
    /* T_COOLDOWN of REFUSED: no end. */
    #define CCRELAY_DISABLED_WORD INT64_MAX
    /* Every READY target keeps a share of random choices. */
    #define CCRELAY_ROOM_MIN 0.001
    """
    const int64_t DISABLED_WORD "CCRELAY_DISABLED_WORD"
    const double ROOM_MIN "CCRELAY_ROOM_MIN"


cdef inline int64_t bounded_tokens(int64_t count) noexcept nogil:
    return 0 if count < 0 else TOKENS_MAX if count > TOKENS_MAX else count


cdef inline Check check_for(double now, int64_t tokens_in, int64_t tokens_out) noexcept nogil:
    cdef Check check
    check.now_us = instant_us(now)
    check.bucket = bucket_at(check.now_us)
    check.need[REQUESTS] = 1
    check.need[INPUT] = bounded_tokens(tokens_in)
    check.need[OUTPUT] = bounded_tokens(tokens_out)
    check.need[TOKENS] = check.need[INPUT] + check.need[OUTPUT]
    check.counted = False
    check.sums[REQUESTS] = check.sums[INPUT] = check.sums[OUTPUT] = -1
    check.learned = True
    check.anyway = check.settled = False
    check.group = 0
    return check


cdef inline int64_t in_column(const Target* target, int word) noexcept nogil:
    cdef int64_t sum = 0
    cdef int worker
    for worker in range(target.workers):
        # Negative when the slot was cleared between two writes: must not offset other workers.
        sum += max(word_get(target.columns + worker * COLUMN_WORDS + word), 0)
    return sum


cdef inline int64_t in_flight_of(const Target* target) noexcept nogil:
    return in_column(target, C_IN_FLIGHT)


cdef inline int64_t held_of(const Target* target, int ring) noexcept nogil:
    """What exchanges in flight have reserved: input (0) or output (1)."""
    return in_column(target, C_HELD + ring)


cdef inline int64_t* group_of(const Target* target, int group) noexcept nogil:
    return target.words + T_GROUPS + group - 1


cdef inline void reset_check(Check* check, const Target* target) noexcept nogil:
    """Discard cached sums before reading another target."""
    check.sums[REQUESTS] = check.sums[INPUT] = check.sums[OUTPUT] = -1
    check.learned = (
        not check.anyway and word_get(target.words + T_LEARNED_UNTIL) > check.now_us
    )
    if check.settled:
        check.held[REQUESTS] = 0
        check.held[INPUT] = held_of(target, 0)
        check.held[OUTPUT] = held_of(target, 1)
        check.held[TOKENS] = check.held[INPUT] + check.held[OUTPUT]


cdef inline int64_t* ring_of(const Target* target, int dim) noexcept nogil:
    return target.words + T_RINGS + dim * BUCKETS


cdef inline int64_t* learned_of(const Target* target, int dim) noexcept nogil:
    return target.words + T_LEARNED + dim * L_WORDS


cdef inline int64_t ring_used(const Target* target, Check* check, int dim) noexcept nogil:
    if check.sums[dim] < 0:
        check.sums[dim] = ring_sum(ring_of(target, dim), check.bucket - WINDOW, check.bucket)
    return check.sums[dim]


cdef inline int64_t used_of(const Target* target, Check* check, int dim) noexcept nogil:
    """Total of all workers in the window."""
    cdef int64_t used
    if dim == TOKENS:
        used = ring_used(target, check, INPUT) + ring_used(target, check, OUTPUT)
    else:
        used = ring_used(target, check, dim)
    return max(used - check.held[dim], 0) if check.settled else used


cdef inline int64_t first_since(const Check* check, int64_t since) noexcept nogil:
    """The first bucket of the window not older than `since`."""
    return min(max(since, check.bucket - WINDOW), check.bucket)


cdef inline int64_t used_since(
    const Target* target, const Check* check, int dim, int64_t since
) noexcept nogil:
    cdef int64_t first = first_since(check, since)
    cdef int64_t used
    if dim == TOKENS:
        used = (
            ring_sum(ring_of(target, INPUT), first, check.bucket)
            + ring_sum(ring_of(target, OUTPUT), first, check.bucket)
        )
    else:
        used = ring_sum(ring_of(target, dim), first, check.bucket)
    return max(used - check.held[dim], 0) if check.settled else used


cdef inline int64_t kept_limit(const Target* target, int dim, int64_t now_us) noexcept nogil:
    """The learned limit, if still valid; 0: none."""
    cdef int64_t* learned = learned_of(target, dim)
    return word_get(learned + L_LIMIT) if word_get(learned + L_KEEP) > now_us else 0


cdef inline int64_t reported_of(const Target* target, int dim, int64_t now_us) noexcept nogil:
    """The reported amount with its kind, if still valid; 0: none, others use nothing."""
    cdef int64_t* learned = learned_of(target, dim)
    return word_get(learned + L_AMOUNT) if word_get(learned + L_RESETS) > now_us else 0


cdef inline int64_t others_of(int64_t reported) noexcept nogil:
    return reported >> KIND_BITS if reported & KIND_MASK == OTHERS else 0


# ---- capacity now


cdef inline int64_t own_of(const Check* check, int dim) noexcept nogil:
    """How much of the count is the request itself."""
    return check.need[dim] if check.counted else 0


cdef inline double share_left(int64_t limit, int64_t used, int64_t need) noexcept nogil:
    """Share of a configured limit left after a request; negative: it does not fit.

    A request larger than the whole limit fits into an empty window.
    """
    if used + min(need, limit) > limit:
        return -1.0
    return <double>max(limit - used - need, 0) / <double>limit


cdef inline int64_t learned_used(
    const Target* target, const Check* check, int dim, int64_t limit, int64_t reported, int64_t used
) noexcept nogil:
    """Use of a learned limit: our count plus others', or less if the provider reported less.

    When writers interleave, `since` may belong to another answer: the result stays in 0..`used`.
    """
    cdef int64_t amount = reported >> KIND_BITS
    cdef int64_t since
    if reported & KIND_MASK == OTHERS:
        return used + amount
    if reported & KIND_MASK != MORE:
        return used
    since = used_since(target, check, dim, word_get(learned_of(target, dim) + L_SINCE))
    return min(used, max(limit - amount + since - own_of(check, dim), 0))


cdef inline double dim_share(
    const Target* target, Check* check, int dim, double* learned
) noexcept nogil:
    """Share left of one Dimension's configured limit after the request; negative: it does not fit.

    `learned` is lowered to the share that what was learned leaves, negative when it does not fit.
    """
    cdef int64_t need = check.need[dim]
    cdef int64_t limit = 0, reported = 0, amount, used
    if check.learned:
        limit = kept_limit(target, dim, check.now_us)
        reported = reported_of(target, dim, check.now_us)
        if reported & KIND_MASK == LEFT:
            amount = reported >> KIND_BITS
            used = used_since(target, check, dim, word_get(learned_of(target, dim) + L_SINCE))
            used -= own_of(check, dim)
            learned[0] = min(learned[0], <double>(amount - used - need) / <double>max(amount, 1))
    if limit == 0 and target.limits[dim] == 0:
        return 1.0
    used = used_of(target, check, dim) - own_of(check, dim)
    if limit:
        amount = limit - learned_used(target, check, dim, limit, reported, used) - need
        learned[0] = min(learned[0], <double>amount / <double>limit)
        reported = 0
    if target.limits[dim] == 0:
        return 1.0
    if others_of(reported):
        learned[0] = min(
            learned[0], share_left(target.limits[dim], used + others_of(reported), need)
        )
    return share_left(target.limits[dim], used, need)


cdef inline int check_capacity(const Target* target, Check* check, double* room) noexcept nogil:
    """Return a Capacity; `room` gets the tightest limit's share left after the request."""
    cdef int64_t cooldown = word_get(target.words + T_COOLDOWN)
    cdef double share = 1.0, learned = 1.0
    cdef int dim
    room[0] = 0.0
    if cooldown >> 2 > check.now_us:
        return DISABLED if cooldown == DISABLED_WORD else COOLING_DOWN
    if check.group:
        cooldown = word_get(group_of(target, check.group))
        if cooldown >> GROUP_BITS > check.now_us:
            if cooldown & KIND_OF_GROUP == SPENT:
                return COOLING_DOWN
            if not check.anyway:
                learned = -1.0
    if target.max_concurrent:
        share = share_left(target.max_concurrent, in_flight_of(target) - check.counted, 1)
        if share < 0.0:
            return BUSY
    reset_check(check, target)
    for dim in range(DIMS):
        if target.limits[dim] or check.learned:
            share = min(share, dim_share(target, check, dim, &learned))
            if share < 0.0:
                return FULL
    if learned < 0.0:
        room[0] = ROOM_MIN / (1.0 - learned)
        return TIGHT
    room[0] = max(min(share, learned), ROOM_MIN)
    return READY


# ---- capacity later


cdef inline int64_t falls_us(
    const Target* target, const Check* check, int dim, int64_t first, int64_t allowed
) noexcept nogil:
    """When the count since bucket `first` drops to `allowed`."""
    if check.settled:
        allowed += check.held[dim]
    if dim == TOKENS:
        return rings_fall_us(
            ring_of(target, INPUT), ring_of(target, OUTPUT), first, check.bucket, allowed
        )
    return rings_fall_us(ring_of(target, dim), NULL, first, check.bucket, allowed)


cdef inline int64_t limit_ready_us(
    const Target* target, const Check* check, int dim, int64_t allowed, int64_t others,
    int64_t resets
) noexcept nogil:
    """When no more than `allowed` is used of a limit, given what others use until its reset."""
    cdef int64_t first = check.bucket - WINDOW
    cdef int64_t with_others = falls_us(target, check, dim, first, allowed - others)
    if others == 0:
        return with_others
    return min(with_others, max(resets, falls_us(target, check, dim, first, allowed)))


cdef inline int64_t dim_ready_us(const Target* target, Check* check, int dim) noexcept nogil:
    """When every limit of a Dimension has room, each taken by itself.

    MORE does not help later: what was counted since then stays in the window as long as MORE is
    valid.
    """
    cdef int64_t* learned = learned_of(target, dim)
    cdef int64_t need = check.need[dim]
    cdef int64_t limit = 0, reported = 0, resets = 0
    cdef int64_t ready = 0, used, others
    if check.learned:
        limit = kept_limit(target, dim, check.now_us)
        reported = reported_of(target, dim, check.now_us)
        resets = word_get(learned + L_RESETS)
    others = others_of(reported)
    if reported & KIND_MASK == LEFT:
        ready = min(resets, falls_us(
            target, check, dim, first_since(check, word_get(learned + L_SINCE)),
            (reported >> KIND_BITS) - need,
        ))
    if limit:
        used = learned_used(target, check, dim, limit, reported, used_of(target, check, dim))
        if used + need > limit:
            ready = max(ready, min(
                limit_ready_us(target, check, dim, limit - need, others, resets),
                word_get(learned + L_KEEP),
            ))
        others = 0
    if target.limits[dim]:
        limit = target.limits[dim]
        ready = max(
            ready, limit_ready_us(target, check, dim, limit - min(need, limit), others, resets)
        )
    return ready


cdef inline bint takes_trial(
    int64_t* at, int bits, int mask, int trial, int64_t now_us
) noexcept nogil:
    """After a cooldown one request goes first. False: another one was faster.

    The word stays until a request was served (`prove`), or until the next cooldown.
    """
    cdef int64_t word = word_get(at)
    if word == 0 or word >> bits > now_us:
        return True                # no cooldown, or one that does not stand against the request
    return word_swap(
        at, word, (now_us + TRIAL_US) << bits | (word & ((1 << bits) - 1) & ~mask) | trial
    )


cdef inline int64_t ready_once_us(const Target* target, Check* check) noexcept nogil:
    """When all current obstacles are gone; NEVER_US: never."""
    cdef int64_t ready = check.now_us
    cdef int64_t cooldown = word_get(target.words + T_COOLDOWN)
    cdef double learned = 1.0
    cdef int dim
    if not (check.settled and cooldown & 3 == NONE):
        ready = max(ready, cooldown >> 2)
    if check.group:
        cooldown = word_get(group_of(target, check.group))
        # A rest only makes other targets preferred: nothing waits for its end.
        if not (check.settled and cooldown & TRIAL) and cooldown & KIND_OF_GROUP == SPENT:
            ready = max(ready, cooldown >> GROUP_BITS)
    reset_check(check, target)
    for dim in range(DIMS):
        if (target.limits[dim] or check.learned) and (
            dim_share(target, check, dim, &learned) < 0.0 or learned < 0.0
        ):
            ready = max(ready, dim_ready_us(target, check, dim))
            learned = 1.0
    return ready


cdef inline int64_t ready_unsettled_us(const Target* target, const Check* check) noexcept nogil:
    """When the target is READY if nothing comes back, or if all does (`settled`).

    When a learned limit expires, the use of others counts against the configured one: check again.
    """
    cdef Check then = check[0]
    cdef int64_t ready = ready_once_us(target, &then)
    cdef int _round
    for _round in range(DIMS):
        if ready <= then.now_us or ready >= NEVER_US:
            break
        then.now_us = ready
        then.bucket = bucket_at(ready)
        ready = ready_once_us(target, &then)
    if target.max_concurrent and in_flight_of(target) >= target.max_concurrent:
        ready = max(ready, check.now_us + BUSY_US)
    return ready


cdef inline int64_t ready_us(const Target* target, const Check* check) noexcept nogil:
    """When the target is READY for the request; NEVER_US: never.

    What exchanges in flight have reserved may come back at any moment, and a trial may pass.
    """
    cdef int64_t ready = ready_unsettled_us(target, check)
    cdef Check then
    if ready > check.now_us + BUSY_US:
        then = check[0]
        then.settled = True
        ready = min(ready, max(ready_unsettled_us(target, &then), check.now_us + BUSY_US))
    return ready
