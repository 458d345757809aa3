cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.log_line cimport LogLine
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.route_table cimport Route
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _OTHER_V1
cdef list _ENDINGS, _CLASSES, _KINDS


cdef class AccessLogEntry:
    cdef str _exchange_id
    cdef ClientRequest _client
    cdef Route _route
    cdef RoutingRequest _request
    cdef Attempt _attempt
    cdef Outcome _outcome
    cdef double _now

    @cython.locals(
        client=ClientRequest, outcome=Outcome, down=Downstream, attempt=Attempt,
        request=RoutingRequest, route=Route, received_at=double, candidate=Candidate,
    )
    cpdef object write(self, LogLine line)
    @cython.locals(outcome=Outcome, attempt=Attempt, usage=Usage, upstream=Upstream)
    cdef object _write_upstream(self, LogLine line, double received_at)
