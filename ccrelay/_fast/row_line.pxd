"""Rows of the text log. The contract."""

from libc.stdint cimport int64_t

from ccrelay._fast.log_line cimport LineBuffer


cdef class RowLine(LineBuffer):
    # Columns of the cells that differ with the width of the terminal; 0: left out.
    cdef readonly int what, model, target, first, total, tokens, cost
    cdef readonly int row_columns
    cdef readonly bint is_coloured
    cdef bint is_utf8
    cdef bytes ellipsis
    cdef int ellipsis_columns
    cdef int tone
    # The cell that is open: its columns, those in use, and where an ellipsis would begin.
    cdef int columns, used, cut_columns
    cdef Py_ssize_t cut_at
    cdef bint is_cut

    cpdef object start(self, bytes clock, int tone)
    cpdef object indent(self)
    cpdef object end_row(self)
    cpdef bytes take(self)
    cpdef object open(self, int columns)
    cpdef object close(self)
    cpdef object put(self, object text)
    cpdef object put_part(self, object text, int most)
    cpdef object put_count(self, int64_t value)
    cpdef object tone_on(self)
    cpdef object tone_off(self)
    cpdef object put_seconds(self, double seconds)
    cpdef object put_tokens(self, int64_t read, int64_t written, int64_t cached)
    cpdef object put_dollars(self, int64_t micros, bint by_plan)
    cpdef object put_right(self, bytes text, int columns)
    cdef int add_plain(self, const char* p, int n) except -1
    cdef int put_units(self, list units) except -1
    cdef int overflow(self) except -1
    cdef int right(self, const char* p, int n, int columns) except -1
