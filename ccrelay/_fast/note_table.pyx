# cython: language_level=3
"""Short texts that expire, shared by all workers. Contract: note_table.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ccrelay._fast.shared_memory cimport (
    NOTES_WORDS, SharedMemory, micros, word_add, word_get, word_set, word_swap,
)

cdef enum:
    READ_TRIES = 64                # a write takes some ten nanoseconds

# Odd: a word that moves or changes changes the sum.
cdef uint64_t FACTOR = 0x9E3779B97F4A7C15


cdef inline int64_t sum_of(const int64_t* entry) noexcept nogil:
    cdef uint64_t total = 1
    cdef int k
    for k in range(N_SUM):
        total = (total ^ <uint64_t>entry[k]) * FACTOR
        total ^= total >> 29
    return <int64_t>total


@cython.final
cdef class NoteTable:
    """See note_table.pyi."""

    def __init__(self, SharedMemory memory not None):
        assert NOTES_WORDS == HEAD_WORDS + NOTES * N_WORDS
        self.memory = memory
        self.head = memory.notes()

    cdef int64_t* _entry(self, int index) noexcept:
        return self.head + HEAD_WORDS + index * N_WORDS

    cdef bint _copied(self, int index, int64_t* copy) noexcept:
        """Copy a valid entry; False: it is empty, or two writers are at it."""
        cdef int64_t* entry = self._entry(index)
        cdef int _tries, k
        if word_get(entry + N_LENGTH) == 0:
            return False
        for _tries in range(READ_TRIES):
            for k in range(N_WORDS):
                copy[k] = word_get(entry + k)
            if copy[N_SUM] == sum_of(copy):
                return 0 < copy[N_LENGTH] <= NOTE_BYTES_MAX
        return False

    @property
    def changes(self):
        return word_get(self.head)

    def notes(self, double now):
        cdef int64_t[N_WORDS] copy
        cdef int index
        found = []
        for index in range(NOTES):
            if self._copied(index, copy) and copy[N_EXPIRES] > micros(now):
                text = (<const char*>(copy + N_TEXT))[:copy[N_LENGTH]]
                found.append((text, <double>copy[N_EXPIRES] / 1e6))
        return found

    def keep(self, bytes text not None, double now, double expires):
        cdef int64_t[N_WORDS] fresh
        cdef int64_t* entry
        cdef int k
        if not 0 < len(text) <= NOTE_BYTES_MAX:
            raise ValueError(f"a note of {len(text)} bytes")
        memset(fresh, 0, sizeof(fresh))
        fresh[N_EXPIRES] = micros(expires)
        fresh[N_LENGTH] = len(text)
        memcpy(fresh + N_TEXT, <const char*>text, len(text))
        fresh[N_SUM] = sum_of(fresh)
        entry = self._entry(self._place(text, micros(now)))
        for k in range(N_WORDS):
            word_set(entry + k, fresh[k])
        word_add(self.head, 1)

    cdef int _place(self, bytes text, int64_t now) except -1:
        """Where it stands already, else an entry that is free, else the one that expires first."""
        cdef int64_t[N_WORDS] copy
        cdef int64_t length = len(text)
        cdef int64_t best_expires = 0
        cdef int best = -1
        cdef int index
        for index in range(NOTES):
            if not self._copied(index, copy) or copy[N_EXPIRES] <= now:
                copy[N_EXPIRES] = 0
            elif copy[N_LENGTH] == length and not memcmp(copy + N_TEXT, <char*>text, length):
                return index
            if best < 0 or copy[N_EXPIRES] < best_expires:
                best = index
                best_expires = copy[N_EXPIRES]
        return best

    def forget(self, bytes start not None):
        cdef int64_t[N_WORDS] copy
        cdef int index
        cdef int found = 0
        for index in range(NOTES):
            if not self._copied(index, copy):
                continue
            if (<const char*>(copy + N_TEXT))[:copy[N_LENGTH]].startswith(start):
                # Unless it has been replaced meanwhile.
                found += word_swap(self._entry(index) + N_SUM, copy[N_SUM], ~copy[N_SUM])
        if found:
            word_add(self.head, 1)
        return found

    def __repr__(self):
        return f"<NoteTable of {self.memory!r}>"
