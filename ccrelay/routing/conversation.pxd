cimport cython

from ccrelay._fast.affinity_table cimport AffinityTable, Binding
from ccrelay.fleet.provider_state cimport Target
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _MAIN, _COMPACTION, _FOREIGN, _MARKS


@cython.locals(binding=Binding)
cpdef object find_conversation(
    AffinityTable table, dict targets, bint is_sticky, Route route, RoutingRequest request,
    bytes session, bytes agent
)


cdef object _find_thread(
    AffinityTable table, Route route, RoutingRequest request, bytes session, bytes agent
)


@cython.locals(known=Target, found=Binding)
cdef object _find_for_model(
    AffinityTable table, dict targets, Route route, RoutingRequest request, bytes session,
    Binding binding
)
