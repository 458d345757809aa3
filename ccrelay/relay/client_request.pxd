from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.http1 cimport Head

cdef int _AGENT, _CLASS, _MESSAGES, _MAIN


cdef class ClientRequest:
    cdef public Downstream down
    cdef public int kind
    cdef public object auth
    cdef public object model
    cdef public bytes body
    cdef readonly bytes path
    cdef int _traffic

    cpdef bint is_complete(self)
    cpdef bint is_kept(self)
    cpdef bint is_readable(self)
    cpdef bint flows(self)
    cpdef bint hold(self, bytes rewritten)
    cpdef int64_t size(self)
    cpdef bytes whole(self)
    cpdef bint asks_for_stream(self)
    cpdef bint can_resend(self, bint early_head_sent)
    cpdef object set_traffic(self, int traffic)
    cpdef int traffic(self)
