"""An outgoing request: head, body and the splice in the body. The contract."""

from libc.stdint cimport int64_t
from posix.uio cimport iovec

from ccrelay._fast.body cimport RequestBody
from ccrelay._fast.conn cimport Conn

cdef enum:
    PARTS_MAX = 4            # head, body before the splice, splice, body behind it


cdef class Outgoing:
    cdef bytes head
    cdef Py_ssize_t head_at
    cdef bytes own             # a rewritten body; None: the client's bytes
    cdef RequestBody body      # the client's
    cdef int64_t at            # next byte of the body, in the body's own offsets
    cdef int64_t splice_from, splice_to
    cdef bytes splice          # None: none, or completely sent
    cdef Py_ssize_t splice_at
    cdef readonly bint done    # every byte is sent or queued

    cdef void begin(self, bytes head, RequestBody body, bytes own) noexcept
    cdef void splice_at_span(self, bytes value, int64_t start, int64_t end) noexcept
    cdef Py_ssize_t gather(self, iovec* parts, int* count) noexcept
    cdef int push(self, Conn conn) except -2
    cdef void advance(self, Py_ssize_t n) noexcept
    cdef bint waits_for_client(self) noexcept
    cdef bint finished(self) noexcept
    cdef void clear(self) noexcept
