# cython: language_level=3
"""The shared memory of all workers. Layout and rules: shared_memory.pxd.

Times use the monotonic clock, which all processes of a machine share (clock_gettime(2),
CLOCK_MONOTONIC).
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from os import urandom

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* at, size_t size, int protection, int flags, int fd, long offset) noexcept
    int munmap(void* at, size_t size) noexcept
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_ANON
    void* MAP_FAILED

cdef extern from "<unistd.h>" nogil:
    int ftruncate(int fd, long size) noexcept
    long lseek(int fd, long offset, int whence) noexcept
    int SEEK_END

cdef extern from "<errno.h>" nogil:
    int errno

cdef enum:
    MAGIC = 0x63637237             # "ccr7": change it with the layout
    H_MAGIC = 0
    H_WORKERS = 1
    H_TARGETS = 2
    H_ENDPOINTS = 3
    H_BINDINGS = 4
    H_KEY = 5                      # two words: the key of the bindings' hash
    H_RING_BYTES = 7
    H_IDENTITY = 8
    WORKERS_MAX = 4096
    SLOTS_MAX = 1 << 20
    RING_MIN = 64
    RING_MAX = 1 << 30
    RING_BYTES = 1 << 20           # some 2,500 records: the manager restarts within seconds
    RING_BYTES_ALONE = 1 << 14


cdef class SharedMemory:
    """One process's mapping.

    Args:
        fd: memory initialised by `SharedMemory.format`; may be closed afterwards.
        worker: whose column this process writes; -1: read-only.

    Raises:
        OSError: mmap failed.
        ValueError: not initialised memory, or the layout of another version.
    """

    def __init__(self, int fd, int worker=-1):
        cdef int64_t header[HEADER_WORDS]
        cdef void* at
        cdef long size = lseek(fd, 0, SEEK_END)
        if size < HEADER_WORDS * 8:     # a page beyond the end of the file raises SIGBUS
            raise ValueError("not ccrelay shared memory: too small")
        at = mmap(NULL, HEADER_WORDS * 8, PROT_READ, MAP_SHARED, fd, 0)
        if at == MAP_FAILED:
            raise OSError(errno, "cannot map the shared memory")
        for k in range(HEADER_WORDS):
            header[k] = (<int64_t*>at)[k]
        munmap(at, HEADER_WORDS * 8)
        if header[H_MAGIC] != MAGIC:
            raise ValueError("shared memory of another ccrelay version")
        self._shape(
            <int>header[H_WORKERS], <int>header[H_TARGETS],
            <int>header[H_ENDPOINTS], <int>header[H_BINDINGS], worker, header[H_RING_BYTES],
        )
        if self.bytes > <size_t>size:
            raise ValueError("not ccrelay shared memory: truncated")
        self._map(fd)

    def __dealloc__(self):
        if self.base != NULL:
            munmap(self.base, self.bytes)

    @staticmethod
    def format(
        int fd, *, int workers, int targets, int endpoints, int bindings,
        int64_t ring_bytes=RING_BYTES,
    ):
        """Initialise a memory file: set its size, zero it, write the header.

        `ring_bytes`: of each worker's ring of records, a power of two. Pages that were never
        written take no memory.

        Raises:
            OSError: not enough memory.
            ValueError: a count is out of range.
        """
        cdef SharedMemory memory = SharedMemory.__new__(SharedMemory)
        memory._shape(workers, targets, endpoints, bindings, -1, ring_bytes)
        if ftruncate(fd, 0) < 0 or ftruncate(fd, <long>memory.bytes) < 0:
            raise OSError(errno, "cannot allocate the shared memory")
        memory._map(fd)
        memory._head()

    @staticmethod
    def private(
        *, int workers=1, int targets=64, int endpoints=64, int bindings=1024, int worker=0,
        int64_t ring_bytes=RING_BYTES_ALONE,
    ):
        """Memory of a single process, for tests and commands."""
        cdef SharedMemory memory = SharedMemory.__new__(SharedMemory)
        memory._shape(workers, targets, endpoints, bindings, worker, ring_bytes)
        memory._map(-1)
        memory._head()
        return memory

    def as_worker(self, int worker):
        """The same memory as seen by another worker, in this process. Tests only."""
        cdef SharedMemory memory = _Twin.__new__(_Twin)
        memory._shape(
            self.workers, self.targets, self.endpoints, self.bindings, worker, self.ring_bytes
        )
        memory.base = self.base
        (<_Twin>memory).owner = self
        return memory

    def _shape(
        self, int workers, int targets, int endpoints, int bindings, int worker,
        int64_t ring_bytes,
    ):
        if not 1 <= workers <= WORKERS_MAX or not -1 <= worker < workers:
            raise ValueError(f"worker {worker} of {workers}")
        for count in (targets, endpoints, bindings):
            if not 1 <= count <= SLOTS_MAX:
                raise ValueError(f"{count} slots")
        if not RING_MIN <= ring_bytes <= RING_MAX or ring_bytes & (ring_bytes - 1):
            raise ValueError(f"a ring of {ring_bytes} bytes")
        self.workers = workers
        self.targets = targets
        self.endpoints = endpoints
        self.bindings = bindings
        self.worker = worker
        self.ring_bytes = ring_bytes
        self.bytes = 8 * (
            HEADER_WORDS + SHARED_WORDS + <size_t>targets * self.target_words()
            + <size_t>endpoints * ENDPOINT_WORDS + <size_t>bindings * BINDING_WORDS + NOTES_WORDS
            + <size_t>workers * self._ring_words()
        )

    def _map(self, int fd):
        cdef int flags = MAP_SHARED | (MAP_ANON if fd < 0 else 0)
        cdef void* at = mmap(NULL, self.bytes, PROT_READ | PROT_WRITE, flags, fd, 0)
        if at == MAP_FAILED:
            raise OSError(errno, "cannot map the shared memory")
        self.base = <int64_t*>at

    def _head(self):
        self.base[H_WORKERS] = self.workers
        self.base[H_TARGETS] = self.targets
        self.base[H_ENDPOINTS] = self.endpoints
        self.base[H_BINDINGS] = self.bindings
        # Random: clients must not know whose binding takes whose place. It is the same in all
        # workers, and as long as the memory lasts, over reloads and upgrades.
        for k in range(2):
            self.base[H_KEY + k] = int.from_bytes(urandom(8), "little", signed=True)
        # Positions in the rings mean something in this memory only: they are kept with its name,
        # which is no secret, unlike the key.
        self.base[H_IDENTITY] = int.from_bytes(urandom(8), "little", signed=True)
        self.base[H_RING_BYTES] = self.ring_bytes
        word_set(self.base + H_MAGIC, MAGIC)

    # ---- regions

    cdef const int64_t* key(self) noexcept:
        return self.base + H_KEY

    cdef int64_t* _region(self, int number) noexcept:
        cdef int64_t* at = self.base + HEADER_WORDS
        if number > 0:
            at += SHARED_WORDS
        if number > 1:
            at += <size_t>self.targets * self.target_words()
        if number > 2:
            at += <size_t>self.endpoints * ENDPOINT_WORDS
        if number > 3:
            at += <size_t>self.bindings * BINDING_WORDS
        if number > 4:
            at += NOTES_WORDS
        return at

    cdef int64_t* shared(self) noexcept:
        return self._region(0)

    cdef size_t target_words(self) noexcept:
        return TARGET_WORDS + COLUMN_WORDS * <size_t>self.workers

    cdef int64_t* target(self, int slot) noexcept:
        return self._region(1) + <size_t>slot * self.target_words()

    cdef int64_t* endpoint(self, int slot) noexcept:
        return self._region(2) + <size_t>slot * ENDPOINT_WORDS

    cdef int64_t* binding(self, int index) noexcept:
        return self._region(3) + <size_t>index * BINDING_WORDS

    cdef int64_t* notes(self) noexcept:
        return self._region(4)

    cdef size_t _ring_words(self) noexcept:
        return RING_WORDS + <size_t>self.ring_bytes // 8

    cdef int64_t* ring(self, int worker) noexcept:
        return self._region(5) + <size_t>worker * self._ring_words()

    @property
    def identity(self):
        """Names this memory among all: 16 hexadecimal digits, random."""
        return f"{<uint64_t>self.base[H_IDENTITY]:016x}"

    # ---- for the supervisor

    def clear_worker(self, int worker):
        """Zero a dead worker's in-flight counts; return how many exchanges they held."""
        cdef int64_t found = 0
        cdef int64_t* column
        cdef int slot, word
        if not 0 <= worker < self.workers:
            raise ValueError(f"worker {worker} of {self.workers}")
        for slot in range(self.targets):
            column = self.target(slot) + TARGET_WORDS + COLUMN_WORDS * worker
            found += max(word_get(column), 0)
            for word in range(COLUMN_WORDS):
                word_set(column + word, 0)
        return found

    def clear_target(self, int slot):
        """Reset a slot before it is assigned to another credential."""
        if not 0 <= slot < self.targets:
            raise ValueError(f"target {slot} of {self.targets}")
        # The first word is the slot's generation: older reservations become inert.
        word_add(self.target(slot), 1)
        memset(self.target(slot) + 1, 0, (self.target_words() - 1) * 8)

    def clear_endpoint(self, int slot):
        """Reset a slot before it is assigned to another endpoint."""
        if not 0 <= slot < self.endpoints:
            raise ValueError(f"endpoint {slot} of {self.endpoints}")
        memset(self.endpoint(slot), 0, ENDPOINT_WORDS * 8)

    def __repr__(self):
        return (
            f"<SharedMemory {self.bytes} bytes workers={self.workers} targets={self.targets} "
            f"endpoints={self.endpoints} bindings={self.bindings} ring_bytes={self.ring_bytes}>"
        )


cdef class _Twin(SharedMemory):
    cdef SharedMemory owner

    def __dealloc__(self):
        self.base = NULL               # the owner unmaps it
