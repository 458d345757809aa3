from ccrelay._fast.rate_limits cimport Reservation
from ccrelay.fleet.provider_state cimport Target
from ccrelay.routing.candidate cimport Candidate


cdef class Selection:
    cdef readonly Candidate candidate
    cdef readonly Target target
    cdef readonly Reservation reservation
    cdef readonly object ticket


cdef class Unavailable:
    cdef readonly double until
    cdef readonly bint bound
    cdef readonly str why
