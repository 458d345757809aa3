from libc.stdint cimport int64_t

from ccrelay._fast.usage cimport Usage


cdef class Outcome:
    cdef public int status
    cdef public int ending
    cdef public int attempts
    cdef public object error
    cdef public object stream
    cdef public bint moved
    cdef public double queued_s
    cdef public int64_t own_bytes
    cdef public Usage usage
    cdef public object stop_reason
