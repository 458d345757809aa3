cimport cython
from libc.stdint cimport int64_t

from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.exchange_routing cimport RoutedExchange

cdef int _ROUTING, _PREPARING, _DONE


cdef class PreparingExchange(RoutedExchange):
    cdef object _connect(self)
    @cython.locals(client=ClientRequest, attempt=Attempt)
    cdef object _rewrite(self)
    @cython.locals(client=ClientRequest, attempt=Attempt, size=int64_t)
    cpdef object _begin_rewriting(self)
    @cython.locals(attempt=Attempt)
    cpdef object _rewritten(self, object result, object error)
    @cython.locals(attempt=Attempt)
    cdef object _take_rejection(self, object rejection)
    cdef object _log_stripped(self, Target target, bint everything)
    @cython.locals(client=ClientRequest)
    cdef object _answer_estimate(self)
    cpdef object _begin_estimate(self)
    cpdef object _estimated(self, object tokens, object error)
    @cython.locals(data=bytes)
    cdef object _answer_tokens(self, int64_t tokens)
