cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.head_writer cimport RequestPlan
from ccrelay._fast.rate_limits cimport Reservation
from ccrelay._fast.upstream cimport Upstream
from ccrelay.fleet.endpoint cimport Endpoint
from ccrelay.fleet.provider_state cimport Target
from ccrelay.routing.candidate cimport Candidate
from ccrelay.routing.selection cimport Selection


cdef class Attempt:
    cdef public Candidate candidate
    cdef public Target target
    cdef public Reservation reservation
    cdef public object ticket
    cdef public Upstream upstream
    cdef public RequestPlan plan
    cdef public bytes body
    cdef public object prepared
    cdef public int64_t serial
    cdef public double signed_at
    cdef public bint needs_new_connection
    cdef public object breaker_result
    cdef public object strip_thinking
    cdef public object move_reason
    cdef public Target moved_from
    cdef public bint finished
    cdef public double started_at
    cdef public bint noted

    cpdef object begin(
        self, Candidate candidate, Target target, Reservation reservation, object ticket
    )
    cpdef object settle_breaker(self, double now, object rng, object result)
    @cython.locals(reservation=Reservation, endpoint=Endpoint)
    cpdef bint finish(self, double now, object rng, int64_t tokens_in, int64_t tokens_out)
    cpdef object cancel(self, double now)


@cython.locals(attempt=Attempt)
cpdef Attempt attempt_on(Selection selection)
