cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.asker cimport texts_of
from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.log_line cimport LogLine
from ccrelay._fast.row_line cimport RowLine
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _OTHER_V1
cdef list _ENDINGS, _CLASSES, _KINDS, _WHY


cdef class AccessLogEntry:
    cdef str _exchange_id
    cdef ClientRequest _client
    cdef Route _route
    cdef RoutingRequest _request
    cdef Attempt _attempt
    cdef Outcome _outcome
    cdef double _now
    cdef tuple _asker

    cpdef object fill(
        self, str exchange_id, ClientRequest client, Route route, RoutingRequest request,
        Attempt attempt, Outcome outcome, double now, tuple asker
    )
    @cython.locals(
        client=ClientRequest, outcome=Outcome, down=Downstream, attempt=Attempt,
        received_at=double, candidate=Candidate,
    )
    cpdef object write(self, LogLine line)
    @cython.locals(outcome=Outcome, request=RoutingRequest, route=Route)
    cdef object _write_choice(self, LogLine line)
    @cython.locals(asker=tuple, session=str, agent=str, project=str)
    cdef object _write_asker(self, LogLine line)
    @cython.locals(outcome=Outcome, attempt=Attempt, usage=Usage, upstream=Upstream)
    cdef object _write_upstream(self, LogLine line, double received_at)
    cpdef bint row(self, RowLine row, bytes clock) except? -1
