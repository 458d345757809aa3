cimport cython

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.record_ring cimport RecordRing
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef bytes _NOTHING, _NO_CHOICE, _NO_LISTS
cdef int _MEMBERS, _TRY_MEMBERS, _WINDOW_MEMBERS


@cython.locals(
    down=Downstream, received_at=double, session=str, agent=str, project=str, trace=str,
)
cpdef bint write_record(
    RecordRing ring, object wall, str exchange_id, ClientRequest client, Route route,
    RoutingRequest request, Attempt attempt, Outcome outcome, double now,
    tuple asker
) except -1


@cython.locals(candidate=Candidate, target=Target)
cdef object _write_target(RecordRing ring, Attempt attempt)


@cython.locals(upstream=Upstream, usage=Usage, head_s=double, first_event_s=double)
cdef object _write_answer(
    RecordRing ring, Attempt attempt, Outcome outcome, double received_at
)


cdef object _write_cost(RecordRing ring, Outcome outcome)


cdef object _write_choice(
    RecordRing ring, Route route, RoutingRequest request, Outcome outcome
)


cdef object _write_targets(RecordRing ring, Route route, Outcome outcome)


cdef object _write_tries(RecordRing ring, list tries)


cdef object _write_windows(RecordRing ring, list windows)
