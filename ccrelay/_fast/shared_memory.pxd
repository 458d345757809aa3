"""The shared memory of all workers: a header, then four regions of 64-bit words.

    header | fleet | targets: TARGET_WORDS + one column a worker | endpoints | places

A worker writes its own column and nobody else's; every other word is changed by compare-and-swap or
atomic addition only, so that a process killed at any instant leaves words that make sense.
"""

from libc.stdint cimport int64_t


cdef extern from "shared.h" nogil:
    int64_t word_get(const int64_t* p) noexcept
    void word_set(int64_t* p, int64_t v) noexcept
    int64_t word_add(int64_t* p, int64_t v) noexcept
    bint word_swap(int64_t* p, int64_t old, int64_t fresh) noexcept


cdef enum:
    HEADER_WORDS = 64
    FLEET_WORDS = 64               # retry budget
    TARGET_WORDS = 448             # target.pxd: generation, rest, limits learned, three rings
    ENDPOINT_WORDS = 112           # pulse.pyx: breaker words, outcome ring, averages
    PLACE_WORDS = 8                # places.pyx: one conversation


cdef class SharedMemory:
    cdef int64_t* base
    cdef size_t bytes
    cdef readonly int workers, targets, endpoints, places
    cdef readonly int worker       # whose column this process writes; -1: none, it only reads

    cdef int64_t* fleet(self) noexcept
    cdef int64_t* target(self, int slot) noexcept          # TARGET_WORDS, then the columns
    cdef int64_t* endpoint(self, int slot) noexcept        # ENDPOINT_WORDS
    cdef int64_t* place(self, int index) noexcept          # PLACE_WORDS
    cdef int64_t* _region(self, int number) noexcept


cdef inline int64_t micros(double seconds) noexcept:
    """Instants and spans are kept in microseconds of the monotonic clock, one for all processes."""
    return <int64_t>(seconds * 1e6)
