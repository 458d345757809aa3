cimport cython
from libc.stdint cimport int64_t


cdef class LineWriter:
    cdef int _fd
    cdef object _report
    cdef int64_t _write_bytes
    cdef object _lines
    cdef object _append
    cdef object _wakeups
    cdef int64_t _put_bytes
    cdef int64_t _dropped
    cdef bint _closing
    cdef int64_t _written_bytes
    cdef int64_t _reported
    cdef bint _is_woken
    cdef bint _is_urgent
    cdef object _thread

    @cython.locals(put_bytes=int64_t)
    cpdef object put(self, bytes line)
    cpdef object flush_soon(self)
    cdef bint _has_room(self, int64_t put_bytes)
