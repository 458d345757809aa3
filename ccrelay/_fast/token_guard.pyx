"""Relay tokens in request heads, wherever they stand: a field that has one goes to no provider.

A head is looked at every `stride` bytes only (Wu and Manber's idea): a token that stands anywhere
covers one of these places with a window of four bytes, because the stride is the length of the
shortest token less three. All windows of all tokens that may be met there are in a hash table.
So the price falls with the length of tokens, and does not rise with their number.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

cdef enum:
    WINDOW_BYTES = 4
    STRIDE_MAX = 64          # bounds the table: so many windows of each token


cdef inline uint32_t _mixed(uint32_t value) noexcept:
    value *= <uint32_t>0x9E3779B1
    return value ^ (value >> 15)


cdef class TokenGuard:
    """Marks fields of request heads that contain one of these tokens; see token_guard.pxd."""

    def __cinit__(self, list tokens not None):
        cdef bytes token
        cdef int index, at
        cdef uint32_t size = 16
        self.tokens = [token for token in tokens if token]
        shortest = min(map(len, self.tokens), default=0)
        self.stride = min(max(shortest - WINDOW_BYTES + 1, 0), STRIDE_MAX)
        while size < 16 * len(self.tokens) * self.stride:
            size *= 2
        self.windows = <Window*>calloc(size, sizeof(Window))
        if self.windows == NULL:
            raise MemoryError
        self.mask = size - 1
        for index in range(<int>size):
            self.windows[index].token = -1
        for index in range(len(self.tokens)):
            token = self.tokens[index]
            for at in range(self.stride):
                self._add(PyBytes_AS_STRING(token) + at, index, at)

    def __dealloc__(self):
        free(self.windows)

    cdef void _add(self, const char* p, int token, int at) noexcept:
        cdef uint32_t value, place
        memcpy(&value, p, WINDOW_BYTES)
        place = _mixed(value) & self.mask
        while self.windows[place].token >= 0:
            place = (place + 1) & self.mask
        self.windows[place] = Window(value, token, at)

    cdef Py_ssize_t _token_at(self, Head head, Py_ssize_t at) noexcept:
        """Where a token begins that covers the window at `at`; -1: none does."""
        cdef uint32_t value, place
        cdef Window* window
        cdef bytes token
        cdef Py_ssize_t start
        memcpy(&value, head.buf + at, WINDOW_BYTES)
        place = _mixed(value) & self.mask
        while self.windows[place].token >= 0:
            window = &self.windows[place]
            place = (place + 1) & self.mask
            if window.value != value:
                continue
            token = self.tokens[window.token]
            start = at - window.at
            if start < 0 or start + PyBytes_GET_SIZE(token) > head.size:
                continue
            if memcmp(head.buf + start, PyBytes_AS_STRING(token), PyBytes_GET_SIZE(token)) == 0:
                return start
        return -1

    cdef Py_ssize_t _search(self, Head head, Py_ssize_t start) noexcept:
        # With a token shorter than a window, which no configuration has.
        cdef bytes token
        cdef Py_ssize_t at, size
        for at in range(start, head.size):
            for token in self.tokens:
                size = PyBytes_GET_SIZE(token)
                if at + size <= head.size and (
                    memcmp(head.buf + at, PyBytes_AS_STRING(token), size) == 0
                ):
                    return at
        return -1

    cdef Py_ssize_t _next(self, Head head, Py_ssize_t start) noexcept:
        """Where the first token begins that ends behind `start`; -1: there is none."""
        cdef Py_ssize_t at = start, found, stride = self.stride, end = head.size - WINDOW_BYTES
        cdef const char* p = head.buf
        cdef const Window* windows = self.windows
        cdef uint32_t value, mask = self.mask
        if stride == 0:
            return self._search(head, start)
        while at <= end:
            memcpy(&value, p + at, WINDOW_BYTES)
            if windows[_mixed(value) & mask].token >= 0:
                found = self._token_at(head, at)
                if found >= 0:
                    return found
            at += stride
        return -1

    cpdef bint hold_back(self, Head head):
        """Hold back every field that contains a token. True: the request line contains one."""
        cdef Py_ssize_t at = 0, end
        cdef int i = -1              # field; -1: the request line
        cdef bint in_request_line = False
        if head is None:
            raise TypeError("a head is wanted")
        if not self.tokens:
            return False
        while True:
            at = self._next(head, at)
            if at < 0:
                return in_request_line
            while i + 1 < head.count and head.fields[i + 1].name <= at:
                i += 1
            end = head.fields[i + 1].name if i + 1 < head.count else head.size
            if i < 0:
                in_request_line = True
            else:
                head.fields[i].held_back = 1
            at = end
