cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding
from ccrelay._fast.http1 cimport Head
from ccrelay._fast.rate_limits cimport Reservation
from ccrelay._fast.sse cimport SseTap
from ccrelay._fast.taps cimport Taps
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage, stop_reason_of, usage_of_stream
from ccrelay.fleet.provider_state cimport Target
from ccrelay.ledger.tariff cimport Tariff
from ccrelay.relay cimport affinity
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.outcome cimport Outcome
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _MESSAGES, _COMPLETE, _CLIENT_LEFT, _WHOLE, _AUTHORIZATION
cdef int _UNKNOWN, _TOKENS, _PLAN, _FREE


@cython.locals(taps=Taps, usage=Usage, sse=SseTap, delta=bytes)
cpdef object read_usage(Upstream upstream, Outcome outcome)


@cython.locals(candidate=Candidate, usage=Usage, tariff=Tariff, binding=Binding)
cpdef object charge(
    ClientRequest client, RoutingRequest request, Attempt attempt, Outcome outcome
)


@cython.locals(head=Head)
cdef int _billing_of(ClientRequest client, Target target) except? -1


cpdef bint is_trial(object ticket)


@cython.locals(
    reservation=Reservation, target=Target, now=double, sse=SseTap, usage=Usage,
    candidate=Candidate,
)
cpdef object on_content(
    WorkerContext context, RuntimeConfig config, Attempt attempt, Outcome outcome,
    Upstream upstream
)


@cython.locals(candidate=Candidate)
cpdef object end_trial(WorkerContext context, Attempt attempt)


@cython.locals(head=object)
cpdef object learn_limits(
    WorkerContext context, RuntimeConfig config, Target target, Outcome outcome,
    Upstream upstream
)


@cython.locals(
    usage=Usage, upstream=Upstream, target=Target, output_class=int, first_at=double,
)
cpdef object settle(
    WorkerContext context, RuntimeConfig config, Route route, RoutingRequest request,
    Attempt attempt, Outcome outcome, double now, str exchange_id
)


@cython.locals(usage=Usage, tokens_in=int64_t, tokens_out=int64_t)
cdef object _finish(
    WorkerContext context, RoutingRequest request, Attempt attempt, Outcome outcome, double now
)


cdef bint _is_answered(Outcome outcome) except? -1


cdef int64_t _unreported_input(RoutingRequest request, Attempt attempt, Outcome outcome) except? -1
