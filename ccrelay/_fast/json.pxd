"""Streaming scan for top-level members of a JSON object. The contract."""

from libc.stdint cimport int64_t

cdef enum:
    SLOTS_MAX = 8
    GUARDED_MAX = 16
    KEY_MAX = 256            # raw bytes of a key; a longer one never matches

cpdef enum ScanState:
    SCANNING = 0             # more bytes are needed
    COMPLETE = 1             # the object is closed; only whitespace may follow
    INVALID = -1             # not one JSON object (top-level grammar, balanced brackets below)


ctypedef struct Capture:
    int64_t start            # offset of the value's first byte in the document, -1: not seen
    int64_t end              # offset after its last byte, -1: incomplete
    int seen                 # occurrences of this member so far
    int size                 # captured bytes (first occurrence)
    int cap
    bint overflow            # value over the limit: the span is valid, bytes are not kept
    char* data


cdef class MemberKeys:
    # The wanted member names, compiled once; a name's slot is its position in the list.
    cdef int count
    cdef int captured                  # values are kept of the first so many names
    cdef tuple names                   # str
    # private
    cdef tuple encoded                 # the names in UTF-8; `text` points into them
    cdef const char* text[SLOTS_MAX]
    cdef Py_ssize_t size[SLOTS_MAX]
    cdef int guarded_count
    cdef tuple guarded
    cdef const char* guarded_text[GUARDED_MAX]
    cdef Py_ssize_t guarded_size[GUARDED_MAX]

    # whether a decoded key is a guarded name in another case
    cdef bint guards(self, const char* key, Py_ssize_t n) noexcept
    # slot of a decoded key, -1: not wanted
    cdef int find(self, const char* key, Py_ssize_t n) noexcept


cdef class MemberScan:
    # One document. Nested values are skipped, not decoded: quotes, escapes and brackets only.
    cdef readonly int state            # ScanState
    cdef readonly int64_t offset       # bytes consumed so far
    cdef readonly bint other_case      # a guarded name has occurred in another case
    cdef readonly int64_t elements     # commas and opening brackets so far: items and members
    cdef MemberKeys keys
    cdef Capture slots[SLOTS_MAX]
    cdef int capture_max               # bytes kept per value
    # private
    cdef int step                      # where in the grammar of the top level
    cdef int slot                      # slot of the current member, -1: not wanted
    cdef bint keeping                  # its value is being captured: the first, within the limit
    cdef bint escaped                  # the next byte of the current string is escaped
    cdef bint in_string                # inside a string of a nested value
    cdef int depth                     # containers open inside the value
    cdef char closer                   # bracket that ends the value
    cdef const char* literal           # rest of true, false or null
    cdef int key_size                  # raw bytes so far; over KEY_MAX: too long
    cdef bint key_escaped              # the key has a backslash
    cdef char key[KEY_MAX]

    cdef int feed(self, const char* p, Py_ssize_t n) noexcept   # -> state
    cpdef void reset(self) noexcept            # ready for the next document
    # raw JSON bytes of the first occurrence; None: absent, incomplete or too long
    cpdef bytes value(self, int slot)
    cpdef tuple span(self, int slot)   # (start, end) or None
    cpdef int seen(self, int slot) except -1
    cdef bint ready(self, int slot) noexcept   # value complete
    cpdef bint is_too_deep(self) noexcept
