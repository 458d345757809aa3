cimport cython

from ccrelay._fast.log_line cimport JsonLine, TextLine
from ccrelay.runtime.line_writer cimport LineWriter


cdef class _Timestamp:
    cdef object _now
    cdef object _format
    cdef object _to_struct
    cdef double _second
    cdef bytes _second_text
    cdef public bytes text
    cdef public double starts_at
    cdef public double ends_at

    @cython.locals(now=double)
    cpdef bytes read(self)
    @cython.locals(second=double, millis=int)
    cpdef bytes refresh(self, double now)


cdef class _Lines:
    cpdef bytes exchange(self, object entry)


cdef class JsonLines(_Lines):
    cdef object _dumps
    cdef object _options
    cdef _Timestamp _clock
    cdef bytes _worker
    cdef bytes _exchange
    cdef JsonLine _line

    cpdef bytes exchange(self, object entry)


cdef class TextLines(_Lines):
    cdef _Timestamp _clock
    cdef str _worker
    cdef bytes _exchange
    cdef TextLine _line

    cpdef bytes exchange(self, object entry)


cdef class LogWriter:
    cdef int _threshold
    cdef bint _exchanges
    cdef object _owned_fd
    cdef _Lines _lines
    cdef LineWriter _writer

    cpdef object exchange(self, object entry)
