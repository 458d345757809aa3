cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding
from ccrelay._fast.head_writer cimport RequestPlan
from ccrelay._fast.http1 cimport Head
from ccrelay._fast.upstream cimport Upstream
from ccrelay.fleet.provider_state cimport ProviderState, Target
from ccrelay.relay cimport accounting, affinity
from ccrelay.relay.attempt cimport Attempt, attempt_on
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.exchange_bridging cimport BridgingExchange
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.availability cimport passed_over, why_taken
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection

cdef int _CONTENT_ENCODING, _A_MESSAGE, _A_COUNT
cdef int _KEEP, _CHUNKED, _CLOSE, _FORWARD, _HOLD, _MESSAGES, _COUNT_TOKENS, _COMPLETE
cdef int _ROUTING, _AWAITING_BODY, _QUEUED, _CONNECTING, _AWAITING_HEAD, _HOLDING, _STREAMING
cdef int _COLLECTING_ERROR, _DONE
cdef int _ONLY, _AFFINITY, _QUEUE, _FAILOVER, _LAST_RESORT


cdef class SendingExchange(BridgingExchange):
    cdef object _log_failover(self, Target target)
    cdef object _on_connect_failed(self, object error)
    @cython.locals(
        attempt=Attempt, target=Target, request=RoutingRequest, route=Route, binding=Binding,
        candidate=Candidate,
    )
    cdef object _start_attempt(self, Selection selection, object strip_thinking)
    @cython.locals(
        route=Route, request=RoutingRequest, outcome=Outcome, retry_state=RetryState, why=int
    )
    cdef object _explain(self, Selection selection)
    @cython.locals(attempt=Attempt, candidate=Candidate)
    cdef object _with_whole_body(self)
    cpdef object send_to(self, Target target)
    @cython.locals(
        client=ClientRequest, attempt=Attempt, candidate=Candidate, target=Target,
        plan=RequestPlan,
    )
    cdef object _send(self)
    @cython.locals(client=ClientRequest, attempt=Attempt, upstream=Upstream)
    cdef object _connect(self)
    @cython.locals(attempt=Attempt, splice=bytes, plan=RequestPlan, path=bytes, lines=bytes)
    cdef object _send_over(self, Upstream upstream)
    @cython.locals(
        attempt=Attempt, client=ClientRequest, outcome=Outcome, target=Target,
        provider=ProviderState, head=Head, status=int, is_routed=bint, extra=bytes,
    )
    cpdef object on_head(self, Upstream upstream)
    @cython.locals(
        attempt=Attempt, client=ClientRequest, head=Head, status=int, stream=bint,
        must_prove=bint, unpacked=bint, repairs=bint, framing=int, mode=int, media_type=bytes,
        answers=object, whole=bint,
    )
    cdef object _forward(self, Upstream upstream, bytes extra)
    cdef int _expected(self) except -1
    cdef object _collect(self, Upstream upstream)
    @cython.locals(head=Head, needed=bint)
    cdef bint _decode(self, Upstream upstream, bint for_client) except -1
    @cython.locals(attempt=Attempt, head=Head, framing=int, repairs=bint, unpacked=bint)
    cdef object _follow_early_head(self, Upstream upstream)
    @cython.locals(attempt=Attempt, request=RoutingRequest)
    cpdef object on_commit(self, Upstream upstream)
    cpdef object on_unfinished(self, Upstream upstream)
    @cython.locals(attempt=Attempt, outcome=Outcome)
    cpdef object on_done(self, Upstream upstream)
    cdef object _note_late_error(self, Upstream upstream)
    @cython.locals(attempt=Attempt, context=WorkerContext, state=int, is_kept=bint, now=double)
    cpdef object on_body_stalls(self)
