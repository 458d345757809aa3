"""Top-level members of a JSON object, found while its bytes stream by. The contract."""

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    SLOTS_MAX = 8

cpdef enum ScanState:
    SCANNING = 0             # more bytes are needed
    COMPLETE = 1             # the object is closed; only white space may follow
    INVALID = -1             # not one JSON object (grammar of the top level, balance of what is nested)


ctypedef struct Capture:
    int64_t start            # offset of the value's first byte in the document, -1: not seen
    int64_t end              # offset behind its last byte, -1: not finished
    int seen                 # how often this member has occurred (duplicates: > 1)
    int size                 # captured bytes (first occurrence)
    int cap
    bint overflow            # value longer than the limit: span is right, bytes are not kept
    char* data


cdef class MemberKeys:
    # The wanted member names, compiled once: slot number = position in the list given.
    cdef int count
    cdef tuple names
    # ... private layout


cdef class MemberScan:
    # One document. Nested values are skipped, not decoded: quotes, escapes and brackets only.
    cdef readonly int state            # ScanState
    cdef readonly int64_t offset       # bytes consumed so far
    cdef MemberKeys keys
    cdef Capture slots[SLOTS_MAX]
    cdef int capture_max               # bytes kept per value
    # ... private layout

    cdef int feed(self, const char* p, Py_ssize_t n) noexcept   # -> state
    cdef void reset(self) noexcept
    cpdef bytes value(self, int slot)  # raw JSON bytes of the first occurrence, None when absent, unfinished or too long
    cpdef tuple span(self, int slot)   # (start, end) or None
    cpdef int seen(self, int slot)
    cdef bint ready(self, int slot) noexcept   # value complete
