"""One line of the access log, written member by member. The contract."""

from libc.stdint cimport int64_t


cdef class LogLine:
    # Takes members in order; a subclass gives them a form. Names are plain ASCII.
    cpdef object text(self, bytes name, object value)          # a str, or None
    cpdef object token(self, bytes name, str value)            # ASCII of ours: nothing to escape
    cpdef object count(self, bytes name, int64_t value)
    cpdef object millis(self, bytes name, double seconds)      # as milliseconds, three decimals
    cpdef object flag(self, bytes name)                        # true


cdef class LineBuffer(LogLine):
    cdef char* data
    cdef Py_ssize_t size, cap

    cpdef object begin(self, bytes prefix)
    cpdef bytes finish(self)
    cdef int member(self, bytes name) except -1
    cdef int room(self, Py_ssize_t n) except -1
    cdef int add(self, const char* p, Py_ssize_t n) except -1
    cdef int add_bytes(self, bytes data) except -1
    cdef int add_quoted(self, const char* p, Py_ssize_t n) except -1
    cdef int add_integer(self, int64_t value) except -1
    cdef int add_millis(self, double seconds) except -1


cdef class JsonLine(LineBuffer):
    cdef bint is_first


cdef class DictLine(LogLine):
    cdef readonly dict members


# The macros of CPython's headers read any object as a str.
cdef int check_text(object value) except -1
