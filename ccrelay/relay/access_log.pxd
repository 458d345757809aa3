cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest


@cython.locals(
    down=Downstream, received_at=double, target=Target, candidate=Candidate, upstream=Upstream,
    usage=Usage, line=dict,
)
cpdef dict entry(
    str exchange_id, ClientRequest client, Route route, RoutingRequest request, Attempt attempt,
    Outcome outcome, double now
)


cdef double _ms(double seconds)
