from ccrelay.fleet.provider_state cimport ProviderState


cdef class Candidate:
    cdef readonly ProviderState provider
    cdef readonly str asked
    cdef readonly str sent
    cdef readonly bytes splice
    cdef readonly bint estimates
    cdef readonly bint rewrites
    cdef readonly int group
    cdef readonly object price
    cdef object _slots

    cpdef bint holds(self, int slot)
