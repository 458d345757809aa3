# cython: language_level=3
"""One line of the access log, written member by member into a buffer that is reused.

A dictionary and an encoder for it cost five times as much, for every request.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

import json as _json

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    FIRST_BYTES = 1024


cdef class LogLine:
    """Takes the members of a line; see log_line.pxd."""

    cpdef object text(self, bytes name, object value):
        pass

    cpdef object token(self, bytes name, str value):
        pass

    cpdef object count(self, bytes name, int64_t value):
        pass

    cpdef object millis(self, bytes name, double seconds):
        pass

    cpdef object flag(self, bytes name):
        pass


cdef class LineBuffer(LogLine):
    """A line as bytes: `begin`, members, `finish`."""

    def __dealloc__(self):
        free(self.data)

    cpdef object begin(self, bytes prefix):
        """Start a line with what stands before its members."""
        self.size = 0
        self.add_bytes(prefix)

    cpdef bytes finish(self):
        """The line, with its line end."""
        self.add(b"\n", 1)
        return PyBytes_FromStringAndSize(self.data, self.size)

    cpdef object count(self, bytes name, int64_t value):
        self.member(name)
        self.add_integer(value)

    cpdef object millis(self, bytes name, double seconds):
        self.member(name)
        self.add_millis(seconds)

    cpdef object flag(self, bytes name):
        self.member(name)
        self.add(b"true", 4)

    cdef int member(self, bytes name) except -1:
        """What stands before a value."""
        return 0

    cdef int room(self, Py_ssize_t n) except -1:
        cdef Py_ssize_t cap = self.cap or FIRST_BYTES
        cdef char* grown
        if self.size + n <= self.cap:
            return 0
        while cap < self.size + n:
            cap *= 2
        grown = <char*>realloc(self.data, cap)
        if grown == NULL:
            raise MemoryError
        self.data = grown
        self.cap = cap
        return 0

    cdef int add(self, const char* p, Py_ssize_t n) except -1:
        self.room(n)
        memcpy(self.data + self.size, p, n)
        self.size += n
        return 0

    cdef int add_bytes(self, bytes data) except -1:
        return self.add(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int add_quoted(self, const char* p, Py_ssize_t n) except -1:
        self.room(n + 2)
        self.data[self.size] = b'"'
        memcpy(self.data + self.size + 1, p, n)
        self.data[self.size + n + 1] = b'"'
        self.size += n + 2
        return 0

    cdef int add_integer(self, int64_t value) except -1:
        cdef char digits[24]
        cdef int at = 24
        cdef bint negative = value < 0
        # Unsigned: the negative of the smallest integer does not fit into an int64_t.
        cdef uint64_t left = 0 - <uint64_t>value if negative else <uint64_t>value
        while True:
            at -= 1
            digits[at] = <char>(48 + <int>(left % 10))
            left //= 10
            if left == 0:
                break
        if negative:
            at -= 1
            digits[at] = b"-"
        return self.add(digits + at, 24 - at)

    cdef int add_millis(self, double seconds) except -1:
        # Like a float: at least one decimal, no zeroes at the end.
        cdef int64_t micros = <int64_t>(seconds * 1e6) if seconds > 0.0 else 0
        cdef char decimals[4]
        cdef int n = 4, part = <int>(micros % 1000)
        decimals[0] = b"."
        decimals[1] = <char>(48 + part // 100)
        decimals[2] = <char>(48 + part // 10 % 10)
        decimals[3] = <char>(48 + part % 10)
        while n > 2 and decimals[n - 1] == b"0":
            n -= 1
        self.add_integer(micros // 1000)
        return self.add(decimals, n)


cdef bint is_plain(const char* p, Py_ssize_t n) noexcept:
    """Whether a text can stand as it is: printable ASCII without quotes and backslash."""
    cdef Py_ssize_t k
    for k in range(n):
        if p[k] < 32 or p[k] > 126 or p[k] == b'"' or p[k] == b"\\":
            return False
    return True


cdef int check_text(object value) except -1:
    """The macros below read any object as a str."""
    if not isinstance(value, str):
        raise TypeError(f"text of a log line must be str or None, not {type(value).__name__}")
    return 0


cdef bytes as_json(object value):
    """Any text in JSON, printable ASCII only: lone surrogates are escaped like all else."""
    return _json.dumps(value).encode("ascii")


@cython.final
cdef class JsonLine(LineBuffer):
    """A JSON object. The prefix ends with `,` behind members of its own, or with `{`."""

    cpdef object begin(self, bytes prefix):
        LineBuffer.begin(self, prefix)
        self.is_first = True

    cpdef bytes finish(self):
        self.add(b"}\n", 2)
        return PyBytes_FromStringAndSize(self.data, self.size)

    cdef int member(self, bytes name) except -1:
        cdef Py_ssize_t n = PyBytes_GET_SIZE(name)
        cdef char* at
        self.room(n + 4)
        at = self.data + self.size
        if not self.is_first:
            at[0] = b","
            at += 1
        self.is_first = False
        at[0] = b'"'
        memcpy(at + 1, PyBytes_AS_STRING(name), n)
        at[n + 1] = b'"'
        at[n + 2] = b":"
        self.size = at + n + 3 - self.data
        return 0

    cpdef object text(self, bytes name, object value):
        cdef const char* p
        cdef Py_ssize_t n
        self.member(name)
        if value is None:
            self.add(b"null", 4)
            return
        check_text(value)
        if PyUnicode_IS_COMPACT_ASCII(value):
            p = PyUnicode_1BYTE_DATA(value)
            n = PyUnicode_GET_LENGTH(value)
            if is_plain(p, n):
                self.add_quoted(p, n)
                return
        self.add_bytes(as_json(value))

    cpdef object token(self, bytes name, str value):
        if value is None or not PyUnicode_IS_COMPACT_ASCII(value):
            self.text(name, value)     # not what was promised: read no further than it reaches
            return
        self.member(name)
        self.add_quoted(PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value))


@cython.final
cdef class DictLine(LogLine):
    """The members as a dictionary, for sinks that keep them."""

    def __init__(self):
        self.members = {}

    cpdef object text(self, bytes name, object value):
        self.members[name.decode("ascii")] = value

    cpdef object token(self, bytes name, str value):
        self.members[name.decode("ascii")] = value

    cpdef object count(self, bytes name, int64_t value):
        self.members[name.decode("ascii")] = value

    cpdef object millis(self, bytes name, double seconds):
        cdef int64_t micros = <int64_t>(seconds * 1e6) if seconds > 0.0 else 0
        self.members[name.decode("ascii")] = <double>micros / 1000.0

    cpdef object flag(self, bytes name):
        self.members[name.decode("ascii")] = True
