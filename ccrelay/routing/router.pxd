cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding
from ccrelay._fast.key_pool cimport KeyPool
from ccrelay._fast.rate_limits cimport Reservation, TargetLimits
from ccrelay.fleet.breaker cimport Breaker
from ccrelay.fleet.provider_state cimport ProviderState, Target
from ccrelay.routing.availability cimport any_closed, is_ready, ready_at, soonest
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest
from ccrelay.routing.selection cimport Selection, Unavailable, as_last_resort, selected

cdef int _READY, _COUNT_TOKENS, _MAIN


cdef class Router:
    cdef double _queue_timeout_s
    cdef double _affinity_wait_s
    cdef bint _panics

    cpdef object choose(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng,
        bint stays=*, object held=*
    )
    @cython.locals(candidate=Candidate, target=Target)
    cdef tuple _sticky(self, Route route, RoutingRequest request, RetryState retry_state)
    @cython.locals(candidate=Candidate, target=Target, selection=Selection)
    cdef object _select_sticky(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng, object held
    )
    @cython.locals(until=double, moves_at=double)
    cdef Unavailable _worth_waiting(
        self, Candidate candidate, Target target, RoutingRequest request, bint is_held
    )
    cdef object _weigh(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng,
        object held, bint stays
    )
    @cython.locals(candidate=Candidate, selection=Selection, available=list)
    cdef Selection _select_any(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng
    )
    @cython.locals(candidate=Candidate, provider=ProviderState)
    cdef list _available(self, Route route, RoutingRequest request, RetryState retry_state)
    @cython.locals(provider=ProviderState, index=int)
    cdef bint _has_key(
        self, Candidate candidate, RoutingRequest request, RetryState retry_state
    ) except? -1
    @cython.locals(provider=ProviderState, target=Target)
    cdef int _key_of(
        self, Binding binding, Candidate candidate, RetryState retry_state
    ) except? -1
    @cython.locals(provider=ProviderState, index=int, selection=Selection)
    cdef Selection _select_key(
        self, Candidate candidate, RoutingRequest request, RetryState retry_state, object rng
    )
    @cython.locals(key_pool=KeyPool, index=int)
    cdef int _preferred_key(
        self, ProviderState provider, RoutingRequest request, object rng
    ) except? -1
    @cython.locals(breaker=Breaker, binding=Binding, reservation=Reservation, need=int64_t)
    cdef Selection _acquire(
        self, Candidate candidate, Target target, RoutingRequest request, object rng
    )
    @cython.locals(candidate=Candidate, selection=Selection)
    cdef object _last_resort(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng
    )
    @cython.locals(unavailable=Unavailable)
    cdef object _wait_or_ask(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng, bint waits
    )
    @cython.locals(candidate=Candidate, target=Target, selection=Selection)
    cdef object _ask_anyway(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng
    )
    cdef double _ends_at(self, RoutingRequest request) except? -1
    @cython.locals(candidate=Candidate, target=Target, selection=Selection)
    cdef Selection _unlimited(
        self, Route route, RoutingRequest request, RetryState retry_state, object rng
    )
    cdef Selection _another_key(
        self, Candidate candidate, RoutingRequest request, RetryState retry_state, object rng
    )
    @cython.locals(candidate=Candidate, target=Target, index=int)
    cdef Selection _panic(self, Route route, RoutingRequest request, object rng)
