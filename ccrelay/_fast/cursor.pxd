"""Bounds-checked reads over borrowed bytes."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy


ctypedef struct Cursor:
    const uint8_t* data
    Py_ssize_t at            # next byte, 0..size
    Py_ssize_t size


cdef inline int peek(const Cursor* c) noexcept:
    """The next byte; -1 at the end."""
    return c.data[c.at] if c.at < c.size else -1


cdef inline bint skip_crlf(Cursor* c) noexcept:
    """Skip CR LF, if both bytes are next."""
    if c.at + 1 < c.size and c.data[c.at] == 13 and c.data[c.at + 1] == 10:
        c.at += 2
        return True
    return False


cdef inline uint8_t lower(uint8_t byte) noexcept:
    return byte + 32 if 65 <= byte <= 90 else byte


cdef inline bint same(const uint8_t* p, const uint8_t* q, Py_ssize_t n) noexcept:
    """ASCII case-insensitive equality of two spans of `n` bytes; fastest where case agrees too."""
    cdef Py_ssize_t i = 0
    cdef uint64_t a, b
    while i < n:
        if i + 8 <= n:
            memcpy(&a, p + i, 8)
            memcpy(&b, q + i, 8)
            if a == b:
                i += 8
                continue
            if (a ^ b) & <uint64_t>0xDFDFDFDFDFDFDFDF:  # more than the bit of case
                return False
        if lower(p[i]) != lower(q[i]):
            return False
        i += 1
    return True
