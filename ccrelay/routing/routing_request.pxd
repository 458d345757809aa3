from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding


cdef int _MESSAGES, _MAIN, _STREAM


cdef class RoutingRequest:
    cdef public int kind
    cdef public int traffic
    cdef public int output_class
    cdef public int marks
    cdef public object credential
    cdef public int64_t client
    cdef public object conversation
    cdef public int64_t tokens_in
    cdef public int64_t tokens_home
    cdef public int64_t tokens_out
    cdef public int64_t body_bytes
    cdef public Binding binding
    cdef public Binding cache
    cdef public object thread
    cdef public double now
    cdef public double waits_since
    cdef public bint anyway
    cdef public bint rough
    cdef public bint home_open
    cdef public bint mended
    cdef public object strip

    cpdef object clear(self)
    cpdef int64_t need(self, int slot)
