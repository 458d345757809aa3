cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.usage cimport Usage

cdef int64_t _SEARCH_MICROS


cdef class Tariff:
    cdef readonly object price
    cdef readonly str version
    cdef int64_t _input, _output, _cache_read, _cache_write_5m, _cache_write_1h
    cdef int64_t _above_tokens, _tokens_max, _fast_percent, _us_percent
    cdef Tariff _above

    @cython.locals(prompt=int64_t, picos=int64_t)
    cpdef int64_t cost(self, Usage usage) except? -1
    @cython.locals(prompt=int64_t)
    cpdef int64_t uncached(self, Usage usage) except? -1
    @cython.locals(percent=int64_t)
    cdef int64_t _percent(self, Usage usage) except? -1
    cdef int64_t _micros(self, int64_t picos, Usage usage) except? -1
