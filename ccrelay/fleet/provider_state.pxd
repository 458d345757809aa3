from libc.stdint cimport int64_t

from ccrelay._fast.head_writer cimport RequestPlan
from ccrelay._fast.key_pool cimport KeyPool
from ccrelay._fast.rate_limits cimport TargetLimits
from ccrelay._fast.refusals cimport Refusals
from ccrelay.fleet.endpoint cimport Endpoint


cdef class ProviderState


cdef class Target:
    cdef readonly ProviderState provider
    cdef readonly int index
    cdef public TargetLimits limits
    cdef readonly Refusals refusals
    cdef readonly int slot
    cdef public double learn_at
    cdef readonly object weight
    cdef readonly object priority
    cdef readonly str fingerprint
    cdef readonly str name
    cdef readonly object seed
    cdef public bint limited
    cdef object _secret
    cdef readonly object credential
    cdef public double lacks_until
    cdef dict _decoded
    cdef readonly RequestPlan plan
    cdef readonly RequestPlan plan_no_key
    cdef readonly RequestPlan plan_no_bearer

    cpdef RequestPlan decoded_plan(self, RequestPlan plan)


cdef class ProviderState:
    cdef readonly object config
    cdef readonly str name
    cdef readonly object weight
    cdef readonly object priority
    cdef readonly object seed
    cdef public double turn
    cdef readonly object dialect
    cdef readonly Endpoint endpoint
    cdef readonly list targets
    cdef readonly KeyPool key_pool
    cdef public bint limited
    cdef readonly bint passes_client_credential
    cdef readonly bint translates_errors
    cdef readonly bint repairs_stream
    cdef readonly bint bridges
    cdef public double clock_skew_s
    cdef public double clock_read_at
    cdef readonly dict client_cooldowns
    cdef readonly bint validates
    cdef int _key_strategy

    cpdef int pick(self, object rng)
    cpdef bint usable(self, double now)
    cpdef bint cools_down(self, object credential, double now)
    cpdef object cool_down_client(self, object credential, double until)
