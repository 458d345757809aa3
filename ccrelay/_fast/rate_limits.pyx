# cython: language_level=3
"""Rate limits of targets, shared by all workers: use in the last minute, cooldowns, learned limits.

Every worker counts in atomic words (window.pxd) and none waits for another. A killed worker leaves
valid words: its counts leave the window by themselves, and its in-flight count is a column of its
own, which `SharedMemory.clear_worker` zeroes.

Configured limits hold for any 60 seconds, and nothing exceeds them. What was learned from a
provider's headers counts on top, and only steers: a target that is full by that alone is TIGHT, and
takes a request that asks for it (`anyway`), because headers may be late, another model's, or wrong.

    room = min(configured - used, learned - used - used by others)

"Used" is what this relay counted. Use by others follows from a header's `remaining`: the part of
the limit that is neither remaining nor counted here. It counts against the limit it was derived
from (the learned one, else the configured one), until the header's reset or the end of that limit.
When `remaining` exceeds what a learned limit has left by our own count, our count includes requests
that this limit does not cover (Anthropic's limits are per model group, a target is a key): then
`remaining` may be counted from that time to the reset, whatever the window holds. Since an answer
does not include requests sent after its own, the requests in flight are subtracted. A configured
limit is the operator's, for the whole key: no header loosens it.

`remaining` without a limit allows that much from then to the reset; our counts cover 60 seconds of
it. The words of one answer are not written atomically: a reader may see a mix of two answers.

`reserve` counts first and checks afterwards, so that of two workers competing for the last unit one
gives back. Times are seconds of the monotonic clock.
"""

from enum import IntEnum

cimport cython
from libc.math cimport INFINITY

from ccrelay._fast.shared_memory cimport (
    COLUMN_WORDS, TARGET_WORDS, word_add, word_get, word_set, word_swap,
)
from ccrelay._fast.target cimport (
    C_HELD, DISABLED_WORD, GROUP_BITS, KIND_BITS, KIND_OF_GROUP, LEFT, L_AMOUNT, L_KEEP, L_LIMIT,
    L_RESETS, L_SINCE, MORE, OTHERS, RESTED_US, REST_MAX, REST_US, SPENT, TRIAL, T_COOLDOWN,
    T_GENERATION, T_LEARNED_UNTIL, bounded_tokens, check_capacity, check_for, group_of,
    in_flight_of, kept_limit, learned_of, learned_used, others_of, ready_us, reported_of,
    reset_check, ring_of, takes_trial, used_of, used_since,
)
from ccrelay._fast.window cimport (
    NEVER_US, bucket_at, instant_us, left_behind_us, ring_add, ring_barrier, ring_take,
)

Dimension = IntEnum(
    "Dimension",
    [("REQUESTS", REQUESTS), ("INPUT", INPUT), ("OUTPUT", OUTPUT), ("TOKENS", TOKENS)],
    module=__name__,
)

cdef enum:
    TRIES = 3                      # reservations lost to a competing worker


cdef inline double _seconds(int64_t us) noexcept:
    return INFINITY if us >= NEVER_US else <double>us / 1e6


cdef void _raise(int64_t* word, int64_t value, int mask=0, int trial=-1) noexcept:
    """Atomic maximum; any value replaces that of a trial."""
    cdef int64_t old = word_get(word)
    while (old < value or old & mask == trial) and not word_swap(word, old, value):
        old = word_get(word)


cdef int _checked_group(int group) noexcept:
    return group if 0 < group <= GROUPS else 0


cdef int64_t _unseen_use(const Target* target, Check* check, int64_t used) noexcept:
    """The counted use that an answer may not include: the other exchanges in flight, each taken as
    an average one."""
    cdef int64_t requests = used_of(target, check, REQUESTS)
    cdef int64_t others = min(max(in_flight_of(target) - 1, 0), requests)
    return used * others // requests if requests else 0


cdef int _check_dim(int dim) except -1:
    if not 0 <= dim < DIMS:
        raise ValueError(f"no such Dimension: {dim}")
    return 0


@cython.final
@cython.no_gc            # it refers to a SharedMemory, which refers to nothing
cdef class TargetLimits:
    """Limits and use of one target, as this worker sees and counts them. See rate_limits.pyi.

    ValueError: the memory has no such slot.
    """

    def __cinit__(self, SharedMemory memory not None, int slot):
        if not 0 <= slot < memory.targets:
            raise ValueError(f"target {slot} of {memory.targets}")
        self.memory = memory
        self.slot = slot
        self.target.words = memory.target(slot)
        self.target.columns = self.target.words + TARGET_WORDS
        self.target.workers = memory.workers

    def limit(
        self, *, int64_t rpm=0, int64_t tpm=0, int64_t itpm=0, int64_t otpm=0,
        int64_t max_concurrent=0,
    ):
        if min(rpm, tpm, itpm, otpm, max_concurrent) < 0:
            raise ValueError("a limit cannot be negative")
        self.target.limits[REQUESTS] = rpm
        self.target.limits[INPUT] = itpm
        self.target.limits[OUTPUT] = otpm
        self.target.limits[TOKENS] = tpm
        self.target.max_concurrent = max_concurrent

    # ---- reading

    cpdef int state(self, double now, int64_t tokens_in, int64_t tokens_out, int group=0):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        cdef double room
        check.group = _checked_group(group)
        return check_capacity(&self.target, &check, &room)

    cpdef double room(self, double now, int64_t tokens_in, int64_t tokens_out, int group=0):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        cdef double room
        check.group = _checked_group(group)
        check_capacity(&self.target, &check, &room)
        return room

    cpdef double ready_at(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=False, int group=0
    ):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        cdef int64_t ready
        check.anyway = anyway
        check.group = _checked_group(group)
        ready = ready_us(&self.target, &check)
        return now if ready <= check.now_us else _seconds(ready)

    def used(self, int dim, double now):
        cdef Check check = check_for(now, 0, 0)
        _check_dim(dim)
        reset_check(&check, &self.target)
        return used_of(&self.target, &check, dim)

    @property
    def in_flight(self):
        return in_flight_of(&self.target)

    # ---- reserving

    cpdef Reservation reserve(
        self, double now, int64_t tokens_in, int64_t tokens_out, bint anyway=False, int group=0
    ):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        cdef double room
        cdef int64_t generation
        check.anyway = anyway
        check.group = _checked_group(group)
        self.check_writer()
        for _ in range(TRIES):
            if check_capacity(&self.target, &check, &room) != READY:
                return None
            generation = self.count(&check)
            if self.target.workers > 1:        # another worker may compete
                ring_barrier()
                check.counted = True
                if check_capacity(&self.target, &check, &room) != READY:
                    self.uncount(&check)
                    check.counted = False
                    continue
            if self.begins(&check):
                return self.issue(&check, generation)
            self.uncount(&check)
            return None
        return None

    cpdef Reservation reserve_unchecked(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        self.check_writer()
        return self.issue(&check, self.count(&check))

    cdef bint begins(self, Check* check) noexcept:
        """Whether the request may go, of those that wait for the end of a cooldown."""
        if not takes_trial(self.target.words + T_COOLDOWN, 2, 3, NONE, check.now_us):
            return False
        return check.group == 0 or takes_trial(
            group_of(&self.target, check.group), GROUP_BITS, TRIAL, TRIAL, check.now_us
        )

    cdef int64_t* column(self) noexcept:
        return self.target.columns + self.memory.worker * COLUMN_WORDS

    cdef int check_writer(self) except -1:
        if self.memory.worker < 0:
            raise ValueError("this shared memory is mapped read-only")
        return 0

    cdef Reservation issue(self, Check* check, int64_t generation):
        cdef Reservation made = Reservation.__new__(Reservation)
        made.limits = self
        made.generation = generation
        made.bucket = check.bucket
        made.first_in = made.tokens_in = check.need[INPUT]
        made.tokens_out = check.need[OUTPUT]
        made.held_in = check.need[INPUT]
        made.held_out = check.need[OUTPUT]
        made.open = True
        return made

    cdef int64_t count(self, Check* check) noexcept:
        """Count the request; return the slot's generation as read before. If the slot is cleared in
        between, the reservation is inert and takes nothing from the new owner."""
        cdef int64_t generation = word_get(self.target.words + T_GENERATION)
        cdef int dim
        cdef int64_t* column = self.column()
        word_add(column, 1)
        word_add(column + C_HELD, check.need[INPUT])
        word_add(column + C_HELD + 1, check.need[OUTPUT])
        for dim in range(RINGS):
            if check.need[dim]:
                ring_add(ring_of(&self.target, dim), check.bucket, check.need[dim])
        return generation

    cdef void uncount(self, Check* check) noexcept:
        cdef int dim
        cdef int64_t* column = self.column()
        word_add(column, -1)
        word_add(column + C_HELD, -check.need[INPUT])
        word_add(column + C_HELD + 1, -check.need[OUTPUT])
        for dim in range(RINGS):
            if check.need[dim]:
                ring_take(ring_of(&self.target, dim), check.bucket, check.need[dim])

    # ---- cooldowns

    def start_cooldown(self, double until, int reason):
        if not 0 < reason <= <int>NO_CREDENTIAL:     # an enum's members are unsigned
            raise ValueError(f"no such cooldown reason: {reason}")
        # Capped below NEVER_US: only REFUSED has no end.
        _raise(
            self.target.words + T_COOLDOWN,
            DISABLED_WORD if reason == REFUSED
            else min(instant_us(until), NEVER_US - 1) << 2 | min(reason, <int>REFUSED),
            3,
            NONE,
        )

    def start_group_cooldown(self, int group, double until):
        if _checked_group(group):
            _raise(
                group_of(&self.target, group),
                min(instant_us(until), NEVER_US >> 2) << GROUP_BITS | SPENT,
                TRIAL,
                TRIAL,
            )

    def rest_group(self, int group, double now):
        cdef int64_t* at
        cdef int64_t word, end, now_us = instant_us(now)
        cdef int kind
        if not _checked_group(group):
            return 0.0
        at = group_of(&self.target, group)
        word = word_get(at)
        end = word >> GROUP_BITS
        if end > now_us and not word & TRIAL:
            return 0.0                         # requests that were under way together
        kind = word & KIND_OF_GROUP
        kind = min(kind + 1, REST_MAX) if kind != SPENT and end + RESTED_US > now_us else 1
        end = REST_US << (kind - 1)
        return <double>end / 1e6 if word_swap(
            at, word, (now_us + end) << GROUP_BITS | kind
        ) else 0.0

    cpdef double resting_until(self, int group):
        cdef int64_t word
        if not _checked_group(group):
            return 0.0
        word = word_get(group_of(&self.target, group))
        return <double>(word >> GROUP_BITS) / 1e6 if word & KIND_OF_GROUP <= REST_MAX else 0.0

    cpdef bint prove(self, int group):
        cdef int64_t* words = self.target.words
        cdef int64_t word = word_get(words + T_COOLDOWN)
        cdef bint found = word != 0 and word & 3 == NONE and word_swap(words + T_COOLDOWN, word, 0)
        if _checked_group(group):
            word = word_get(group_of(&self.target, group))
            if word & TRIAL or 0 < word & KIND_OF_GROUP <= REST_MAX:
                found |= word_swap(group_of(&self.target, group), word, 0)
        return found

    def clear_cooldown(self):
        word_swap(self.target.words + T_COOLDOWN, DISABLED_WORD, 0)

    def end_cooldowns(self, double now):
        cdef int64_t now_us = instant_us(now)
        cdef int64_t* words = self.target.words
        cdef int64_t word = word_get(words + T_COOLDOWN)
        cdef int group
        # A word that another process has changed meanwhile is a new cooldown: it stays.
        cdef int ended = word_swap(words + T_COOLDOWN, word, 0) and word >> 2 > now_us and (
            word & 3 != NONE
        )
        for group in range(1, GROUPS + 1):
            word = word_get(group_of(&self.target, group))
            if word and word_swap(group_of(&self.target, group), word, 0):
                ended += word >> GROUP_BITS > now_us and not word & TRIAL
        return ended

    def group_cooldowns(self, double now):
        cdef int64_t word, now_us = instant_us(now)
        cdef int group
        found = {}
        for group in range(1, GROUPS + 1):
            word = word_get(group_of(&self.target, group))
            if word >> GROUP_BITS > now_us and not word & TRIAL:
                found[group] = <double>(word >> GROUP_BITS) / 1e6
        return found

    cpdef double cooldown_until(self):
        cdef int64_t cooldown = word_get(self.target.words + T_COOLDOWN)
        if cooldown & 3 == NONE:
            return 0.0                         # a trial is out: it has ended
        return INFINITY if cooldown == DISABLED_WORD else <double>(cooldown >> 2) / 1e6

    @property
    def cooldown_reason(self):
        cdef int64_t word = word_get(self.target.words + T_COOLDOWN)
        return <int>NO_CREDENTIAL if word & 3 == REFUSED and word != DISABLED_WORD else word & 3

    # ---- learned from headers

    def learn(
        self, int dim, int64_t limit, int64_t remaining, double resets_at, double keep_until,
        double now,
    ):
        cdef Check check = check_for(now, 0, 0)
        cdef int64_t keep = instant_us(keep_until), resets = instant_us(resets_at)
        cdef int64_t used, left, reported
        cdef int64_t* learned
        _check_dim(dim)
        learned = learned_of(&self.target, dim)
        reset_check(&check, &self.target)
        if limit > 0 and keep > check.now_us:
            word_set(learned + L_LIMIT, limit)
            word_set(learned + L_KEEP, keep)
            _raise(self.target.words + T_LEARNED_UNTIL, keep)
        if remaining < 0:
            return
        limit = kept_limit(&self.target, dim, check.now_us)
        remaining = min(remaining, NEVER_US)
        used = used_of(&self.target, &check, dim)
        left = -1
        if limit:
            resets = min(resets, word_get(learned + L_KEEP))
            left = min(remaining, limit) - _unseen_use(&self.target, &check, used)
        if limit and left > max(limit - used, 0):
            left += used_since(&self.target, &check, dim, check.bucket)
            reported = left << KIND_BITS | MORE
            # Once this bucket has left the window, nothing from before it remains.
            resets = min(resets, left_behind_us(check.bucket))
        elif limit or self.target.limits[dim]:
            left = (limit or self.target.limits[dim]) - remaining - used
            reported = min(max(left, 0), NEVER_US) << KIND_BITS | OTHERS
        else:
            left = remaining + used_since(&self.target, &check, dim, check.bucket)
            reported = min(left, NEVER_US) << KIND_BITS | LEFT
        word_set(learned + L_RESETS, 0)        # invalid while being written
        word_set(learned + L_SINCE, check.bucket)
        word_set(learned + L_AMOUNT, reported)
        word_set(learned + L_RESETS, resets)
        _raise(self.target.words + T_LEARNED_UNTIL, resets)

    def learned(self, int dim, double now):
        cdef Check check = check_for(now, 0, 0)
        cdef int64_t limit, reported, used
        _check_dim(dim)
        reset_check(&check, &self.target)
        limit = kept_limit(&self.target, dim, check.now_us)
        reported = reported_of(&self.target, dim, check.now_us)
        if not limit:
            holds = word_get(learned_of(&self.target, dim) + L_RESETS) > check.now_us
            return (0, others_of(reported)) if holds else None
        used = used_of(&self.target, &check, dim)
        return limit, learned_used(&self.target, &check, dim, limit, reported, used) - used

    def __repr__(self):
        limits = zip(
            ("rpm", "itpm", "otpm", "tpm", "max_concurrent"),
            (*[self.target.limits[dim] for dim in range(DIMS)], self.target.max_concurrent),
            strict=True,
        )
        configured = "".join([f" {name}={limit}" for name, limit in limits if limit])
        return (
            f"<TargetLimits {self.slot} in_flight={in_flight_of(&self.target)} "
            f"cooldown_until={self.cooldown_until()}{configured}>"
        )


@cython.final
@cython.freelist(256)
@cython.no_gc            # it refers to a TargetLimits, which refers to no reservation
cdef class Reservation:
    """One request's share of a target's limits; see rate_limits.pyi. Made by TargetLimits only."""

    def __dealloc__(self):
        # Abandoned: the counted tokens may have been used, but nothing is in flight any more.
        if self.open and self.is_current():
            word_add(self.limits.column(), -1)
            self.release(self.held_in, self.held_out)

    cdef void release(self, int64_t tokens_in, int64_t tokens_out) noexcept:
        """So much of what was reserved cannot come back any more."""
        cdef int64_t* column = self.limits.column()
        word_add(column + C_HELD, -tokens_in)
        word_add(column + C_HELD + 1, -tokens_out)
        self.held_in -= tokens_in
        self.held_out -= tokens_out

    cdef bint is_current(self) noexcept:
        """Whether the slot still belongs to the credential it was reserved from."""
        return word_get(self.limits.target.words + T_GENERATION) == self.generation

    cdef void set_input(self, int64_t now_us, int64_t tokens) noexcept:
        """Set the total input counted. More is added to the current bucket; less is taken from the
        bucket of the last upward correction, then from the first one."""
        cdef int64_t* ring = ring_of(&self.limits.target, INPUT)
        cdef int64_t more = tokens - self.tokens_in
        cdef int64_t back
        self.tokens_in = tokens
        if more > 0:
            self.late_in = more
            self.late_bucket = bucket_at(now_us)
            ring_add(ring, self.late_bucket, more)
        elif more < 0:
            back = min(-more, self.late_in)
            self.late_in -= back
            ring_take(ring, self.late_bucket, back)
            back = min(-more - back, self.first_in)
            self.first_in -= back
            ring_take(ring, self.bucket, back)

    cpdef object adjust(self, double now, int64_t tokens_in):
        if self.open and self.is_current():
            self.release(self.held_in, 0)
            self.set_input(instant_us(now), bounded_tokens(tokens_in))

    cpdef bint commit(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef int64_t now_us = instant_us(now)
        cdef int64_t* ring
        if not self.open:
            return False
        self.open = False
        tokens_out = bounded_tokens(tokens_out)
        if self.is_current():
            word_add(self.limits.column(), -1)
            self.release(self.held_in, self.held_out)
            self.set_input(now_us, bounded_tokens(tokens_in))
            ring = ring_of(&self.limits.target, OUTPUT)
            if tokens_out > self.tokens_out:
                ring_add(ring, bucket_at(now_us), tokens_out - self.tokens_out)
            elif tokens_out < self.tokens_out:
                ring_take(ring, self.bucket, self.tokens_out - tokens_out)
            self.tokens_out = tokens_out
        return True

    cpdef bint cancel(self, double now):
        cdef bint was_open = self.open
        if was_open and self.is_current():
            ring_take(ring_of(&self.limits.target, REQUESTS), self.bucket, 1)
        return self.commit(now, 0, 0) if was_open else False

    def __repr__(self):
        return (
            f"<Reservation of {self.limits.slot} tokens={self.tokens_in}+{self.tokens_out} "
            f"{'open' if self.open else 'ended'}>"
        ) if self.limits is not None else "<Reservation of nothing>"
