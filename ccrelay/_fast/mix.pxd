"""How a conversation is spread over nodes: the same answer in every process and on every machine.

Weighted rendezvous hashing: every node scores the conversation, the highest score wins, and a node
that comes or goes moves nobody but its own share. Shared by slots.pyx (keys) and places.pyx
(providers), which must agree.
"""

from libc.math cimport INFINITY, log
from libc.stdint cimport uint64_t


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """The finaliser of splitmix64: a bijection after which every bit depends on every bit."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline double rendezvous_score(
    uint64_t conversation, uint64_t seed, double weight
) noexcept nogil:
    """-weight / ln(u), u in 0..1 from both numbers: wins as often as its weight's share of all.

    A weight of 0 scores -inf.
    """
    # The constant keeps the fixed point mix64(0) = 0 away from a seed of 0.
    cdef uint64_t mixed = mix64(conversation ^ mix64(seed + <uint64_t>0x9E3779B97F4A7C15))
    # 53 bits and a half: never 0 nor 1, where the logarithm would be -inf or 0.
    cdef double u = (<double>(mixed >> 11) + 0.5) * (1.0 / 9007199254740992.0)
    if weight <= 0.0:
        return -INFINITY
    return -weight / log(u)
