cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.http1 cimport Head
from ccrelay._fast.memory_account cimport Share

cdef int _AGENT, _CLASS, _MESSAGES, _MAIN


cdef class ClientRequest:
    cdef public Downstream down
    cdef public int kind
    cdef public object auth
    cdef public object model
    cdef public bytes body
    cdef public bytes path
    cdef public object cloud
    cdef public object answers
    cdef public object respell
    cdef public bytes respelt
    cdef Share _memory
    cdef public int64_t held
    cdef int64_t _copies
    cdef int64_t _elements
    cdef bint _streams
    cdef int _traffic

    cpdef bint is_complete(self)
    cpdef bint is_kept(self)
    cpdef bint is_readable(self)
    cpdef bint flows(self)
    cpdef Share memory(self)
    cpdef bint charge(self, int64_t n)
    cpdef bint charge_copies(self, int64_t n)
    cpdef object release(self)
    cpdef int64_t size(self)
    cpdef bytes whole(self)
    @cython.locals(size=int64_t)
    cpdef bytes copied(self)
    cpdef int64_t elements(self)
    cpdef object set_body(self, bytes body, int64_t elements, bint streams)
    cpdef object come_from(self, object cloud, object answers)
    cpdef bint asks_for_stream(self)
    cpdef bint can_resend(self, bint early_head_sent)
    cpdef object set_traffic(self, int traffic)
    cpdef int traffic(self)
