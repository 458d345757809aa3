"""Conversation bindings, and the hashes all nodes share. Contract: affinity_table.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport (
    BINDING_WORDS, SharedMemory, micros, word_get, word_set, word_swap,
)
from ccrelay._fast.mix cimport mix64, rendezvous_score
from ccrelay._fast.siphash cimport siphash

cdef enum:
    READ_TRIES = 64                # a write takes some ten nanoseconds

# Odd multipliers: one per word of an entry, one for the hash.
cdef uint64_t[E_SUM] SUM_FACTORS = [
    0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93,
    0xA0761D6478BD642F, 0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3,
]
cdef uint64_t HASH_FACTOR = 0xFF51AFD7ED558CCD


# ---- hashes

cdef inline uint64_t eight(const unsigned char* p) noexcept nogil:
    """Little-endian load on every machine; compilers emit a single load."""
    return (
        <uint64_t>p[0] | <uint64_t>p[1] << 8 | <uint64_t>p[2] << 16 | <uint64_t>p[3] << 24
        | <uint64_t>p[4] << 32 | <uint64_t>p[5] << 40 | <uint64_t>p[6] << 48 | <uint64_t>p[7] << 56
    )


cpdef uint64_t hash64(bytes data):
    """64-bit hash, never 0, equal in every process, machine and release.

    Not collision-resistant: a forced collision only makes two conversations of one client share a
    target. Where a binding is kept is decided by a keyed hash of it.
    """
    cdef const unsigned char* p = data
    cdef Py_ssize_t n = len(data)
    cdef unsigned char[8] tail
    cdef Py_ssize_t k
    cdef uint64_t h = mix64(<uint64_t>n + 1)      # the length tells trailing zeroes from padding
    while n >= 8:
        h = (h ^ eight(p)) * HASH_FACTOR
        h ^= h >> 29
        p += 8
        n -= 8
    for k in range(8):
        tail[k] = p[k] if k < n else 0
    h = mix64(h ^ eight(tail))
    return h if h != 0 else 1


def rendezvous(uint64_t conversation, uint64_t seed, int weight):
    """Score of one node; the highest wins. Weight 0: -inf."""
    return rendezvous_score(conversation, seed, weight)


# ---- entries

cdef inline int64_t sum_of(const int64_t* entry) noexcept nogil:
    cdef uint64_t total = 0
    cdef int k
    for k in range(E_SUM):
        total += <uint64_t>entry[k] * SUM_FACTORS[k]
    return <int64_t>total


cdef inline int64_t ttl_of(int64_t word) noexcept nogil:
    return word & ((<int64_t>1 << TTL_BITS) - 1)


cdef bint copied(const int64_t* entry, uint64_t conversation, int64_t* copy) noexcept nogil:
    """Copy a valid entry of this conversation; False: there is none (any more)."""
    cdef int _tries, k
    for _tries in range(READ_TRIES):
        for k in range(E_WORDS):
            copy[k] = word_get(entry + k)
        if <uint64_t>copy[E_CONVERSATION] != conversation:
            return False
        if copy[E_SUM] == sum_of(copy):
            return True
    return False


@cython.final
@cython.freelist(32)
cdef class Binding:
    """Which target a conversation is bound to: a copy of its entry."""

    def __repr__(self):
        return (
            f"<Binding slot={self.slot} flags={self.flags} prefix_tokens={self.prefix_tokens} "
            f"cached_tokens={self.cached_tokens} "
            f"seen_at={self.seen_at:.1f} ttl_s={self.ttl_s:.0f}>"
        )


@cython.final
cdef class AffinityTable:
    """The bounded shared table of conversations and their targets."""

    def __init__(self, SharedMemory memory not None):
        self.memory = memory
        self.entries = memory.binding(0)
        self.key0 = <uint64_t>memory.key()[0]
        self.key1 = <uint64_t>memory.key()[1]
        self.ways = WAYS if memory.bindings >= WAYS else memory.bindings
        self.sets = memory.bindings // self.ways

    cdef uint64_t _keyed(self, uint64_t conversation, int64_t client) noexcept:
        """What a conversation of a client is called here; never 0."""
        cdef uint64_t owner = <uint64_t>client if client > 0 else 0
        cdef uint64_t keyed = siphash(self.key0, self.key1, conversation, owner)
        return keyed if keyed != 0 else 1

    cdef int64_t* _set_of(self, uint64_t keyed) noexcept:
        # Multiply-shift on the upper half: the number of sets need not be a power of two.
        cdef uint64_t number = ((keyed >> 32) * self.sets) >> 32
        return self.entries + number * self.ways * BINDING_WORDS

    cpdef Binding find(self, uint64_t conversation, double now, int64_t client=0):
        """A copy of the entry; None: unknown, or its cache has expired.

        `client`: whose conversation it is. Above 0, where that is proven, no other client finds it.
        """
        cdef uint64_t keyed = self._keyed(conversation, client)
        cdef int64_t* first = self._set_of(keyed)
        cdef int64_t* entry
        cdef int64_t[E_WORDS] copy
        cdef int64_t ttl
        cdef Binding binding
        cdef int k
        if conversation == 0:
            return None
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            if <uint64_t>word_get(entry) == keyed and copied(entry, keyed, copy):
                ttl = ttl_of(copy[E_TTL])
                if copy[E_SEEN_AT] + ttl <= micros(now):
                    return None
                binding = Binding.__new__(Binding)
                binding.slot = <int>(copy[E_SLOT] >> FLAG_BITS)
                binding.flags = <int>(copy[E_SLOT] & ((1 << FLAG_BITS) - 1))
                binding.seen_at = <double>copy[E_SEEN_AT] / 1e6
                binding.ttl_s = <double>ttl / 1e6
                binding.prefix_tokens = copy[E_PREFIX]
                binding.body_bytes = copy[E_BODY]
                binding.cached_tokens = copy[E_CACHED]
                return binding
        return None

    cpdef object keep(
        self, uint64_t conversation, int slot, double now, double ttl_s=300.0,
        int64_t prefix_tokens=0, int64_t cached_tokens=0, int64_t body_bytes=0, int flags=0,
        int64_t client=0, bint again=False,
    ):
        """Write the entry; a full set evicts another one.

        `client`: see `find`; it also tells whose share of the table it takes. `again`: an earlier
        turn was served, too.
        """
        cdef uint64_t keyed = self._keyed(conversation, client)
        cdef int64_t* first = self._set_of(keyed)
        cdef int64_t* entry
        cdef int64_t* found = NULL
        cdef int64_t[E_WORDS] fresh
        cdef int64_t mark = client & ((1 << CLIENT_BITS) - 1)
        cdef int64_t came_again = again
        cdef int k
        if not 0 <= slot < self.memory.targets:
            raise ValueError(f"target {slot} of {self.memory.targets}")
        if not 0 <= flags < 1 << FLAG_BITS:
            raise ValueError(f"flags {flags:#x}")
        if conversation == 0:
            return
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            if <uint64_t>word_get(entry) == keyed:
                if found == NULL:
                    found = entry
                    came_again |= word_get(entry + E_TTL) >> TTL_BITS & 1
                else:              # two workers inserted one each
                    word_swap(entry, <int64_t>keyed, 0)
        if found == NULL:
            found = self._victim(first, micros(now), mark)
        fresh[E_CONVERSATION] = <int64_t>keyed
        fresh[E_SLOT] = <int64_t>slot << FLAG_BITS | flags
        fresh[E_SEEN_AT] = micros(now)
        fresh[E_TTL] = ttl_of(micros(ttl_s)) | came_again << TTL_BITS | mark << MARK_AT
        fresh[E_PREFIX] = prefix_tokens
        fresh[E_BODY] = body_bytes
        fresh[E_CACHED] = cached_tokens
        fresh[E_SUM] = sum_of(fresh)
        for k in range(E_WORDS):
            word_set(found + k, fresh[k])

    cdef int64_t* _victim(self, int64_t* first, int64_t now, int64_t mark) noexcept:
        """The entry to overwrite: an empty one, else the first in this order.

        Expired; of the client that has the most, the new entry included, and of two the one whose
        new entry it is; came once; without MOVED; oldest.
        """
        # A half-written entry is ranked by the words it has: it expires like any other.
        cdef int64_t[WAYS] marks
        cdef int64_t* entry
        cdef int64_t* best = first
        cdef int64_t best_seen_at = 0
        cdef int64_t seen_at, life, ttl, flags
        cdef int k, other, rank
        cdef int best_rank = -1
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            if word_get(entry + E_CONVERSATION) == 0:
                return entry
            marks[k] = word_get(entry + E_TTL) >> MARK_AT
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            seen_at = word_get(entry + E_SEEN_AT)
            life = word_get(entry + E_TTL)
            ttl = ttl_of(life)
            flags = word_get(entry + E_SLOT)
            if seen_at + ttl <= now:
                rank = 1 << 10
            else:
                rank = 0
                for other in range(self.ways):
                    rank += marks[other] == marks[k]
                rank = (rank + (marks[k] == mark)) << 3
                if marks[k] == mark:
                    rank |= 4
                if not life >> TTL_BITS & 1:
                    rank |= 2
                if not flags & MOVED:
                    rank |= 1
            if rank > best_rank or (rank == best_rank and seen_at < best_seen_at):
                best = entry
                best_rank = rank
                best_seen_at = seen_at
        return best

    def forget_slot(self, int slot):
        """Remove all entries of a removed target; return how many."""
        cdef int64_t* entry
        cdef int64_t conversation
        cdef int found = 0
        cdef uint64_t k
        for k in range(self.sets * self.ways):
            entry = self.entries + k * BINDING_WORDS
            conversation = word_get(entry)
            if conversation != 0 and word_get(entry + E_SLOT) >> FLAG_BITS == slot:
                found += word_swap(entry, conversation, 0)
        return found

    def __repr__(self):
        return f"<AffinityTable of {self.memory!r}>"
