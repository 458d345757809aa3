cimport cython

from ccrelay._fast.upstream cimport Upstream
from ccrelay.fleet.provider_state cimport ProviderState, Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange_mending cimport MendingExchange
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection

cdef int _MESSAGES, _COUNT_TOKENS, _CONNECTING, _COMPLETE, _ANSWER, _ENCODED


cdef class Exchange(MendingExchange):
    cdef object _on_connect_failed(self, object error)
    cpdef object on_collected(self, Upstream upstream, bytes body)
    @cython.locals(attempt=Attempt, target=Target)
    cdef object _on_error_response(self, Upstream upstream, bytes body)
    @cython.locals(attempt=Attempt, context=WorkerContext, target=Target)
    cdef object _on_no_answer(self, Upstream upstream, bytes body)
    cdef bint _deliver_count(self, Attempt attempt, Upstream upstream, bytes body) except -1
    cdef bint _deliver_whole(self, Upstream upstream, bytes body) except -1
    cpdef object on_held_error(self, Upstream upstream)
    @cython.locals(attempt=Attempt, target=Target, head=object)
    cdef object _on_error_event(self, Upstream upstream)
    cdef object _forward_held(self, Upstream upstream)
    cpdef object on_lost(self, Upstream upstream, int reason)
    @cython.locals(attempt=Attempt, client=ClientRequest)
    cdef object _on_lost(self, Upstream upstream, int reason)
    cdef object _redial(self)
    cdef object _go_on_with(self, object choice)
    cdef object _next_target(self, object verdict)
    @cython.locals(
        attempt=Attempt, request=RoutingRequest, context=WorkerContext, provider=ProviderState,
        head=object,
    )
    cdef object _cool_down_client(self, object verdict, Upstream upstream)
