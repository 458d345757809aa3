from libc.stdint cimport int64_t

from ccrelay._fast.usage cimport Usage


cdef int _COMPLETE, _ANSWERED, _CLIENT_LEFT
cdef int _OK, _FAILOVER, _LEFT, _PASSED_ON, _REFUSED, _LOST


cdef class Outcome:
    cdef public int status
    cdef public int ending
    cdef public int attempts
    cdef public object error
    cdef public bint is_final
    cdef public object stream
    cdef public bint moved
    cdef public double queued_s
    cdef public int64_t own_bytes
    cdef public Usage usage
    cdef public object stop_reason
    cdef public int result
    cdef public int why
    cdef public object passed
    cdef public list tries
    cdef public double own_s
    cdef public int64_t cost_micros
    cdef public int64_t uncached_micros
    cdef public int64_t moved_micros
    cdef public int billing
    cdef public str prices_version
    cdef public list windows


cpdef int result_of(
    int status, int ending, object error, bint is_final, bint changed_target
) except? -1
