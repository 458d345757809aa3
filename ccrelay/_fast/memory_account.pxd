"""The memory that a worker holds for its clients: who holds how much, and large buffers."""

from libc.stdint cimport int64_t


cdef enum:
    ARENA_CLASSES = 10       # large buffers kept for reuse: 64 KB << 0 .. 9


cdef class Arena:
    # Large buffers, reused: a fresh megabyte costs 256 page faults.
    cdef char* free_list[ARENA_CLASSES][8]
    cdef int free_count[ARENA_CLASSES]
    cdef Py_ssize_t cached, cached_max
    cdef readonly Py_ssize_t out       # bytes handed out
    cdef char* take(self, Py_ssize_t n, Py_ssize_t* cap) noexcept
    cdef void give(self, char* p, Py_ssize_t cap) noexcept


cdef class Share


cdef class MemoryAccount:
    cdef public int64_t bytes_max      # of all that is held
    cdef readonly int64_t held
    cdef readonly dict shares          # by client, of those that are connected or hold something

    cpdef Share share(self, bytes client)


cdef class Share:
    cdef MemoryAccount account
    cdef readonly bytes client         # its address, or the digest of its relay token
    cdef readonly int64_t held
    cdef readonly int64_t users        # connections
    cdef readonly int64_t unadmitted   # of them, those without an admitted request yet

    cpdef bint fits(self, int64_t n, int64_t limit) noexcept
    cpdef bint take(self, int64_t n) noexcept
    cpdef void put(self, int64_t n) noexcept
    cpdef void give(self, int64_t n) noexcept
    cdef void join(self, bint unadmitted) noexcept
    cdef void leave(self, bint unadmitted) noexcept
    cdef void _forget(self) noexcept
