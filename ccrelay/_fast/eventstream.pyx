# cython: language_level=3
"""AWS's event stream (`application/vnd.amazon.eventstream`): frames to server-sent events.

    frame:   total length, headers length, CRC-32 of both | headers | payload | CRC-32 of all before
    header:  length of the name, name, type, value
    payload: {"bytes": base64 of one of Anthropic's events, "p": padding}

What comes out of the decoder is always whole events. An exception or error frame becomes an `error`
event with Anthropic's type of error and AWS's text. Frames of other types, and frames without an
event in them, are left out.

Facts: reference, providers, sections 5.4 and 5.5; botocore's `eventstream.py` is the oracle, and
tests/reference/eventstream.py the readable twin.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, memmove

from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free, buffer_room
from ccrelay._fast.frame_errors cimport error_event, exception_event, quoted, unquoted
from ccrelay._fast.frames cimport (
    FRAME_MIN, PRELUDE, TYPE_MAX, FrameMember, frames_begin, frames_crc, frames_find, frames_member,
    frames_unbase64, frames_use_simd, number,
)

from ccrelay._fast.event_encoder import EventStreamEncoder  # no-cython-lint

cdef enum:
    HEADERS_MAX = 131072
    PAYLOAD_MAX = 25165824
    NAMES_MAX = 16             # headers compared with each other; of more, a set is made
    OPENING = 48               # decoded bytes in which an event usually tells its type
    QUARTETS = 64              # base64 of these
    METRICS_MAX = 4096
    METRICS_LEN = 32

cdef const char* METRICS = b"amazon-bedrock-invocationMetrics"

frames_begin()


cpdef bint use_simd(bint wanted):
    """Turn the vector code on or off; results are equal. Whether it is used."""
    return frames_use_simd(wanted)


cdef inline bint span_is(const Span* span, const char* text, Py_ssize_t n) noexcept:
    return span.n == n and memcmp(span.p, text, n) == 0


cdef inline bytes span_bytes(const Span* span):
    return span.p[:span.n] if span.n > 0 else b""


cdef bint member_is(const FrameMember* m, const char* text, Py_ssize_t n) noexcept:
    return m.name_len == n and memcmp(m.name, text, n) == 0


cdef Py_ssize_t value_size(int kind, const char* p, const char* end) noexcept:
    """Bytes of a header's value, its length included; -1: no such type."""
    if kind <= 1:
        return 0
    if kind == 2:
        return 1
    if kind == 3:
        return 2
    if kind == 4:
        return 4
    if kind == 5 or kind == 8:
        return 8
    if kind == 9:
        return 16
    if kind > 9 or end - p < 2:
        return -1
    return 2 + (<Py_ssize_t>(<unsigned char>p[0]) << 8 | <unsigned char>p[1])


@cython.final
@cython.no_gc            # nothing it holds refers back
cdef class EventStreamDecoder:
    """Makes events of one stream of frames. `wire.decoders.ContentDecoder` for Python."""

    def __cinit__(self):
        self.wanted = PRELUDE
        self.chunk_headers_size = -1

    def __dealloc__(self):
        buffer_free(&self.partial)

    def decode(self, bytes data not None, Py_ssize_t most, /):
        """Events of at least `most` bytes, if there are so many, and the rest of `data`.

        Raises:
            ValueError: it is no stream of frames. What came before that is returned first.
        """
        cdef Buffer out = Buffer(NULL, 0, 0)
        cdef Py_ssize_t used
        try:
            used = self.push(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), max(most, 1), &out)
            if used >= 0:
                return out.data[:out.size] if out.size else b"", data[used:]
            if out.size == 0:
                raise ValueError(self.fault)
            return out.data[:out.size], b"."        # whatever is left, it raises
        finally:
            buffer_free(&out)

    cdef Py_ssize_t push(
        self, const char* p, Py_ssize_t n, Py_ssize_t most, Buffer* out
    ) except -2:
        cdef Py_ssize_t used = 0, size, some
        if self.fault is not None:
            return -1
        while used < n and out.size < most:
            if self.partial.size == 0 and n - used >= PRELUDE:
                size = self._frame_size(p + used)
                if size < 0:
                    return -1
                if n - used >= size:
                    if self._frame(p + used, size, out) < 0:
                        return -1
                    used += size
                    continue
                self.wanted = size
            some = min(n - used, self.wanted - self.partial.size)
            buffer_add(&self.partial, p + used, some)
            used += some
            if self.partial.size < self.wanted:
                continue
            if self.wanted == PRELUDE:
                self.wanted = self._frame_size(self.partial.data)
                if self.wanted < 0:
                    return -1
                continue
            some = self._frame(self.partial.data, self.wanted, out)
            buffer_free(&self.partial)
            self.wanted = PRELUDE
            if some < 0:
                return -1
        return used

    cdef bint is_mid_frame(self) noexcept:
        """Whether a stream that ends here is cut."""
        return self.partial.size > 0 or self.fault is not None

    cdef bint _is_type(self, const char* p, Py_ssize_t n) noexcept:
        """Whether it can stand in a line of an event."""
        cdef Py_ssize_t i
        if n == self.type_size and n and memcmp(p, self.type, n) == 0:
            return True
        for i in range(n):
            if not 32 < p[i] < 127 or p[i] == c"\\":
                return False
        if not 0 < n <= TYPE_MAX:
            return False
        memcpy(self.type, p, n)
        self.type_size = n
        return True

    cdef Py_ssize_t _fail(self, str fault) noexcept:
        self.fault = fault
        buffer_free(&self.partial)
        return -1

    cdef Py_ssize_t _frame_size(self, const char* p) noexcept:
        """Bytes of the frame that begins with this prelude."""
        cdef Py_ssize_t total = number(p), headers = number(p + 4)
        if frames_crc(0, p, 8) != number(p + 8):
            return self._fail("a frame's prelude has a wrong check sum")
        if headers > HEADERS_MAX or total < FRAME_MIN + headers:
            return self._fail("a frame's headers are too long")
        if total - headers - FRAME_MIN > PAYLOAD_MAX:
            return self._fail("a frame's payload is too long")
        return total

    cdef int _frame(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        """One frame, whose prelude has been checked."""
        cdef FrameHeaders h
        cdef Py_ssize_t begin = PRELUDE + number(p + 4)
        cdef Py_ssize_t size = begin - PRELUDE
        if frames_crc(number(p + 8), p + 8, n - PRELUDE) != number(p + n - 4):
            return <int>self._fail("a frame has a wrong check sum")
        if size == self.chunk_headers_size and memcmp(p + PRELUDE, self.chunk_headers, size) == 0:
            return self._chunk(p + begin, n - begin - 4, out)
        if self._headers(p + PRELUDE, size, &h) < 0:
            return -1
        if span_is(&h.message_type, b"event", 5) or h.message_type.n < 0:
            if span_is(&h.event_type, b"chunk", 5):
                if size <= HEADERS_KEPT:
                    memcpy(self.chunk_headers, p + PRELUDE, size)
                    self.chunk_headers_size = size
                return self._chunk(p + begin, n - begin - 4, out)
        elif span_is(&h.message_type, b"exception", 9):
            add(out, exception_event(span_bytes(&h.exception_type), p[begin:n - 4]))
        elif span_is(&h.message_type, b"error", 5):
            add(out, error_event(
                span_bytes(&h.error_code), quoted(span_bytes(&h.error_message)), b""
            ))
        return 0

    cdef int _headers(self, const char* p, Py_ssize_t n, FrameHeaders* h) except -2:
        cdef Span[NAMES_MAX] names
        cdef const char* end = p + n
        cdef Py_ssize_t size
        cdef Span value
        cdef int count = 0, kind, k
        cdef set many = None
        h.message_type.n = h.event_type.n = h.exception_type.n = -1
        h.error_code.n = h.error_message.n = -1
        while p < end:
            size = <unsigned char>p[0]
            if end - p < size + 2:
                return <int>self._fail("a header does not end")
            value = Span(p + 1, size)
            for k in range(min(count, <int>NAMES_MAX)):
                if names[k].n == size and memcmp(names[k].p, value.p, size) == 0:
                    return <int>self._fail("a header is there twice")
            if count < NAMES_MAX:
                names[count] = value
            else:
                if many is None:
                    many = set()
                if value.p[:size] in many:
                    return <int>self._fail("a header is there twice")
                many.add(value.p[:size])
            count += 1
            p += 1 + size
            kind = <unsigned char>p[0]
            p += 1
            size = value_size(kind, p, end)
            if size < 0 or size > end - p:
                return <int>self._fail("a header has no such value")
            if kind == 7:
                note(h, &value, p + 2, size - 2)
            p += size
        return 0

    cdef int _chunk(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        """The payload of a `chunk` event."""
        cdef const char* close
        cdef const char* end = p + n
        cdef Span found = Span(NULL, -1)
        cdef FrameMember m
        cdef int whole = 0, status
        if n > 11 and memcmp(p, b'{"bytes":"', 10) == 0:
            close = <const char*>memchr(p + 10, c'"', n - 10)
            if close != NULL and is_rest(close + 1, end):
                status = self._event(p + 10, close - p - 10, out)
                if status != 0:
                    return status
        while p < end and p[0] in b" \t\r\n":
            p += 1
        if p == end:
            return 0
        if p[0] != c"{":
            return <int>self._fail("a frame's payload is no JSON object")
        p += 1
        while True:
            p = frames_member(p, end, &m, &whole)
            if p == NULL:
                break
            if member_is(&m, b"bytes", 5):
                found = Span(m.value, m.value_len)
        if not whole:
            return <int>self._fail("a frame's payload is no JSON object")
        if found.n < 0 or span_is(&found, b"null", 4):
            return 0
        text = unquoted(span_bytes(&found))
        status = 0
        if text is not None:
            status = self._event(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), out)
        return status if status else <int>self._fail("a frame's payload is not base64")

    cdef int _event(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        """One event in base64. 1: it is written, or none; 0: it is not base64; -1: `fault`."""
        cdef char[OPENING] opening
        cdef const char* close = NULL
        cdef char* room
        cdef Py_ssize_t size = frames_unbase64(opening, p, min(n, QUARTETS)), more = 0
        if size < 0 or (n > QUARTETS and size < OPENING):  # padded in the middle
            return 0
        if size > 9 and memcmp(opening, b'{"type":"', 9) == 0:
            close = <const char*>memchr(opening + 9, c'"', size - 9)
        if close == NULL or not self._is_type(opening + 9, close - opening - 9):
            return self._odd_event(p, n, out)
        begin_event(out, opening + 9, close - opening - 9, n)
        room = out.data + out.size
        memcpy(room, opening, size)
        if n > QUARTETS:
            more = frames_unbase64(room + size, p + QUARTETS, n - QUARTETS)
            if more < 0:
                out.size -= close - opening - 9 + 14
                return 0
        self._end_event(out, size + more)
        return 1

    cdef int _odd_event(self, const char* p, Py_ssize_t n, Buffer* out) except -2:
        """The same where its type does not come first."""
        cdef Buffer text = Buffer(NULL, 0, 0)
        cdef const char* at
        cdef const char* end
        cdef FrameMember m
        cdef int whole = 0
        try:
            text.size = frames_unbase64(buffer_room(&text, n + 3), p, n)
            if text.size < 0:
                return 0
            at = text.data
            end = at + text.size
            while at < end and at[0] in b" \t\r\n":
                at += 1
            if at == end or at[0] != c"{":
                return 1
            at += 1
            while True:
                at = frames_member(at, end, &m, &whole)
                if at == NULL:
                    return 1 if whole else <int>self._fail("an event is no JSON object")
                if member_is(&m, b"type", 4):
                    break
            if m.value[0] != c'"':
                return 1
            if not self._is_type(m.value + 1, m.value_len - 2):
                return <int>self._fail("an event has no such type")
            begin_event(out, m.value + 1, m.value_len - 2, n)
            memcpy(out.data + out.size, text.data, text.size)
            self._end_event(out, text.size)
            return 1
        finally:
            buffer_free(&text)

    cdef int _end_event(self, Buffer* out, Py_ssize_t size) except -2:
        """Its data is there: `size` bytes behind what is counted, and room for two more."""
        cdef char* data = out.data + out.size
        one_line(data, size)
        out.size += size
        if frames_find(data, size, METRICS + 6, METRICS_LEN - 6) != NULL:  # a `-` is rare
            self._strip_metrics(out, out.size - size)
        memcpy(out.data + out.size, b"\n\n", 2)
        out.size += 2
        return 0

    cdef int _strip_metrics(self, Buffer* out, Py_ssize_t begin) except -2:
        """Take the metrics out of the object from `begin` on; no other byte changes."""
        cdef const char* p = out.data + begin
        cdef const char* end = out.data + out.size
        cdef const char* before
        cdef char* first
        cdef char* to                  # behind the members that stay
        cdef FrameMember m
        cdef int whole
        while p[0] != c"{":
            p += 1
        p += 1
        first = to = <char*>p
        while True:
            before = p
            p = frames_member(p, end, &m, &whole)
            if p == NULL:
                break
            if not member_is(&m, METRICS, METRICS_LEN):
                memmove(to, before, p - before)
                to += p - before
                continue
            if m.value[0] == c"{" and m.value_len <= METRICS_MAX:
                self.metrics = m.value[:m.value_len]
            if to == first:            # the comma behind it goes with it
                before = p
                while before < end and before[0] in b" \t\r\n":
                    before += 1
                if before < end and before[0] == c",":
                    p = before + 1
        memmove(to, before, end - before)
        out.size -= before - to
        return 0


cdef int add(Buffer* out, bytes data) except -1:
    return buffer_add(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef void begin_event(Buffer* out, const char* name, Py_ssize_t n, Py_ssize_t room) except *:
    """Write an event up to its data, for which there is `room` then, and 5 bytes more."""
    cdef char* at = buffer_room(out, n + 14 + room + 5)
    memcpy(at, b"event: ", 7)
    memcpy(at + 7, name, n)
    memcpy(at + 7 + n, b"\ndata: ", 7)
    out.size += n + 14


cdef void one_line(char* p, Py_ssize_t n) noexcept:
    """Line ends between the tokens of an event would end its data."""
    cdef const char* end = p + n
    cdef char* at = p
    while True:
        at = <char*>memchr(at, c"\n", end - at)
        if at == NULL:
            break
        at[0] = c" "
    at = p
    while True:
        at = <char*>memchr(at, c"\r", end - at)
        if at == NULL:
            return
        at[0] = c" "


cdef bint is_rest(const char* p, const char* end) noexcept:
    """Whether only padding follows in the payload."""
    if end - p == 1:
        return p[0] == c"}"
    return (
        end - p >= 8
        and memcmp(p, b',"p":"', 6) == 0
        and <const char*>memchr(p + 6, c'"', end - p - 6) == end - 2
        and (end - 1)[0] == c"}"
        and memchr(p, c"\\", end - p) == NULL
    )


cdef void note(FrameHeaders* h, const Span* name, const char* p, Py_ssize_t n) noexcept:
    """A header whose value is text."""
    if span_is(name, b":message-type", 13):
        h.message_type = Span(p, n)
    elif span_is(name, b":event-type", 11):
        h.event_type = Span(p, n)
    elif span_is(name, b":exception-type", 15):
        h.exception_type = Span(p, n)
    elif span_is(name, b":error-code", 11):
        h.error_code = Span(p, n)
    elif span_is(name, b":error-message", 14):
        h.error_message = Span(p, n)
