"""Takes large arrays apart, and puts large bodies together, without holding other threads up.

For text whose syntax has been checked: what is not JSON gives some result, and reads nothing
outside of it. Each call bounds its work, or does long work without the interpreter's lock.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t
from libc.stdlib cimport getenv
from libc.string cimport memcpy

cdef extern from "scan.h" nogil:
    ctypedef struct ScanNested:
        int depth
        int in_string
        int escaped
        int bad
        int64_t elements

    Py_ssize_t scan_string(const char* p, Py_ssize_t n, int* escaped, int* closed) noexcept
    Py_ssize_t scan_nested(ScanNested* s, const char* p, Py_ssize_t n) noexcept
    bint scan_use_simd(bint wanted) noexcept


cdef enum:
    LONG_BYTES = 1048576       # copied in about a tenth of a millisecond


cdef void put_together(char* out, const Py_buffer* buffers, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        memcpy(out, buffers[k].buf, buffers[k].len)
        out += buffers[k].len


cdef Py_ssize_t skip_items(
    const char* p, Py_ssize_t i, Py_ssize_t n, Py_ssize_t bytes_max, Py_ssize_t items_max
) noexcept nogil:
    cdef Py_ssize_t start = i
    cdef Py_ssize_t items = 0
    cdef ScanNested s
    cdef int escaped, closed
    while i < n:
        if p[i] == c'"':
            escaped = 0
            i += 1 + scan_string(p + i + 1, n - i - 1, &escaped, &closed)
        elif p[i] == c"[" or p[i] == c"{":
            s.depth = 1
            s.in_string = s.escaped = s.bad = 0
            s.elements = 0
            i += 1 + scan_nested(&s, p + i + 1, n - i - 1)
            if s.bad:
                return n
        elif p[i] == c"]":
            return i
        else:
            if p[i] == c",":
                items += 1
                if items >= items_max or i - start >= bytes_max:
                    return i
            i += 1
    return n


def end_of_items(data not None, Py_ssize_t at, Py_ssize_t bytes_max, Py_ssize_t items_max):
    """Offset behind the next items of an array: of a comma, or of the closing bracket.

    Takes items until there are `items_max` of them or they have `bytes_max` bytes. `at` is behind
    the opening bracket or a comma.
    """
    cdef const unsigned char[::1] view = data
    cdef Py_ssize_t n = view.shape[0]
    cdef const char* p
    if not 0 <= at < n:
        raise IndexError(f"offset {at} of {n} bytes")
    p = <const char*>&view[0]
    # With the lock: giving it up for microseconds, again and again, keeps the others waiting. Each
    # time they are woken, find it taken, and restart their switch interval.
    return skip_items(p, at, n, bytes_max, items_max)


def join(list pieces not None):
    """The bytes of all pieces (anything with a buffer), one behind the other."""
    cdef Py_ssize_t count = len(pieces)
    cdef Py_ssize_t total = 0, k, got = 0
    cdef Py_buffer* buffers = <Py_buffer*>PyMem_Malloc(max(count, 1) * sizeof(Py_buffer))
    cdef bytes result
    cdef char* out
    if buffers == NULL:
        raise MemoryError
    try:
        for k in range(count):
            PyObject_GetBuffer(pieces[k], &buffers[k], PyBUF_SIMPLE)
            got += 1
            total += buffers[k].len
        result = PyBytes_FromStringAndSize(NULL, total)
        out = PyBytes_AS_STRING(result)
        if total > LONG_BYTES:
            with nogil:
                put_together(out, buffers, count)
        else:
            put_together(out, buffers, count)
        return result
    finally:
        for k in range(got):
            PyBuffer_Release(&buffers[k])
        PyMem_Free(buffers)


cdef char* no_simd = getenv("CCRELAY_NO_SIMD")
scan_use_simd(no_simd == NULL or no_simd[0] != c"1")
