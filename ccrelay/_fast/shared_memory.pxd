"""The shared memory of all workers: a header, then six regions of 64-bit words.

    header | shared | targets: TARGET_WORDS + a column a worker | endpoints | bindings | notes
        | rings: RING_WORDS and the ring's bytes a worker

A worker writes only its own column; all other words change by compare-and-swap or atomic addition.
So a process killed at any instant leaves every word valid.
"""

from libc.stdint cimport int64_t


cdef extern from "shared.h" nogil:
    int64_t word_get(const int64_t* p) noexcept
    void word_set(int64_t* p, int64_t v) noexcept
    int64_t word_add(int64_t* p, int64_t v) noexcept
    bint word_swap(int64_t* p, int64_t old, int64_t fresh) noexcept


cdef enum:
    HEADER_WORDS = 64
    SHARED_WORDS = 64               # shared by all targets: the retry budget
    TARGET_WORDS = 448             # target.pxd: generation, cooldowns, learned limits, three rings
    COLUMN_WORDS = 3               # target.pxd: what is in flight
    ENDPOINT_WORDS = 112           # endpoint_stats.pyx: breaker words, outcome ring, averages
    BINDING_WORDS = 8              # affinity_table.pyx: one conversation
    NOTES_WORDS = 8 + 256 * 32     # note_table.pyx: a head, and what providers refused
    RING_WORDS = 16                # record_ring.pyx: positions and counts of one ring


cdef class SharedMemory:
    cdef int64_t* base
    cdef size_t bytes
    cdef readonly int workers, targets, endpoints, bindings
    cdef readonly int worker       # whose column this process writes; -1: read-only
    cdef readonly int64_t ring_bytes       # of one worker's ring: a power of two

    cdef const int64_t* key(self) noexcept                 # two words, random
    cdef int64_t* shared(self) noexcept                    # SHARED_WORDS
    cdef size_t target_words(self) noexcept                # with the columns
    cdef int64_t* target(self, int slot) noexcept          # TARGET_WORDS, then the columns
    cdef int64_t* endpoint(self, int slot) noexcept        # ENDPOINT_WORDS
    cdef int64_t* binding(self, int index) noexcept        # BINDING_WORDS
    cdef int64_t* notes(self) noexcept                     # NOTES_WORDS
    cdef int64_t* ring(self, int worker) noexcept          # RING_WORDS, then ring_bytes
    cdef size_t _ring_words(self) noexcept
    cdef int64_t* _region(self, int number) noexcept


cdef inline int64_t micros(double seconds) noexcept:
    """Times are stored as microseconds of the monotonic clock, which all processes share."""
    return <int64_t>(seconds * 1e6)
