"""Finds relay tokens in request heads. The contract."""

cimport cython
from libc.stdint cimport uint32_t

from ccrelay._fast.http1 cimport Head


ctypedef struct Window:
    # WINDOW_BYTES of a token, by their value; token -1: a free place.
    uint32_t value
    int token
    int at                   # offset in the token


@cython.final
cdef class TokenGuard:
    cdef list tokens
    cdef Window* windows     # a hash table with open addressing, nearly empty
    cdef uint32_t mask       # its size - 1
    cdef int stride          # between two looks at a head; 0: every token is searched for

    cdef void _add(self, const char* p, int token, int at) noexcept
    cdef Py_ssize_t _token_at(self, Head head, Py_ssize_t at) noexcept
    cdef Py_ssize_t _search(self, Head head, Py_ssize_t start) noexcept
    cdef Py_ssize_t _next(self, Head head, Py_ssize_t start) noexcept
    # Hold back every field of a request head that contains a token. True: the start line has one.
    cpdef bint hold_back(self, Head head)
