cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport ConnectionHandler, Downstream
from ccrelay._fast.http1 cimport Head
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange cimport Exchange
from ccrelay.relay.runtime_config cimport RuntimeConfig

cdef int _CONTENT_ENCODING


cdef class Dispatcher(ConnectionHandler):
    cdef readonly WorkerContext context
    cdef readonly set connections
    cdef public bint draining
    cdef readonly object refusal_log, token_throttle

    cpdef object on_request(self, Downstream down)
    cpdef object on_refused(self, Downstream down, int fault)
    cpdef object on_slow(self, Downstream down)
    cpdef object on_gone(self, Downstream down)
    @cython.locals(head=Head, kind=int, path=bytes, direct=tuple)
    cdef object _admit(self, Downstream down)
    @cython.locals(config=RuntimeConfig)
    cdef object _authenticate(self, Downstream down)
    @cython.locals(
        context=WorkerContext, limit=int64_t, length=int64_t, fault=int, exchange=Exchange
    )
    cdef Exchange _open(self, Downstream down, int kind, bytes path, object auth, object cloud=*)
    @cython.locals(head=Head, exchange=Exchange)
    cdef object _route(
        self, Downstream down, int kind, bytes path, object auth, object respell=*
    )
