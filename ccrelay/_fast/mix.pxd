"""Weighted rendezvous hashing: equal in every process and on every machine.

Every node scores the conversation and the highest score wins; adding or removing a node remaps only
that node's share. Shared by rate_limits.pyx (keys) and affinity_table.pyx (providers), which must
agree.
"""

from libc.math cimport INFINITY, log
from libc.stdint cimport uint64_t


cdef inline uint64_t mix64(uint64_t x) noexcept nogil:
    """splitmix64's finaliser: a bijection with full avalanche."""
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline double rendezvous_score(
    uint64_t conversation, uint64_t seed, double weight
) noexcept nogil:
    """-weight / ln(u), with u in (0, 1) from both numbers: wins in proportion to its weight.

    Weight 0 scores -inf.
    """
    # The constant avoids the fixed point mix64(0) = 0 for seed 0.
    cdef uint64_t mixed = mix64(conversation ^ mix64(seed + <uint64_t>0x9E3779B97F4A7C15))
    # The added half keeps u off 0 and 1, where log(u) would be -inf or 0.
    cdef double u = (<double>(mixed >> 11) + 0.5) * (1.0 / 9007199254740992.0)
    if weight <= 0.0:
        return -INFINITY
    return -weight / log(u)
