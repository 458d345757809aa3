cimport cython

from ccrelay._fast.rate_limits cimport Reservation
from ccrelay.fleet.provider_state cimport Target
from ccrelay.routing.candidate cimport Candidate

cdef int _UNKNOWN, _LAST_RESORT


cdef class Selection:
    cdef readonly Candidate candidate
    cdef readonly Target target
    cdef readonly Reservation reservation
    cdef readonly object ticket
    cdef public int why


cdef class Unavailable:
    cdef readonly double until
    cdef readonly bint bound
    cdef readonly str why


@cython.locals(selection=Selection)
cpdef object as_last_resort(object found)


@cython.locals(selection=Selection)
cpdef Selection selected(
    Candidate candidate, Target target, Reservation reservation, object ticket
)
