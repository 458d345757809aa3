"""A growable byte buffer, for partial heads and held responses. Owns no memory while empty."""

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from ccrelay._fast.http1 cimport Piece


ctypedef struct Buffer:
    char* data
    Py_ssize_t size
    Py_ssize_t cap


cdef inline char* buffer_room(Buffer* buffer, Py_ssize_t n) except NULL:
    """Room for n more bytes, which the caller counts in `size`; n 0: only where there is some."""
    cdef Py_ssize_t cap
    cdef char* grown
    if buffer.size + n > buffer.cap:
        cap = buffer.cap * 2 if buffer.cap else 1024      # which malloc keeps at hand
        if cap < buffer.size + n:
            cap = buffer.size + n
        grown = <char*>realloc(buffer.data, cap)
        if grown == NULL:
            raise MemoryError
        buffer.data = grown
        buffer.cap = cap
    return buffer.data + buffer.size


cdef inline int buffer_add(Buffer* buffer, const char* p, Py_ssize_t n) except -1:
    """Append n bytes."""
    if n == 0:
        return 0
    memcpy(buffer_room(buffer, n), p, n)
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
    cdef char[20] line
    cdef Py_ssize_t size = 0, left
    cdef int k, at = 18
    for k in range(count):
        size += pieces[k].size
    if size == 0:
        return 0
    line[18] = c"\r"
    line[19] = c"\n"
    left = size
    while left:
        at -= 1
        line[at] = (<char*>b"0123456789abcdef")[left & 15]
        left >>= 4
    buffer_room(buffer, size + 22)
    buffer_add(buffer, line + at, 20 - at)
    for k in range(count):
        buffer_add(buffer, p + pieces[k].at, pieces[k].size)
    buffer_add(buffer, "\r\n", 2)
    return 0
