"""SipHash-1-3 of two words (Aumasson, Bernstein, 2012): unpredictable without the key.

The variant with the fewer rounds is the usual one for hash tables, whose values are not exposed.
"""

from libc.stdint cimport uint64_t

cdef struct Sip:
    uint64_t a, b, c, d


cdef inline uint64_t turned(uint64_t x, int bits) noexcept nogil:
    return x << bits | x >> (64 - bits)


cdef inline void sip_round(Sip* s) noexcept nogil:
    s.a += s.b
    s.b = turned(s.b, 13) ^ s.a
    s.a = turned(s.a, 32)
    s.c += s.d
    s.d = turned(s.d, 16) ^ s.c
    s.a += s.d
    s.d = turned(s.d, 21) ^ s.a
    s.c += s.b
    s.b = turned(s.b, 17) ^ s.c
    s.c = turned(s.c, 32)


cdef inline void sip_word(Sip* s, uint64_t word) noexcept nogil:
    s.d ^= word
    sip_round(s)
    s.a ^= word


cdef inline uint64_t siphash(
    uint64_t key0, uint64_t key1, uint64_t first, uint64_t second
) noexcept nogil:
    """The hash of sixteen bytes, given as two little-endian words."""
    cdef Sip s
    cdef int _round
    s.a = key0 ^ <uint64_t>0x736F6D6570736575
    s.b = key1 ^ <uint64_t>0x646F72616E646F6D
    s.c = key0 ^ <uint64_t>0x6C7967656E657261
    s.d = key1 ^ <uint64_t>0x7465646279746573
    sip_word(&s, first)
    sip_word(&s, second)
    sip_word(&s, <uint64_t>16 << 56)       # the length, behind no further byte
    s.c ^= 0xFF
    for _round in range(3):
        sip_round(&s)
    return s.a ^ s.b ^ s.c ^ s.d
