"""Conversation bindings, and the hashes all nodes share. Contract: affinity_table.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport (
    BINDING_WORDS, SharedMemory, micros, word_get, word_set, word_swap,
)
from ccrelay._fast.mix cimport mix64, rendezvous_score

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

    Not collision-resistant: a forced collision only makes two conversations share a target.
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
        self.ways = WAYS if memory.bindings >= WAYS else memory.bindings
        self.sets = memory.bindings // self.ways

    cdef int64_t* _set_of(self, uint64_t conversation) noexcept:
        # Multiply-shift on the upper half: the number of sets need not be a power of two.
        cdef uint64_t number = ((mix64(conversation) >> 32) * self.sets) >> 32
        return self.entries + number * self.ways * BINDING_WORDS

    cpdef Binding find(self, uint64_t conversation, double now):
        """A copy of the entry; None: unknown, or its cache has expired."""
        cdef int64_t* first = self._set_of(conversation)
        cdef int64_t* entry
        cdef int64_t[E_WORDS] copy
        cdef Binding binding
        cdef int k
        if conversation == 0:
            return None
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            if <uint64_t>word_get(entry) == conversation and copied(entry, conversation, copy):
                if copy[E_SEEN_AT] + copy[E_TTL] <= micros(now):
                    return None
                binding = Binding.__new__(Binding)
                binding.slot = <int>(copy[E_SLOT] >> FLAG_BITS)
                binding.flags = <int>(copy[E_SLOT] & ((1 << FLAG_BITS) - 1))
                binding.seen_at = <double>copy[E_SEEN_AT] / 1e6
                binding.ttl_s = <double>copy[E_TTL] / 1e6
                binding.prefix_tokens = copy[E_PREFIX]
                binding.body_bytes = copy[E_BODY]
                binding.cached_tokens = copy[E_CACHED]
                return binding
        return None

    def keep(
        self, uint64_t conversation, int slot, double now, *, double ttl_s=300.0,
        int64_t prefix_tokens=0, int64_t cached_tokens=0, int64_t body_bytes=0, int flags=0,
    ):
        """Write the entry; a full set evicts another one."""
        cdef int64_t* first = self._set_of(conversation)
        cdef int64_t* entry
        cdef int64_t* found = NULL
        cdef int64_t[E_WORDS] fresh
        cdef int k
        if not 0 <= slot < self.memory.targets:
            raise ValueError(f"target {slot} of {self.memory.targets}")
        if not 0 <= flags < 1 << FLAG_BITS:
            raise ValueError(f"flags {flags:#x}")
        if conversation == 0:
            return
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            if <uint64_t>word_get(entry) == conversation:
                if found == NULL:
                    found = entry
                else:              # two workers inserted one each
                    word_swap(entry, <int64_t>conversation, 0)
        if found == NULL:
            found = self._victim(first, micros(now))
        fresh[E_CONVERSATION] = <int64_t>conversation
        fresh[E_SLOT] = <int64_t>slot << FLAG_BITS | flags
        fresh[E_SEEN_AT] = micros(now)
        fresh[E_TTL] = micros(ttl_s)
        fresh[E_PREFIX] = prefix_tokens
        fresh[E_BODY] = body_bytes
        fresh[E_CACHED] = cached_tokens
        fresh[E_SUM] = sum_of(fresh)
        for k in range(E_WORDS):
            word_set(found + k, fresh[k])

    cdef int64_t* _victim(self, int64_t* first, int64_t now) noexcept:
        """The entry to overwrite: empty, else expired, else oldest without MOVED, else oldest."""
        # A half-written entry is ranked by the words it has: it expires like any other.
        cdef int64_t* entry
        cdef int64_t* best = first
        cdef int64_t best_seen_at = 0
        cdef int64_t seen_at
        cdef int k, rank
        cdef int best_rank = 4
        for k in range(self.ways):
            entry = first + k * BINDING_WORDS
            seen_at = word_get(entry + E_SEEN_AT)
            if word_get(entry + E_CONVERSATION) == 0:
                return entry
            if seen_at + word_get(entry + E_TTL) <= now:
                rank = 1
            elif not word_get(entry + E_SLOT) & MOVED:
                rank = 2
            else:
                rank = 3
            if rank < best_rank or (rank == best_rank and seen_at < best_seen_at):
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
