"""A response head that may arrive in pieces, behind interim responses."""

from libc.string cimport memcmp

from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free
from ccrelay._fast.http1 cimport Head, head_end, read_response

cdef enum:
    RESPONSE_HEAD_MAX = 262144     # nginx stops at 64 KB, Node at 16 KB; providers send 1-3 KB


ctypedef struct EarlyHead:
    Buffer buffer
    Py_ssize_t scanned


cdef inline Head take_head(
    EarlyHead* early, const char* p, Py_ssize_t n, Py_ssize_t* used, bint* is_garbage
):
    """The next head, of any status; None: more bytes are needed, or this is no HTTP/1.1.

    `used`: bytes of p that belong to it.
    """
    cdef const char* data = p
    cdef Py_ssize_t size = n, end, before = early.buffer.size
    cdef int fault = 0
    cdef Head head
    used[0] = 0
    if before:
        buffer_add(&early.buffer, p, n)
        data = early.buffer.data
        size = early.buffer.size
    is_garbage[0] = memcmp(data, b"HTTP/", 5 if size > 5 else size) != 0
    if is_garbage[0]:
        return None
    end = head_end(data, size, early.scanned)
    is_garbage[0] = end > RESPONSE_HEAD_MAX or (end == 0 and size > RESPONSE_HEAD_MAX)
    if is_garbage[0]:
        return None
    if end == 0:
        if before == 0:
            buffer_add(&early.buffer, p, n)
        early.scanned = size
        return None
    head = read_response(data, end, &fault)
    buffer_free(&early.buffer)
    early.scanned = 0
    is_garbage[0] = head is None or head.status == 101
    used[0] = end - before
    return None if is_garbage[0] else head
