cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport ConnectionHandler, Downstream
from ccrelay._fast.http1 cimport Head
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange cimport Exchange

cdef int _CONTENT_ENCODING, _OTHER_V1, _NOT_ROUTED
cdef dict _ROUTED_PATHS


cdef class Dispatcher(ConnectionHandler):
    cdef readonly WorkerContext context
    cdef readonly set connections
    cdef public bint draining

    cpdef object on_request(self, Downstream down)
    cpdef object on_refused(self, Downstream down, int fault)
    cpdef object on_slow(self, Downstream down)
    cpdef object on_gone(self, Downstream down)
    @cython.locals(head=Head, kind=int, exchange=Exchange)
    cdef object _admit(self, Downstream down)
    cdef object _authenticate(self, Downstream down)
    @cython.locals(
        context=WorkerContext, limit=int64_t, length=int64_t, fault=int, exchange=Exchange
    )
    cdef Exchange _open(self, Downstream down, int kind, object auth)
