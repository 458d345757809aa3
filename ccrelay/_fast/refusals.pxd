"""Refusals of a target's credential by its provider; see refusals.pyi."""

from libc.stdint cimport int64_t

from ccrelay._fast.rate_limits cimport TargetLimits


cdef class Refusals:
    cdef TargetLimits limits
    cdef int64_t* words            # the target's

    cpdef int64_t count(self)
    cdef bint disabled(self) noexcept
