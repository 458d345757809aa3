from libc.stdint cimport int64_t

from ccrelay._fast.downstream cimport DownstreamLimits
from ccrelay._fast.token_guard cimport TokenGuard
from ccrelay.fleet.provider_state cimport Target
from ccrelay.routing.route_table cimport RouteTable
from ccrelay.routing.router cimport Router


cdef class RuntimeConfig:
    cdef readonly object config
    cdef public object listen
    cdef readonly list providers
    cdef readonly dict pools
    cdef public dict pool_keys
    cdef readonly object authenticator
    cdef readonly DownstreamLimits limits
    cdef public Router router
    cdef readonly object strategy
    cdef readonly object rules
    cdef readonly RouteTable routes
    cdef readonly bint affinity
    cdef readonly bint debug
    cdef readonly int64_t body_bytes_max
    cdef public int64_t queue_share
    cdef public object models_api
    cdef readonly dict by_slot
    cdef readonly Target only
    cdef readonly dict passthrough
    cdef readonly TokenGuard token_guard
