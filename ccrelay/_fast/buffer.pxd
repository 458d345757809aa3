"""A growable byte buffer, for partial heads and held responses. Owns no memory while empty."""

from libc.stdio cimport snprintf
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from ccrelay._fast.http1 cimport Piece


ctypedef struct Buffer:
    char* data
    Py_ssize_t size
    Py_ssize_t cap


cdef inline int buffer_add(Buffer* buffer, const char* p, Py_ssize_t n) except -1:
    """Append n bytes."""
    cdef Py_ssize_t cap
    cdef char* grown
    if buffer.size + n > buffer.cap:
        cap = buffer.cap * 2 if buffer.cap else 2048
        if cap < buffer.size + n:
            cap = buffer.size + n
        grown = <char*>realloc(buffer.data, cap)
        if grown == NULL:
            raise MemoryError
        buffer.data = grown
        buffer.cap = cap
    memcpy(buffer.data + buffer.size, p, n)
    buffer.size += n
    return 0


cdef inline int buffer_add_unmarked(Buffer* buffer, const char* p, Py_ssize_t n) except -1:
    """Append n bytes, and return how many are left: 0.

    A byte order mark at the beginning, or behind the size of a chunk there, becomes empty lines.
    """
    cdef Py_ssize_t i
    buffer_add(buffer, p, n)
    for i in range(min(buffer.size - 2, <Py_ssize_t>20)):
        if memcmp(buffer.data + i, b"\xef\xbb\xbf", 3) == 0:
            if i == 0 or buffer.data[i - 1] == b"\n":
                memcpy(buffer.data + i, b"\n\n\n", 3)
            break
    return 0


cdef inline Buffer buffer_take(Buffer* buffer) noexcept:
    """Move the bytes out; the caller frees them."""
    cdef Buffer taken = buffer[0]
    buffer.data = NULL
    buffer.size = buffer.cap = 0
    return taken


cdef inline void buffer_free(Buffer* buffer) noexcept:
    """Free the memory."""
    free(buffer.data)
    buffer.data = NULL
    buffer.size = buffer.cap = 0


cdef inline int buffer_chunk(
    Buffer* buffer, const char* p, const Piece* pieces, int count
) except -1:
    """Append the pieces of p as one chunk (RFC 9112 section 7.1); nothing if they are empty."""
    cdef char line[20]
    cdef Py_ssize_t size = 0
    cdef int k
    for k in range(count):
        size += pieces[k].size
    if size == 0:
        return 0
    buffer_add(buffer, line, snprintf(line, sizeof(line), "%zx\r\n", <size_t>size))
    for k in range(count):
        buffer_add(buffer, p + pieces[k].at, pieces[k].size)
    buffer_add(buffer, "\r\n", 2)
    return 0
