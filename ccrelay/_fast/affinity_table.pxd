"""The bounded shared table of conversations: contract and layout.

Set-associative: a conversation hashes to one set of WAYS entries. The last word of an entry is a
checksum over the others. A reader copies the entry and verifies it: an entry interleaved by two
writers, or left half written by a killed one, fails the check and counts as absent. So no locks are
needed, and no repair.

The hash has a random key, so that nobody can choose ids that fall into one set. In a full set the
client with the most entries there loses one, so that no number of ids takes more than its share
from others; of its entries a conversation that came once goes before one that came again, and of
these the oldest.
"""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cdef enum:
    WAYS = 8                       # entries of a set

    # words of an entry
    E_CONVERSATION = 0             # 0: the entry is empty
    E_SLOT = 1                     # target slot, FLAG_BITS of flags
    E_SEEN_AT = 2
    E_TTL = 3                      # microseconds in TTL_BITS, a bit `again`, the client's mark
    E_PREFIX = 4
    E_BODY = 5
    E_CACHED = 6
    E_SUM = 7
    E_WORDS = 8

    FLAG_BITS = 16
    TTL_BITS = 47
    MARK_AT = 48
    CLIENT_BITS = 15

cpdef enum:
    MOVED = 1                      # bound to another target than rendezvous hashing prefers
    FOREIGN = 2                    # a target without Claude signatures has served a turn
    UNSIGNED = 4                   # a provider has rejected its signatures
    MODEL_BITS = 0xFFF0            # a hash of the model whose cache it is; 0: none yet


cdef class Binding:
    cdef readonly int slot
    cdef readonly int flags
    cdef readonly int64_t prefix_tokens
    cdef readonly int64_t cached_tokens
    cdef readonly int64_t body_bytes
    cdef readonly double seen_at
    cdef readonly double ttl_s


cdef class AffinityTable:
    cdef SharedMemory memory               # keeps the memory mapped
    cdef int64_t* entries
    cdef uint64_t key0, key1
    cdef uint64_t sets
    cdef int ways                  # WAYS, or the whole table if that is smaller

    cpdef Binding find(self, uint64_t conversation, double now, int64_t client=*)
    cpdef object keep(
        self, uint64_t conversation, int slot, double now, double ttl_s=*, int64_t prefix_tokens=*,
        int64_t cached_tokens=*, int64_t body_bytes=*, int flags=*, int64_t client=*, bint again=*
    )
    cdef uint64_t _keyed(self, uint64_t conversation, int64_t client) noexcept
    cdef int64_t* _set_of(self, uint64_t keyed) noexcept
    cdef int64_t* _victim(self, int64_t* first, int64_t now, int64_t mark) noexcept


cpdef uint64_t hash64(bytes data)
