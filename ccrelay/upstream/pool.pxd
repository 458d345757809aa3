from libc.stdint cimport int64_t

from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.handlers cimport ConnectionPool, UpstreamLimits
from ccrelay._fast.upstream cimport Upstream


cdef class Pool(ConnectionPool):
    cdef Reactor _reactor
    cdef object _dialer
    cdef UpstreamLimits _limits
    cdef object _tasks
    cdef int _idle_max
    cdef list _idle
    cdef readonly int64_t dialled
    cdef readonly bint open

    cpdef Upstream take(self)
    cpdef object give(self, Conn upstream)
    cpdef object on_idle_closed(self, Conn upstream)
    cdef object _forget(self, Upstream upstream)
