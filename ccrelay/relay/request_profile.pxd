cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport Binding
from ccrelay._fast.downstream cimport Downstream
from ccrelay.fleet.estimate cimport ModelEstimate
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay cimport affinity
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.context cimport WorkerContext
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _MESSAGES, _MODEL_BITS, _BACKGROUND, _WEB_SEARCH, _STREAM, _THINKING, _WHOLE


@cython.locals(head=object)
cpdef object match_rule(
    WorkerContext context, RuntimeConfig config, ClientRequest client, str model
)


@cython.locals(request=RoutingRequest)
cpdef RoutingRequest build(
    WorkerContext context, RuntimeConfig config, ClientRequest client, Route route,
    double queued_s
)


@cython.locals(
    down=Downstream, cache=Binding, known=ModelEstimate, size=int64_t, warm=int64_t,
    is_length_enough=bint,
)
cpdef bint estimate(
    WorkerContext context, ClientRequest client, Route route, RoutingRequest request,
    bint closely
)


@cython.locals(cache=Binding)
cdef object _count(RoutingRequest request, int64_t fresh, int64_t warm)


@cython.locals(binding=Binding, target=Target, need=int64_t)
cdef bint _harmless(Route route, RoutingRequest request) except? -1


cpdef bint estimate_closely(
    WorkerContext context, ClientRequest client, Route route, RoutingRequest request
)


cdef int64_t _tokens_of(ClientRequest client, ModelEstimate known, int64_t size) except? -1
