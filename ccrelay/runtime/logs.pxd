cimport cython

from ccrelay._fast.log_line cimport JsonLine
from ccrelay._fast.row_line cimport RowLine
from ccrelay.runtime.line_writer cimport LineWriter


cdef class _Timestamp:
    cdef object _now
    cdef object _format
    cdef object _to_struct
    cdef bint _has_millis
    cdef double _second
    cdef bytes _second_text
    cdef public int day
    cdef public bytes text
    cdef public double starts_at
    cdef public double ends_at

    @cython.locals(now=double)
    cpdef bytes read(self)
    @cython.locals(second=double, millis=int)
    cpdef bytes refresh(self, double now)


cdef class _Lines:
    cdef public bint folds

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
    cdef object _now
    cdef _Timestamp _clock
    cdef str _worker
    cdef bint _tells_days
    cdef int _day
    cdef object _style
    cdef RowLine _row
    cdef double _laid_out_at
    cdef object _bursts

    @cython.locals(clock=_Timestamp, row=RowLine, text=bytes, lines=bytes)
    cpdef bytes exchange(self, object entry)


cdef class LogWriter:
    cdef int _threshold
    cdef bint _exchanges
    cdef object _owned_fd
    cdef _Lines _lines
    cdef LineWriter _writer
    cdef object _call_later
    cdef bint _is_looking

    @cython.locals(line=bytes)
    cpdef object exchange(self, object entry)
