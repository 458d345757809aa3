cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.usage cimport Usage
from ccrelay.relay.outcome cimport Outcome

cdef int _FAILOVER, _PASSED_ON, _LOST, _PLAN


cdef class Totals:
    cdef public int64_t exchanges, lost, failovers, moves, passed_on
    cdef public int64_t input, output, cache_read, cache_write
    cdef public int64_t billed, plan, saved, moved, unpriced

    @cython.locals(usage=Usage, result=int, cost=int64_t, written=int64_t)
    cpdef object add(self, Outcome outcome)
