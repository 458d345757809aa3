from ccrelay.fleet.provider_state cimport ProviderState
from ccrelay.ledger.tariff cimport Tariff


cdef class Candidate:
    cdef readonly ProviderState provider
    cdef readonly str asked
    cdef readonly str sent
    cdef readonly bytes splice
    cdef readonly bint estimates
    cdef readonly bint rewrites
    cdef readonly bint bridges
    cdef readonly int group
    cdef readonly int billing
    cdef readonly object price
    cdef readonly Tariff tariff
    cdef readonly list names
    cdef readonly list packed
    cdef object _slots

    cpdef bint holds(self, int slot)
