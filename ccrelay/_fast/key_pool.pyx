# cython: language_level=3
"""One provider's keys, and the choice among them by their capacity."""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from ccrelay._fast.mix cimport rendezvous_score
from ccrelay._fast.rate_limits cimport READY, TIGHT, Check, TargetLimits
from ccrelay._fast.target cimport ROOM_MIN, check_capacity, check_for, in_flight_of


@cython.final
@cython.no_gc            # it refers to TargetLimits, which refer to no pool
cdef class KeyPool:
    """One provider's keys and the choice among them; see key_pool.pyi.

    Keys fall into tiers: weighted before unweighted, then by priority. A key is chosen from the
    highest tier that has a READY key, by weight; equally when no key has a weight.

    ValueError: unequal lengths, or a negative weight.
    """

    def __cinit__(self, target_limits, weights, priorities, seeds):
        cdef int k
        cdef TargetLimits limits
        self.target_limits = tuple(target_limits)
        self.count = len(self.target_limits)
        if not self.count == len(weights) == len(priorities) == len(seeds):
            raise ValueError("one weight, priority and seed per key")
        self.keys = <Key*>calloc(self.count + 1, sizeof(Key))
        if self.keys == NULL:
            raise MemoryError
        for k in range(self.count):
            limits = self.target_limits[k]
            if limits is None or weights[k] < 0:
                raise ValueError(f"key {k} has no limits, or a negative weight")
            self.keys[k].target = &limits.target
            self.keys[k].weight = max(<int64_t>weights[k], 1)
            self.keys[k].tier = (<int64_t>(weights[k] > 0) << 32) + <int>priorities[k]
            self.keys[k].seed = <uint64_t>(seeds[k] & 0xFFFFFFFFFFFFFFFF)
            self.keys[k].state = -1
            self.total_weight += <int64_t>weights[k]
            if k == 0 or self.keys[k].tier > self.best_tier:
                self.best_tier = self.keys[k].tier
        self.total_weight = self.total_weight or self.count

    def __dealloc__(self):
        free(self.keys)

    def __len__(self):
        return self.count

    cpdef int refresh(
        self, double now, int64_t tokens_in, int64_t tokens_out, object skip=0,
        bint anyway=False, int group=0
    ):
        cdef Check check = check_for(now, tokens_in, tokens_out)
        cdef bint skips = bool(skip)
        cdef Key* key
        cdef int k
        check.group = group
        self.ready = self.unready = 0
        for k in range(self.count):
            key = self.keys + k
            if skips and skip >> k & 1:
                key.state = -1
                key.room = 0.0
                self.unready += 1
                continue
            key.state = check_capacity(key.target, &check, &key.room)
            if anyway:
                key.state = READY if key.state == TIGHT else -1
            if key.state != READY:
                self.unready += 1
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
        return max(min(sum / <double>self.total_weight, 1.0), ROOM_MIN)

    @property
    def in_flight(self):
        cdef int64_t sum = 0
        cdef int k
        for k in range(self.count):
            sum += in_flight_of(self.keys[k].target)
        return sum

    cpdef bint is_ready(self, int index):
        return self.key(index).state == READY

    cdef Key* key(self, int index) except NULL:
        if not 0 <= index < self.count:
            raise IndexError(f"key {index} of {self.count}")
        return self.keys + index

    cdef bint eligible(self, int index) noexcept:
        return self.keys[index].state == READY and self.keys[index].tier == self.tier

    cdef int turn_after(self, int index) noexcept:
        """Start the next tie-break after this key."""
        if index >= 0:
            self.next = (index + 1) % self.count
        return index

    # ---- choosing

    cpdef int preferred_key(self, object conversation):
        cdef uint64_t word = <uint64_t>(conversation & 0xFFFFFFFFFFFFFFFF)
        cdef double score, best_score = -INFINITY
        cdef int k, best = -1
        for k in range(self.count):
            if self.keys[k].tier == self.best_tier:
                score = rendezvous_score(word, self.keys[k].seed, <double>self.keys[k].weight)
                if score > best_score:
                    best, best_score = k, score
        return best

    cpdef int most_room(self):
        cdef double room, best_room = -1.0
        cdef int64_t in_flight
        cdef int64_t best_in_flight = -1         # -1: not read yet, ties are rare
        cdef int i, k, best = -1
        for i in range(self.count):
            k = (self.next + i) % self.count
            if not self.eligible(k):
                continue
            room = self.keys[k].room * <double>self.keys[k].weight
            if room > best_room:
                best, best_room, best_in_flight = k, room, -1
            elif room == best_room:
                if best_in_flight < 0:
                    best_in_flight = in_flight_of(self.keys[best].target)
                in_flight = in_flight_of(self.keys[k].target)
                if in_flight < best_in_flight:
                    best, best_in_flight = k, in_flight
        return self.turn_after(best)

    cpdef int least_loaded(self):
        cdef double load, best_load = INFINITY
        cdef int i, k, best = -1
        for i in range(self.count):
            k = (self.next + i) % self.count
            if self.eligible(k):
                load = (
                    <double>in_flight_of(self.keys[k].target) / <double>self.keys[k].weight
                )
                if load < best_load:
                    best, best_load = k, load
        return self.turn_after(best)

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
