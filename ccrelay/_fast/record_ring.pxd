"""A worker's ring of records in the shared memory: one writer, one reader, no lock. The contract.

    RING_WORDS: head, dropped .. released ..  | ring_bytes of frames: u32 length, bytes

Positions are bytes since the memory was made; they only grow, and the process that follows another
one in its column goes on where that one was. A frame may go around the end of the ring. Its bytes
are written first, then `head` is set: a worker killed at any instant leaves no half frame. The
manager sets `released`; what lies before it may be overwritten, and nothing else.
"""

from libc.stdint cimport int64_t, uint64_t

from ccrelay._fast.shared_memory cimport SharedMemory
from ccrelay._fast.usage cimport Usage


cdef enum:
    # words of a ring; the writer's and the reader's in cache lines of their own
    R_HEAD = 0
    R_DROPPED = 1
    R_RELEASED = 8


cdef class RecordRing:
    cdef SharedMemory memory           # keeps the memory mapped
    cdef int64_t* words
    cdef char* ring
    cdef int64_t ring_bytes
    # the record that is being written, as msgpack
    cdef unsigned char* data
    cdef Py_ssize_t size, cap
    # the wall clock, as an offset of the monotonic one
    cdef double offset_s, offset_until

    cpdef object begin(self)
    cpdef object array(self, Py_ssize_t n)
    cpdef object integer(self, int64_t value)
    cpdef object integers(self, int64_t a, int64_t b, int64_t c, int64_t d)
    cpdef object hash(self, uint64_t value)
    cpdef object micros(self, double seconds)
    cpdef object real(self, double value)
    cpdef object flag(self, bint value)
    cpdef object text(self, object value)
    cpdef object texts(self, object a, object b, object c, object d)
    cpdef object names(self, object value)
    cpdef object packed(self, bytes values)
    cpdef object opening(
        self, Py_ssize_t members, str exchange_id, double now, double received_at, object wall,
        int kind, int traffic, object model
    )
    cpdef object counts(
        self, int64_t status, int64_t ending, int64_t result, int64_t attempts, int64_t bytes_in,
        int64_t bytes_out
    )
    cpdef object answer(
        self, Usage usage, double head_s, double first_event_s, double queued_s, double own_s,
        bint stream, bint moved
    )
    cpdef object instant(self, double now, double at, object wall)
    cpdef bint put(self) except -1

    cdef unsigned char* grow(self, Py_ssize_t n) except NULL
    cdef int add_span(self, const char* p, Py_ssize_t n) except -1
    cdef int add_str(self, object value, Py_ssize_t most) except -1
    cdef int add_unicode(self, str value, Py_ssize_t most) except -1
    cdef void copy_in(self, int64_t at, const void* data, int64_t n) noexcept


cdef class RecordReader:
    cdef SharedMemory memory
    cdef int64_t* words
    cdef const char* ring
    cdef int64_t ring_bytes
    cdef readonly int64_t garbled      # how often what was found made no sense

    cdef void copy_out(self, int64_t at, void* data, int64_t n) noexcept
    cdef bint bounds(self, int64_t* released, int64_t* head) noexcept
