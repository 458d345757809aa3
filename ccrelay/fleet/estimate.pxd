cimport cython
from libc.stdint cimport int64_t

from ccrelay._fast.usage cimport Usage


cdef class ModelEstimate:
    cdef public double bytes_per_token
    cdef public list outputs
    cdef public list tokens_out

    cpdef int64_t tokens_in(self, int64_t body_bytes)


cdef class Estimator:
    cdef dict _known

    cpdef ModelEstimate of(self, str model)
    @cython.locals(known=ModelEstimate, total=int64_t, output=int64_t)
    cpdef object learn(self, str model, int64_t body_bytes, Usage usage, int output_class)
