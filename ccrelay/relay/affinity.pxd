cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport AffinityTable, Binding
from ccrelay._fast.usage cimport Usage
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.routing.conversation cimport find_conversation
from ccrelay.routing.retry_state cimport RetryState
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _MESSAGES, _MAIN, _COMPACTION, _FOREIGN, _UNSIGNED, _MODEL_BITS, _HYPHEN


@cython.locals(value=bytes)
cpdef bytes session_of(ClientRequest client)


@cython.locals(session=bytes, agent=bytes)
cpdef bint find(
    WorkerContext context, RuntimeConfig config, ClientRequest client, Route route,
    RoutingRequest request
)


cpdef bint is_side_call(RoutingRequest request, Binding binding)


@cython.locals(target=Target, binding=Binding, flags=int)
cpdef object bind(
    WorkerContext context, RuntimeConfig config, ClientRequest client, Route route,
    RoutingRequest request, Attempt attempt, RetryState retry_state
)


@cython.locals(validates=bint)
cpdef object begin(WorkerContext context, RoutingRequest request, Attempt attempt, double now)


@cython.locals(
    target=Target, binding=Binding, flags=int, prefix=int64_t, size=int64_t, cached=int64_t,
    tag=int, seen_at=double, ttl_s=double, moved=bint, is_aside=bint,
)
cpdef bint update(
    WorkerContext context, Route route, RoutingRequest request, Attempt attempt, Usage usage,
    double now, str exchange_id
)


@cython.locals(flags=int)
cdef int _flags_of(RoutingRequest request, Attempt attempt, Binding binding) except? -1


@cython.locals(prefix=int64_t, cached=int64_t, size=int64_t, tag=int)
cdef tuple _turn_of(
    Route route, RoutingRequest request, Usage usage, Binding binding, bint is_aside
)


cdef object _keep_cache(
    WorkerContext context, Route route, RoutingRequest request, Attempt attempt, Usage usage,
    double now
)


cdef int64_t _prompt_of(Usage usage) except? -1


cdef int64_t _cached_of(Usage usage) except? -1


cdef double _ttl_of(Usage usage, Binding binding) except? -1
