"""Bounds-checked reads over borrowed bytes."""

from libc.stdint cimport uint8_t


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
    """ASCII case-insensitive equality of two spans of `n` bytes."""
    cdef Py_ssize_t i
    for i in range(n):
        if lower(p[i]) != lower(q[i]):
            return False
    return True
