cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.endpoint_stats cimport EndpointStats

cdef int64_t _STATE, _GENERATION


cdef class Breaker:
    cdef EndpointStats _stats
    cdef object _health
    cdef public object _on_change
    cdef double _trial_s
    cdef double _window_s

    @cython.locals(word=int64_t)
    cpdef bint available(self, double now)
    @cython.locals(word=int64_t)
    cpdef bint due(self, double now)
    @cython.locals(word=int64_t)
    cpdef object admit(self, double now, object rng)
    cpdef object force(self, double now)
    @cython.locals(word=int64_t, sent=int64_t)
    cpdef object settle(self, object ticket, double now, object rng, object ok)
    cpdef object probed(self, double now, object rng, bint ok)
