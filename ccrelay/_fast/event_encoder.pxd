"""Server-sent events to AWS's frames. The contract."""

from ccrelay._fast.buffer cimport Buffer


cdef class EventStreamEncoder:
    cdef Buffer line                   # one that is not here whole
    cdef Buffer data                   # of the event under way
    cdef bint after_cr                 # a LF now would belong to the line end before
    cdef bint has_data
    cdef bytes name

    # Appends to `out` the frames of what is whole. -1: an event is too long for a frame.
    cdef int push(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef Py_ssize_t held(self) noexcept

    cdef int _line(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef int _dispatch(self, Buffer* out) except -2
