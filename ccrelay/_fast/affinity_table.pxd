"""The bounded shared table of conversations. The contract and the layout.

An entry is found by its conversation in one set of WAYS entries. Its last word is a sum over all
the others. A reader copies the entry and adds up: what two writers mixed, or what one that was
killed left half done, does not add up and is no entry. So nobody locks, and nothing needs repair.
"""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cdef enum:
    WAYS = 8                       # entries of a set

    # words of an entry
    E_CONVERSATION = 0             # 0: the entry is empty
    E_SLOT = 1                     # target slot, FLAG_BITS of flags
    E_SEEN_AT = 2
    E_TTL = 3
    E_PREFIX = 4
    E_BODY = 5
    E_SUM = 6
    E_WORDS = 7

    FLAG_BITS = 16

cpdef enum:
    MOVED = 1                      # it lives elsewhere than rendezvous hashing says
    FOREIGN = 2                    # a target that signs no Claude signatures has served a turn
    UNSIGNED = 4                   # a provider refused its signatures once


cdef class Binding:
    cdef readonly int slot
    cdef readonly int flags
    cdef readonly int64_t prefix_tokens
    cdef readonly int64_t body_bytes
    cdef readonly double seen_at
    cdef readonly double ttl_s


cdef class AffinityTable:
    cdef SharedMemory memory               # keeps the memory mapped
    cdef int64_t* entries
    cdef uint64_t sets
    cdef int ways                  # WAYS, or all there are if that is fewer

    cpdef Binding find(self, uint64_t conversation, double now)
    cdef int64_t* _set_of(self, uint64_t conversation) noexcept
    cdef int64_t* _room(self, int64_t* first, int64_t now) noexcept


cpdef uint64_t hash64(bytes data)
