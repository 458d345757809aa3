# cython: language_level=3
"""Server-sent events to AWS's frames, for clients that speak to Bedrock. `eventstream` is the way
back, and tells what a frame is.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memchr, memcmp, memcpy

from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free, buffer_room
from ccrelay._fast.frame_errors cimport exception_of
from ccrelay._fast.frames cimport (
    FRAME_MIN, PRELUDE, TYPE_MAX, frames_base64, frames_begin, frames_crc, put_number,
)

cdef enum:
    EVENT_MAX = 16777216       # bytes of an event that fits into a frame as base64

frames_begin()


cdef int add(Buffer* out, bytes data) except -1:
    return buffer_add(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef bytes header(str name, str value):
    """A header whose value is text of less than 256 bytes."""
    return bytes([len(name)]) + name.encode() + bytes([7, 0, len(value)]) + value.encode()


cdef bytes headers_of(str kind, str name, str message_type):
    return (
        header(kind, name) + header(":content-type", "application/json")
        + header(":message-type", message_type)
    )


cdef int begin_frame(Buffer* out, bytes headers, Py_ssize_t payload) except -1:
    """Write a frame up to its payload, for which there is room then."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(headers)
    cdef char* at = buffer_room(out, FRAME_MIN + size + payload)
    put_number(at, <uint32_t>(FRAME_MIN + size + payload))
    put_number(at + 4, <uint32_t>size)
    put_number(at + 8, frames_crc(0, at, 8))
    memcpy(at + PRELUDE, PyBytes_AS_STRING(headers), size)
    out.size += PRELUDE + size
    return 0


cdef void end_frame(Buffer* out, Py_ssize_t begin) noexcept:
    """The payload is there: write the check sum of the frame from `begin` on."""
    put_number(out.data + out.size, frames_crc(0, out.data + begin, out.size - begin))
    out.size += 4


cdef bytes frame(bytes headers, bytes payload):
    cdef Buffer out = Buffer(NULL, 0, 0)
    try:
        begin_frame(&out, headers, PyBytes_GET_SIZE(payload))
        add(&out, payload)
        end_frame(&out, 0)
        return out.data[:out.size]
    finally:
        buffer_free(&out)


cdef bytes CHUNK = headers_of(":event-type", "chunk", "event")
# Bedrock has no ping that is documented. Clients skip an event of a type that they do not know; a
# `chunk` without an event in it is an error for some.
cdef bytes PING = frame(headers_of(":event-type", "ping", "event"), b"{}")


@cython.final
@cython.no_gc            # nothing it holds refers back
cdef class EventStreamEncoder:
    """Makes frames of one stream of events, for a client that speaks to Bedrock.

    Pings become frames of a type that clients skip; `error` events become exception frames; blocks
    without JSON are left out.
    """

    def __dealloc__(self):
        buffer_free(&self.line)
        buffer_free(&self.data)

    def encode(self, bytes data not None, /):
        """The frames of the events that are whole with `data`, however they are cut.

        Raises:
            ValueError: an event is too long for a frame.
        """
        cdef Buffer out = Buffer(NULL, 0, 0)
        try:
            if self.push(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &out) < 0:
                raise ValueError("an event is too long for a frame")
            return out.data[:out.size] if out.size else b""
        finally:
            buffer_free(&out)

    cdef int push(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        cdef const char* end = p + n
        cdef const char* stop
        cdef int status
        while p < end:
            if self.after_cr and p[0] == c"\n":
                self.after_cr = False
                p += 1
                continue
            self.after_cr = False
            stop = line_end(p, end)
            if stop == end:
                if self.line.size + (end - p) > EVENT_MAX:
                    return -1
                buffer_add(&self.line, p, end - p)
                return 0
            if self.line.size:
                buffer_add(&self.line, p, stop - p)
                status = self._line(self.line.data, self.line.size, out)
                buffer_free(&self.line)
            else:
                status = self._line(p, stop - p, out)
            if status < 0:
                return -1
            self.after_cr = stop[0] == c"\r"
            p = stop + 1
        return 0

    cdef Py_ssize_t held(self) noexcept:
        """Bytes held of an event that is not whole."""
        return self.line.cap + self.data.cap

    cdef int _line(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        """A whole line without its end."""
        cdef Py_ssize_t skip
        if n == 0:
            return self._dispatch(out)
        if n >= 5 and memcmp(p, b"data:", 5) == 0:
            skip = 6 if n > 5 and p[5] == c" " else 5
            if self.data.size + (n - skip) > EVENT_MAX:
                return -1
            if self.has_data:
                buffer_add(&self.data, b"\n", 1)
            self.has_data = True
            buffer_add(&self.data, p + skip, n - skip)
        elif 6 <= n <= 6 + TYPE_MAX and memcmp(p, b"event:", 6) == 0:
            skip = 7 if n > 6 and p[6] == c" " else 6
            self.name = p[skip:n]
        return 0

    cdef int _dispatch(self, Buffer* out) except -2:
        """The event ends here."""
        cdef Py_ssize_t begin = out.size, size
        cdef const char* text = self.data.data
        cdef Py_ssize_t n = self.data.size
        cdef bytes name = self.name
        self.name = None
        self.has_data = False
        if n == 0 or text[0] != c"{":
            buffer_free(&self.data)
            return 0
        if name == b"ping" or (name is None and n < 64 and is_ping(text[:n])):
            add(out, PING)
        elif name == b"error" or (n > 15 and memcmp(text, b'{"type":"error"', 15) == 0):
            kind, payload = exception_of(text[:n])
            add(out, frame(headers_of(":exception-type", kind, "exception"), payload))
        else:
            size = (n + 2) // 3 * 4
            begin_frame(out, CHUNK, size + 12)
            memcpy(out.data + out.size, b'{"bytes":"', 10)
            frames_base64(out.data + out.size + 10, text, n)
            memcpy(out.data + out.size + 10 + size, b'"}', 2)
            out.size += size + 12
            end_frame(out, begin)
        buffer_free(&self.data)
        return 0


cdef bint is_ping(bytes text) except -1:
    """Whether the data says so itself; the word may stand elsewhere, too."""
    return b'"type":"ping"' in b"".join(text.split())


cdef const char* line_end(const char* p, const char* end) noexcept:
    """The next CR or LF, or `end`."""
    cdef const char* lf = <const char*>memchr(p, c"\n", end - p)
    cdef const char* cr
    if lf == NULL:
        lf = end
    cr = <const char*>memchr(p, c"\r", lf - p)
    return lf if cr == NULL else cr
