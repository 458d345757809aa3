# cython: language_level=3
"""One account of the memory that a worker holds for its clients.

Request bodies (as they came, unpacked, rewritten), unfinished heads, requests ahead of their turn,
responses that are collected or wait for a slow client: each is charged when it is held, and on
growth, to the client it is held for, and given back when it is freed. What a client announces costs
nothing.

A client may hold three quarters of what the other clients leave. So one alone has nearly all of it,
and however much it takes, a quarter of that is left for the next one.
"""

cimport cython
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef enum:
    ARENA_SMALLEST = 65536

cdef int64_t UNBOUNDED = <int64_t>1 << 60


@cython.final
cdef class Arena:
    def __cinit__(self, Py_ssize_t cached_max=16 * 1024 * 1024):
        self.cached_max = cached_max
        memset(self.free_count, 0, sizeof(self.free_count))

    def __dealloc__(self):
        cdef int k, i
        for k in range(ARENA_CLASSES):
            for i in range(self.free_count[k]):
                free(self.free_list[k][i])

    cdef char* take(self, Py_ssize_t n, Py_ssize_t* cap) noexcept:
        """A buffer of at least n bytes, or NULL. *cap is what `give` wants back."""
        cdef int k = 0
        cdef Py_ssize_t size = ARENA_SMALLEST
        cdef char* p
        if n < ARENA_SMALLEST:
            size = n if n > 64 else 64
            p = <char*>malloc(size)
        else:
            while size < n and k < ARENA_CLASSES - 1:
                size <<= 1
                k += 1
            if size < n:
                size = n
                p = <char*>malloc(size)
            elif self.free_count[k]:
                self.free_count[k] -= 1
                p = self.free_list[k][self.free_count[k]]
                self.cached -= size
            else:
                p = <char*>malloc(size)
        if p != NULL:
            cap[0] = size
            self.out += size
        return p

    cdef void give(self, char* p, Py_ssize_t cap) noexcept:
        cdef int k = 0
        cdef Py_ssize_t size = ARENA_SMALLEST
        if p == NULL:
            return
        self.out -= cap
        if cap >= ARENA_SMALLEST and self.cached + cap <= self.cached_max:
            while size < cap and k < ARENA_CLASSES - 1:
                size <<= 1
                k += 1
            if size == cap and self.free_count[k] < 8:
                self.free_list[k][self.free_count[k]] = p
                self.free_count[k] += 1
                self.cached += cap
                return
        free(p)


@cython.final
cdef class MemoryAccount:
    """What is held, by client."""

    def __init__(self):
        self.bytes_max = UNBOUNDED
        self.shares = {}

    cpdef Share share(self, bytes client):
        """The share of a client: the same object as long as it is connected or holds something."""
        cdef Share found = self.shares.get(client)
        if found is None:
            found = self.shares[client] = Share.__new__(Share)
            found.account = self
            found.client = client
        return found


@cython.final
cdef class Share:
    """What one client holds, and how many connections it has."""

    cpdef bint fits(self, int64_t n, int64_t limit) noexcept:
        """Whether n more bytes are within the client's share of `limit`."""
        cdef int64_t others = self.account.held - self.held
        return 4 * (self.held + n) <= 3 * (limit - others)

    cpdef bint take(self, int64_t n) noexcept:
        """Charge n bytes. False: there is no room, and nothing is charged."""
        if not self.fits(n, self.account.bytes_max):
            return False
        self.put(n)
        return True

    cpdef void put(self, int64_t n) noexcept:
        """Charge n bytes that are held in any case."""
        self.held += n
        self.account.held += n

    cpdef void give(self, int64_t n) noexcept:
        """Give n bytes back."""
        self.held -= n
        self.account.held -= n
        if self.held == 0 and self.users == 0:
            self._forget()

    cdef void join(self, bint unadmitted) noexcept:
        """One more connection is the client's."""
        self.users += 1
        self.unadmitted += unadmitted

    cdef void leave(self, bint unadmitted) noexcept:
        """One connection less is the client's."""
        self.users -= 1
        self.unadmitted -= unadmitted
        if self.held == 0 and self.users == 0:
            self._forget()

    cdef void _forget(self) noexcept:
        # A pooled connection may know it for longer than the client was here, and came again.
        if self.account.shares.get(self.client) is self:
            del self.account.shares[self.client]
