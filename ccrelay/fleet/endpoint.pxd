from ccrelay._fast.endpoint_stats cimport EndpointStats
from ccrelay.fleet.breaker cimport Breaker


cdef class Endpoint:
    cdef readonly str name
    cdef readonly EndpointStats stats
    cdef public Breaker breaker

    cpdef bint available(self, double now)
