from ccrelay.routing.candidate cimport Candidate


cdef class Route:
    cdef readonly str model
    cdef readonly list candidates
    cdef readonly object strategy
    cdef readonly bint weighs_cache
    cdef readonly object rule
    cdef readonly dict by_slot
    cdef readonly tuple lone
    cdef readonly bint passes
    cdef readonly bytes entry
    cdef readonly bytes aside
    cdef readonly int tag
    cdef readonly str targets
    cdef readonly bytes packed_targets
    cdef readonly bytes packed_choice
    cdef public bint limited


cdef class RouteTable:
    cdef readonly list providers
    cdef readonly dict remembered
    cdef object _strategy_for_rule
    cdef dict _ruled

    cpdef Route of(self, bytes raw, str model)
    cpdef Route under(self, object rule, str asked)
