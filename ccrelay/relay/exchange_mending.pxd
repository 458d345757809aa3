cimport cython

from ccrelay._fast.upstream cimport Upstream
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange_sending cimport SendingExchange
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection

cdef int _COUNT_TOKENS


cdef class MendingExchange(SendingExchange):
    cdef object _note_try(self, Attempt attempt, str verdict, object reply)
    cdef bint _may_mend(self) except -1
    @cython.locals(
        attempt=Attempt, request=RoutingRequest, context=WorkerContext, target=Target,
        candidate=Candidate,
    )
    cdef object _again(self, str why, object reply)
    @cython.locals(attempt=Attempt, request=RoutingRequest, client=ClientRequest)
    cdef bint _retry_without_thinking(self, object reply) except -1
    @cython.locals(attempt=Attempt)
    cdef bint _retry_mended(
        self, Upstream upstream, int status, bytes body, object reply
    ) except -1
    @cython.locals(target=Target, head=object)
    cdef str _mend(self, Attempt attempt, Upstream upstream, int status, bytes body)
    cdef bint _clock_was_off(self, Attempt attempt, int status) except -1
    cdef str _replace_credential(self, Attempt attempt)
    @cython.locals(candidate=Candidate)
    cdef str _leave_out(self, Attempt attempt, tuple features, bytes body)
    cdef object _keep_remedies(self, str provider)
    @cython.locals(context=WorkerContext)
    cdef object _learn(self, str provider, str model, str feature)
    @cython.locals(candidate=Candidate)
    cdef bint _learned_since(self, Attempt attempt, tuple features) except -1
    cdef object _log_failover(self, Target target)
