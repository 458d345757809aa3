from libc.stdint cimport int64_t

from ccrelay._fast.affinity_table cimport AffinityTable
from ccrelay._fast.conn cimport Reactor
from ccrelay._fast.endpoint_stats cimport RetryBudget
from ccrelay._fast.record_ring cimport RecordRing
from ccrelay.fleet.estimate cimport Estimator
from ccrelay.relay.runtime_config cimport RuntimeConfig
from ccrelay.relay.totals cimport Totals


cdef class WorkerContext:
    cdef readonly Reactor reactor
    cdef public object log
    cdef readonly set noted
    cdef readonly object notices
    cdef public object rng
    cdef public object wall
    cdef readonly AffinityTable affinity
    cdef readonly RetryBudget budget
    cdef readonly object queue
    cdef readonly dict queued
    cdef readonly object worker
    cdef readonly str id_prefix
    cdef readonly Estimator estimator
    cdef public int64_t served
    cdef readonly Totals totals
    cdef readonly set active
    cdef public RecordRing records
    cdef readonly object loop
    cdef public object refused
    cdef public RuntimeConfig config

    cpdef int64_t next_serial(self)
    cpdef str id_of(self, int64_t serial)
