"""A bounded table of short texts that expire, shared by all workers: contract and layout.

A head of eight words, the first of which counts changes, then NOTES entries. The last word of an
entry is a checksum over the others: an entry that two writers interleaved, or that a killed one
left half written, fails it and counts as absent. Writes are rare; a lost one is written again.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.shared_memory cimport SharedMemory


cdef enum:
    HEAD_WORDS = 8
    NOTES = 256

    # words of an entry
    N_EXPIRES = 0                  # microseconds since 1970: it outlives the machine's uptime
    N_LENGTH = 1                   # bytes of the text; 0: the entry is empty
    N_TEXT = 2                     # 29 words
    N_SUM = 31
    N_WORDS = 32

cpdef enum:
    NOTE_BYTES_MAX = 232           # (N_SUM - N_TEXT) * 8


cdef class NoteTable:
    cdef SharedMemory memory       # keeps the memory mapped
    cdef int64_t* head

    cdef int64_t* _entry(self, int index) noexcept
    cdef bint _copied(self, int index, int64_t* copy) noexcept
    cdef int _place(self, bytes text, int64_t now) except -1
