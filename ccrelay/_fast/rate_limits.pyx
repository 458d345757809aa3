# cython: language_level=3
"""Targets' counters, shared by all workers: the last minute's use, rests, limits learned.

Every worker counts by atomic words (window.pxd), none waits for another, and one that is killed
leaves words that make sense: what it counted leaves the window by itself, what it had in flight is
its own column, which `SharedMemory.clear_worker` clears.

Configured limits hold for any 60 seconds. What was learned of a provider's headers adds to them:

    room = min(configured - used, learned - used - used by others)

"Used" is what this relay counted. What others use is known when a header says `remaining`: it is
what is missing from the limit and was not counted here, and is believed until the header's reset.
It counts against the limit that it was measured by (the learned one, else the configured one), and
ends when that limit does. When `remaining` is more than a learned limit has left by our own count,
that count holds too much for this limit (Anthropic's hold per group of models, a target is a key):
then as much as remains may be counted from that moment to the reset, whatever the window holds.
But an answer knows nothing of the requests that set out after it, so that those in flight are
taken off. A configured limit is the operator's, for the whole key: no header loosens it.

Where `remaining` is told of a limit that is not, as much may be counted from then to the reset;
what was counted is known for 60 seconds. The words of one answer are not written at once: in
between, a reader may see those of two answers, both true a moment ago.

`reserve` counts first and then looks whether that was too much, so that of two workers at the last
place one gives back. Instants are seconds of the monotonic clock.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdlib cimport calloc, free

from ccrelay._fast.shared_memory cimport TARGET_WORDS, word_add, word_get, word_set, word_swap
from ccrelay._fast.mix cimport rendezvous_score
from ccrelay._fast.target cimport (
    DIMS, INPUT_, KIND_BITS, LEFT_, L_AMOUNT, L_KEEP, L_LIMIT, L_RESETS, L_SINCE, MORE_, OTHERS_,
    OUTPUT_, OUT_WORD, READY_, REQUESTS_, RINGS, ROOM_MIN, T_GENERATION, T_LEARNED_UNTIL, T_REST,
    TOKENS_, bounded_tokens, flights_of, kept_limit, learned_of, learned_used, look_afresh, look_at,
    look_for, others_of, ready_us, ring_of, told_of, used_of, used_since,
)
from ccrelay._fast.window cimport (
    NEVER_US, bucket_at, instant_us, left_behind_us, ring_add, ring_barrier, ring_take,
)

cdef enum:
    TRIES = 3                      # reservations undone because another worker was as fast


cdef inline double _seconds(int64_t us) noexcept:
    return INFINITY if us >= NEVER_US else <double>us / 1e6


cdef void _raise(int64_t* word, int64_t value) noexcept:
    """Make a word at least that large."""
    cdef int64_t old = word_get(word)
    while old < value and not word_swap(word, old, value):
        old = word_get(word)


cdef int64_t _under_way(const Target* target, Look* at, int64_t used) noexcept:
    """What of the use counted a provider may not have known when it answered: that of the other
    exchanges in flight, each taken for an average one."""
    cdef int64_t requests = used_of(target, at, REQUESTS_)
    cdef int64_t others = min(max(flights_of(target) - 1, 0), requests)
    return used * others // requests if requests else 0


cdef int _check_dim(int dim) except -1:
    if not 0 <= dim < DIMS:
        raise ValueError(f"no such Dim: {dim}")
    return 0


@cython.final
@cython.no_gc            # it holds a Board, which refers to nothing
cdef class TargetLimits:
    """Counters of one target, as this worker sees and writes them. See slots.pyi.

    ValueError: the board has no such slot.
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
        self.target.limits[REQUESTS_] = rpm
        self.target.limits[INPUT_] = itpm
        self.target.limits[OUTPUT_] = otpm
        self.target.limits[TOKENS_] = tpm
        self.target.flights_max = max_concurrent

    # ---- looking

    cpdef int state(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        cdef double room
        return look_at(&self.target, &at, &room)

    cpdef double room(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        cdef double room
        look_at(&self.target, &at, &room)
        return room

    cpdef double ready_at(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        cdef int64_t ready = ready_us(&self.target, &at)
        return now if ready <= at.now_us else _seconds(ready)

    def used(self, int dim, double now):
        cdef Look at = look_for(now, 0, 0)
        _check_dim(dim)
        look_afresh(&at, &self.target)
        return used_of(&self.target, &at, dim)

    @property
    def in_flight(self):
        return flights_of(&self.target)

    # ---- reserving

    cpdef Reservation reserve(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        cdef double room
        cdef int64_t generation
        self.check_writer()
        for _ in range(TRIES):
            if look_at(&self.target, &at, &room) != READY_:
                return None
            generation = self.count(&at)
            if self.target.workers == 1:       # nobody can have counted in between
                return self.take(&at, generation)
            ring_barrier()
            at.counted = True
            if look_at(&self.target, &at, &room) == READY_:
                return self.take(&at, generation)
            self.uncount(&at)
            at.counted = False
        return None

    cpdef Reservation force(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        self.check_writer()
        return self.take(&at, self.count(&at))

    cdef int check_writer(self) except -1:
        if self.memory.worker < 0:
            raise ValueError("a board without a worker only reads")
        return 0

    cdef Reservation take(self, Look* at, int64_t generation):
        cdef Reservation made = Reservation.__new__(Reservation)
        made.limits = self
        made.generation = generation
        made.bucket = at.bucket
        made.first_in = made.tokens_in = at.need[INPUT_]
        made.tokens_out = at.need[OUTPUT_]
        made.open = True
        return made

    cdef int64_t count(self, Look* at) noexcept:
        """Whose slot it was, by its generation, before anything was counted: should it be cleared
        meanwhile, the reservation is nobody's and takes nothing from the new owner."""
        cdef int64_t generation = word_get(self.target.words + T_GENERATION)
        cdef int dim
        word_add(self.target.columns + self.memory.worker, 1)
        for dim in range(RINGS):
            if at.need[dim]:
                ring_add(ring_of(&self.target, dim), at.bucket, at.need[dim])
        return generation

    cdef void uncount(self, Look* at) noexcept:
        cdef int dim
        word_add(self.target.columns + self.memory.worker, -1)
        for dim in range(RINGS):
            if at.need[dim]:
                ring_take(ring_of(&self.target, dim), at.bucket, at.need[dim])

    # ---- rests

    def rest(self, double until, int reason):
        if not 0 < reason <= <int>REFUSED:     # an enum's members are unsigned
            raise ValueError(f"no reason to rest: {reason}")
        # One below the end of time: only REFUSED is without end.
        _raise(
            self.target.words + T_REST,
            OUT_WORD if reason == REFUSED else min(instant_us(until), NEVER_US - 1) << 2 | reason,
        )

    def clear_cooldown(self):
        word_swap(self.target.words + T_REST, OUT_WORD, 0)

    cpdef double cooldown_until(self):
        cdef int64_t rest = word_get(self.target.words + T_REST)
        return INFINITY if rest == OUT_WORD else <double>(rest >> 2) / 1e6

    @property
    def cooldown_reason(self):
        return word_get(self.target.words + T_REST) & 3

    # ---- what headers say

    def learn(
        self, int dim, int64_t limit, int64_t remaining, double resets_at, double keep_until,
        double now,
    ):
        cdef Look at = look_for(now, 0, 0)
        cdef int64_t keep = instant_us(keep_until), resets = instant_us(resets_at)
        cdef int64_t used, left, told
        cdef int64_t* learned
        _check_dim(dim)
        learned = learned_of(&self.target, dim)
        look_afresh(&at, &self.target)
        if limit > 0 and keep > at.now_us:
            word_set(learned + L_LIMIT, limit)
            word_set(learned + L_KEEP, keep)
            _raise(self.target.words + T_LEARNED_UNTIL, keep)
        if remaining < 0:
            return
        limit = kept_limit(&self.target, dim, at.now_us)
        remaining = min(remaining, NEVER_US)
        used = used_of(&self.target, &at, dim)
        left = -1
        if limit:
            resets = min(resets, word_get(learned + L_KEEP))
            left = min(remaining, limit) - _under_way(&self.target, &at, used)
        if limit and left > max(limit - used, 0):
            told = left + used_since(&self.target, &at, dim, at.bucket) << KIND_BITS | MORE_
            # Once the first bucket has left, the window holds nothing from before.
            resets = min(resets, left_behind_us(at.bucket))
        elif limit or self.target.limits[dim]:
            left = (limit or self.target.limits[dim]) - remaining - used
            told = min(max(left, 0), NEVER_US) << KIND_BITS | OTHERS_
        else:
            left = remaining + used_since(&self.target, &at, dim, at.bucket)
            told = min(left, NEVER_US) << KIND_BITS | LEFT_
        word_set(learned + L_RESETS, 0)        # in between nothing is said
        word_set(learned + L_SINCE, at.bucket)
        word_set(learned + L_AMOUNT, told)
        word_set(learned + L_RESETS, resets)
        _raise(self.target.words + T_LEARNED_UNTIL, resets)

    def learned(self, int dim, double now):
        cdef Look at = look_for(now, 0, 0)
        cdef int64_t limit, told, used
        _check_dim(dim)
        look_afresh(&at, &self.target)
        limit = kept_limit(&self.target, dim, at.now_us)
        told = told_of(&self.target, dim, at.now_us)
        if not limit:
            holds = word_get(learned_of(&self.target, dim) + L_RESETS) > at.now_us
            return (0, others_of(told)) if holds else None
        used = used_of(&self.target, &at, dim)
        return limit, learned_used(&self.target, &at, dim, limit, told, used) - used

    def __repr__(self):
        limits = zip(
            ("rpm", "itpm", "otpm", "tpm", "max_concurrent"),
            (*[self.target.limits[dim] for dim in range(DIMS)], self.target.flights_max),
            strict=True,
        )
        told = "".join([f" {name}={limit}" for name, limit in limits if limit])
        return (
            f"<TargetLimits {self.slot} in_flight={flights_of(&self.target)} "
            f"cooldown_until={self.cooldown_until()}{told}>"
        )


@cython.final
@cython.freelist(256)
@cython.no_gc            # it holds a TargetLimits, which refers to no reservation
cdef class Reservation:
    """One request's share of a target; see slots.pyi. Only a TargetLimits makes one that is open."""

    def __dealloc__(self):
        # Forgotten: what was counted may have been used, but nothing is under way any more.
        if self.open and self.current():
            word_add(self.limits.target.columns + self.limits.memory.worker, -1)

    cdef bint current(self) noexcept:
        """Whether the slot is still that of the credential it was reserved of."""
        return word_get(self.limits.target.words + T_GENERATION) == self.generation

    cdef void set_input(self, int64_t now_us, int64_t tokens) noexcept:
        """Count so much input in all: more goes into the bucket under way, less comes out of the
        bucket of the correction, then out of the first one. Of several corrections upward the last
        can be taken back."""
        cdef int64_t* ring = ring_of(&self.limits.target, INPUT_)
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

    cpdef object correct(self, double now, int64_t tokens_in):
        if self.open and self.current():
            self.set_input(instant_us(now), bounded_tokens(tokens_in))

    cpdef bint settle(self, double now, int64_t tokens_in, int64_t tokens_out):
        cdef int64_t now_us = instant_us(now)
        cdef int64_t* ring
        if not self.open:
            return False
        self.open = False
        tokens_out = bounded_tokens(tokens_out)
        if self.current():
            word_add(self.limits.target.columns + self.limits.memory.worker, -1)
            self.set_input(now_us, bounded_tokens(tokens_in))
            ring = ring_of(&self.limits.target, OUTPUT_)
            if tokens_out > self.tokens_out:
                ring_add(ring, bucket_at(now_us), tokens_out - self.tokens_out)
            elif tokens_out < self.tokens_out:
                ring_take(ring, self.bucket, self.tokens_out - tokens_out)
            self.tokens_out = tokens_out
        return True

    cpdef bint cancel(self, double now):
        cdef bint was_open = self.open
        if was_open and self.current():
            ring_take(ring_of(&self.limits.target, REQUESTS_), self.bucket, 1)
        return self.settle(now, 0, 0) if was_open else False

    def __repr__(self):
        return (
            f"<Reservation of {self.limits.slot} tokens={self.tokens_in}+{self.tokens_out} "
            f"{'open' if self.open else 'over'}>"
        ) if self.limits is not None else "<Reservation of nothing>"


@cython.final
@cython.no_gc            # it holds TargetLimits, which refer to no bank
cdef class KeyPool:
    """The gauges of one provider's keys, surveyed together; see slots.pyi.

    Keys fall into tiers: those with a weight before those without, then by priority. A choice is
    made in the highest tier that has a READY key, by weight; where no key has a weight, equally.

    ValueError: not as many weights, priorities or seeds as gauges, or a negative weight.
    """

    def __cinit__(self, target_limits, weights, priorities, seeds):
        cdef int k
        cdef TargetLimits limits
        self.target_limits = tuple(target_limits)
        self.count = len(self.target_limits)
        if not self.count == len(weights) == len(priorities) == len(seeds):
            raise ValueError("a weight, a priority and a seed for each gauge")
        self.keys = <Key*>calloc(self.count + 1, sizeof(Key))
        if self.keys == NULL:
            raise MemoryError
        for k in range(self.count):
            limits = self.target_limits[k]
            if limits is None or weights[k] < 0:
                raise ValueError(f"key {k} has no gauge, or a negative weight")
            self.keys[k].target = &limits.target
            self.keys[k].weight = max(<int64_t>weights[k], 1)
            self.keys[k].tier = (<int64_t>(weights[k] > 0) << 32) + <int>priorities[k]
            self.keys[k].seed = <uint64_t>(seeds[k] & 0xFFFFFFFFFFFFFFFF)
            self.keys[k].state = -1
            self.whole_weight += <int64_t>weights[k]
            if k == 0 or self.keys[k].tier > self.home_tier:
                self.home_tier = self.keys[k].tier
        self.whole_weight = self.whole_weight or self.count

    def __dealloc__(self):
        free(self.keys)

    def __len__(self):
        return self.count

    cpdef int survey(self, double now, int64_t tokens_in, int64_t tokens_out, object skip=0):
        cdef Look at = look_for(now, tokens_in, tokens_out)
        cdef bint skips = bool(skip)
        cdef Key* key
        cdef int k
        self.ready = 0
        for k in range(self.count):
            key = self.keys + k
            if skips and skip >> k & 1:
                key.state = -1
                key.room = 0.0
                continue
            key.state = look_at(key.target, &at, &key.room)
            if key.state != READY_:
                continue
            if self.ready == 0 or key.tier > self.tier:
                self.tier = key.tier
                self.ready = 1
            elif key.tier == self.tier:
                self.ready += 1
        return self.ready

    @property
    def room(self):
        cdef double sum = 0.0
        cdef int k
        if self.ready == 0:
            return 0.0
        for k in range(self.count):
            if self.eligible(k):
                sum += self.keys[k].room * <double>self.keys[k].weight
        return max(min(sum / <double>self.whole_weight, 1.0), ROOM_MIN)

    @property
    def in_flight(self):
        cdef int64_t sum = 0
        cdef int k
        for k in range(self.count):
            sum += flights_of(self.keys[k].target)
        return sum

    cpdef bint is_ready(self, int index):
        return self.key(index).state == READY_

    cdef Key* key(self, int index) except NULL:
        if not 0 <= index < self.count:
            raise IndexError(f"key {index} of {self.count}")
        return self.keys + index

    cdef bint eligible(self, int index) noexcept:
        return self.keys[index].state == READY_ and self.keys[index].tier == self.tier

    cdef int chosen(self, int index) noexcept:
        """Ties are looked at behind this one the next time."""
        if index >= 0:
            self.next = (index + 1) % self.count
        return index

    # ---- choosing

    cpdef int favourite(self, object conversation):
        cdef uint64_t word = <uint64_t>(conversation & 0xFFFFFFFFFFFFFFFF)
        cdef double score, best_score = -INFINITY
        cdef int k, best = -1
        for k in range(self.count):
            if self.keys[k].tier == self.home_tier:
                score = rendezvous_score(word, self.keys[k].seed, <double>self.keys[k].weight)
                if score > best_score:
                    best, best_score = k, score
        return best

    cpdef int most_room(self):
        cdef double room, best_room = -1.0
        cdef int64_t flights
        cdef int64_t best_flights = -1         # -1: not asked yet, ties are rare
        cdef int i, k, best = -1
        for i in range(self.count):
            k = (self.next + i) % self.count
            if not self.eligible(k):
                continue
            room = self.keys[k].room * <double>self.keys[k].weight
            if room > best_room:
                best, best_room, best_flights = k, room, -1
            elif room == best_room:
                if best_flights < 0:
                    best_flights = flights_of(self.keys[best].target)
                flights = flights_of(self.keys[k].target)
                if flights < best_flights:
                    best, best_flights = k, flights
        return self.chosen(best)

    cpdef int least_loaded(self):
        cdef double load, best_load = INFINITY
        cdef int i, k, best = -1
        for i in range(self.count):
            k = (self.next + i) % self.count
            if self.eligible(k):
                load = (
                    <double>flights_of(self.keys[k].target) / <double>self.keys[k].weight
                )
                if load < best_load:
                    best, best_load = k, load
        return self.chosen(best)

    cpdef int in_turn(self):
        cdef int64_t total = 0
        cdef int k, best = -1
        for k in range(self.count):
            if self.eligible(k):
                total += self.keys[k].weight
                self.keys[k].turn += self.keys[k].weight
                if best < 0 or self.keys[k].turn > self.keys[best].turn:
                    best = k
        if best >= 0:
            self.keys[best].turn -= total
        return best

    cpdef int at_random(self, double point):
        cdef double left = 0.0
        cdef int k, last = -1
        for k in range(self.count):
            if self.eligible(k):
                left += <double>self.keys[k].weight
        left *= point
        for k in range(self.count):
            if self.eligible(k):
                last = k
                left -= <double>self.keys[k].weight
                if left < 0.0:
                    return k
        return last

    def __repr__(self):
        return f"<KeyPool of {self.count} ready={self.ready} in_flight={self.in_flight}>"
