from ccrelay.fleet.provider_state cimport ProviderState, Target


cdef class RetryState:
    cdef public int count
    cdef readonly int waits
    cdef readonly bint was_told_when
    cdef readonly Target last
    cdef readonly list targets
    cdef public list failed
    cdef public str why
    cdef dict _masks

    cpdef object exclude(self, ProviderState provider)
    cpdef object mask(self, ProviderState provider)
