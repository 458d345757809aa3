cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.http1 cimport Head
from ccrelay._fast.row_line cimport RowLine
from ccrelay._fast.upstream cimport Upstream
from ccrelay._fast.usage cimport Usage
from ccrelay.fleet.provider_state cimport Target
from ccrelay.relay.attempt cimport Attempt
from ccrelay.relay.client_request cimport ClientRequest
from ccrelay.relay.outcome cimport Outcome
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.routing_request cimport RoutingRequest

cdef int _SESSION, _SESSION_SHOWN, _COUNT_TOKENS, _OTHER_V1
cdef int _OK, _PASSED_ON, _REFUSED, _FREE, _PLAN
cdef int _GOOD, _HANDLED, _BROKEN
cdef bytes _PROJECT
cdef list _KINDS, _CLASSES, _WORDS, _TONES
cdef dict _short
cdef double _WAIT_SHOWN_S
cdef int _OUTCOME_COLUMNS, _COST


cpdef str short_model(str name)


@cython.locals(received_at=double)
cpdef bint write(
    RowLine row, bytes clock, str exchange_id, ClientRequest client, RoutingRequest request,
    Attempt attempt, Outcome outcome, double now,
) except? -1


cpdef int tone(Outcome outcome) except -1


@cython.locals(head=Head, name=bytes, word=str)
cdef object _what(RowLine row, ClientRequest client, RoutingRequest request)


@cython.locals(asked=str, sent=str, candidate=Candidate)
cdef object _model(RowLine row, ClientRequest client, Attempt attempt)


@cython.locals(target=Target, provider=str, key=str)
cdef object _target(RowLine row, Attempt attempt, Outcome outcome)


@cython.locals(result=int, status=int)
cdef object _outcome(RowLine row, Outcome outcome)


@cython.locals(upstream=Upstream)
cdef object _first(RowLine row, Attempt attempt, double received_at)


@cython.locals(usage=Usage, cached=int64_t, read=int64_t)
cdef object _tokens(RowLine row, Outcome outcome)


@cython.locals(usage=Usage, micros=int64_t)
cdef object _cost(RowLine row, ClientRequest client, Outcome outcome)
