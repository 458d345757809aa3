cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding
from ccrelay.fleet.breaker cimport Breaker
from ccrelay.fleet.provider_state cimport ProviderState, Target
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection, Unavailable

cdef int _READY, _TIGHT, _COUNT_TOKENS, _ONLY, _AFFINITY, _STRATEGY


@cython.locals(state=int, need=int64_t)
cpdef bint is_ready(Candidate candidate, Target target, RoutingRequest request) except? -1


@cython.locals(breaker=Breaker, at=double, need=int64_t)
cpdef double ready_at(
    Candidate candidate, Target target, RoutingRequest request, bint anyway
) except? -1


@cython.locals(at=double)
cpdef double sticky_ready_at(
    Candidate candidate, Target target, RoutingRequest request
) except? -1


@cython.locals(candidate=Candidate, target=Target)
cpdef bint any_closed(Route route, RoutingRequest request, double ends_at) except? -1


@cython.locals(
    candidate=Candidate, target=Target, until=double, at=double, is_tight=bint, is_free=bint,
    rests=bint,
)
cpdef Unavailable soonest(
    Route route, RoutingRequest request, RetryState retry_state, bint anyway
)


@cython.locals(found=Unavailable)
cpdef Unavailable wait(Route route, RoutingRequest request, RetryState retry_state)


@cython.locals(need=int64_t, state=int)
cpdef bint is_tight_for(
    Candidate candidate, Target target, RoutingRequest request
) except? -1


@cython.locals(need=int64_t, state=int)
cpdef str state_of(Candidate candidate, Target target, RoutingRequest request)


@cython.locals(binding=Binding)
cpdef int why_taken(Route route, RoutingRequest request, Selection selection) except? -1


@cython.locals(candidate=Candidate, target=Target, found=list, why=str)
cpdef str passed_over(
    Route route, RoutingRequest request, RetryState retry_state, Target taken
)


@cython.locals(candidate=Candidate, provider=ProviderState)
cdef bint _all_are_fine(Route route, RoutingRequest request) except -1
