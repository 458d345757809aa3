# cython: language_level=3
"""What is read of a response in passing, without delaying or copying its bytes.

Where an answer is expected, a response is believed by what it carries, not by its labels: its first
bytes say what it is (`ContentKind`), whatever status, type and coding it claims. An event stream
goes through `SseTap`, JSON through `MemberScan` (is it a message; its `usage`). A content coding is
undone for this inspection, if there is a decoder for it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free
from ccrelay._fast.eventstream cimport EventStreamDecoder
from ccrelay._fast.http1 cimport F_CONTENT_ENCODING, F_CONTENT_TYPE, Head
from ccrelay._fast.json cimport COMPLETE, SCANNING, MemberKeys
from ccrelay._fast.sse cimport CONTENT, FAILED, WAITING, SseTap
from ccrelay._fast.usage cimport Usage, add_metrics, usage_of_json, usage_of_stream

from ccrelay._fast.json import MemberKeys as _MemberKeys, MemberScan as _MemberScan
from ccrelay._fast.sse import SseTap as _SseTap

cdef enum:
    JSON_CAPTURE_MAX = 8192    # `usage` with iterations
    SLOT_USAGE = 0
    SLOT_TYPE = 1
    SLOT_ERROR = 2
    SLOT_CONTENT = 3
    SLOT_COUNT = 4
    SLOT_CODE = 5
    SLOT_MESSAGE = 6
    SLOT_MSG = 7
    DECODED_PIECE = 262144     # bytes that a decoder may return at a time
    DECODED_MAX = 1 << 28      # of one response: beyond, it is no answer but a bomb
    FEED_MAX = 1 << 30         # a feed is at most a read
    KEPT_MAX = 1 << 20         # while it is not known yet what this is
    UNPROVEN_MAX = 131072      # what has shown no sign of an answer by then is none

cdef MemberKeys RESPONSE_KEYS = _MemberKeys(
    ["usage", "type", "error", "content", "input_tokens", "code", "message", "msg"], captured=4
)


cdef bint _media_type_is(Head head, const char* name, Py_ssize_t n) noexcept:
    """Whether Content-Type names this type, whatever its parameters. `name` is lower case."""
    cdef int k = head.find(F_CONTENT_TYPE)
    cdef const char* value
    cdef Py_ssize_t i
    cdef char c
    if k < 0 or head.fields[k].value_len < n:
        return False
    value = head.buf + head.fields[k].value
    for i in range(n):
        c = value[i]
        if c >= 65 and c <= 90:
            c += 32
        if c != name[i]:
            return False
    return head.fields[k].value_len == n or value[n] == b";" or value[n] == b" "


cdef int _stream_opening(const char* p, int n) noexcept:
    """EVENT_STREAM, TEXT, or UNDECIDED_KIND while a field name could still follow."""
    if p[0] == b":" or (n >= 3 and memcmp(p, b"id:", 3) == 0):
        return EVENT_STREAM
    if memcmp(p, b"data:", min(n, 5)) == 0:
        return EVENT_STREAM if n >= 5 else UNDECIDED_KIND
    if memcmp(p, b"event:", min(n, 6)) == 0:
        return EVENT_STREAM if n >= 6 else UNDECIDED_KIND
    if memcmp(p, b"retry:", min(n, 6)) == 0:
        return EVENT_STREAM if n >= 6 else UNDECIDED_KIND
    return UNDECIDED_KIND if memcmp(p, b"id:", min(n, 3)) == 0 else TEXT


@cython.no_gc            # nothing it holds refers back
cdef class Taps:
    """The taps of one response at a time."""

    def __dealloc__(self):
        buffer_free(&self.kept)
        buffer_free(&self.decoded)

    cdef void begin(self, Head head, int event_bytes_max, double now) except *:
        """Choose by the response's head what to look for."""
        self.life_at = now
        self.event_bytes_max = event_bytes_max
        self.declared = _media_type_is(head, b"text/event-stream", 17)
        if head.find(F_CONTENT_ENCODING) >= 0:
            self.encoded = True
            self.kind = ENCODED
        elif self.declared:
            self._begin_kind(EVENT_STREAM)
        elif head.status == 200 and _media_type_is(head, b"application/json", 16):
            self._begin_kind(JSON)

    cdef void expect(self, int expected, Py_ssize_t keep_max) except *:
        """Believe the body by what it carries. Call it before any byte of it.

        `keep_max`: keep the body from its first byte, at most so many bytes; 0: only one that turns
        out to be no answer.
        """
        self.expected = expected
        self.keeps = True
        self.keep_max = keep_max
        if self.kind != ENCODED:
            self.kind = UNDECIDED_KIND
            self.sse = None
            self.json = None

    cdef void keep(self, Py_ssize_t keep_max) noexcept:
        """Keep the body, at most so many bytes, with what was kept of it so far."""
        self.keeps = True
        self.keep_max = keep_max
        self.decodes_for_client = False

    cdef void decode_with(self, object decoder, bint for_client) noexcept:
        """Undo the content coding, or what a cloud puts its events into.

        `decoder.decode(data, most)` returns a piece and what is left of `data`; ValueError: not in
        that coding. `for_client`: what is decoded is also collected in `decoded`.
        """
        self.decoder = decoder
        self.frames = None
        if isinstance(decoder, EventStreamDecoder):
            self.frames = <EventStreamDecoder>decoder
            self.declared = True               # what comes out of it is events
        self.decodes_for_client = for_client
        self.kind = UNDECIDED_KIND

    cdef void feed(self, const char* p, Py_ssize_t n, double now) except *:
        """Payload bytes, as they come."""
        cdef bytes data, piece
        if self.decoder is None:
            if not (self.broken and self.decodes_for_client):
                self._feed_plain(p, n, now)
            return
        if self.frames is not None:
            self._feed_frames(p, n, now)
            return
        data = p[:n]
        while data:
            try:
                piece, data = self.decoder.decode(data, DECODED_PIECE)
            except ValueError:
                self._break()
                return
            if self.size + PyBytes_GET_SIZE(piece) > DECODED_MAX:
                self._break()
                return
            if piece:
                self._feed_plain(PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), now)
                if self.decodes_for_client:
                    buffer_add(&self.decoded, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))

    cdef void _feed_frames(self, const char* p, Py_ssize_t n, double now) except *:
        """Frames of AWS: no object is made of them, and none of their events."""
        cdef Buffer* out = &self.decoded
        cdef Py_ssize_t begin = out.size
        cdef bint is_broken = self.frames.push(p, n, FEED_MAX, out) < 0
        if out.size > begin:
            self._feed_plain(out.data + begin, out.size - begin, now)
        if is_broken:
            self._break()
        if not self.decodes_for_client:
            buffer_free(out)

    cdef void _break(self) noexcept:
        """It is not in the coding that it claims: nothing more can be read of it."""
        self.decoder = None
        self.broken = True
        if self.kind == UNDECIDED_KIND or self.kind == JSON:
            self.kind = TEXT

    cdef void _feed_plain(self, const char* p, Py_ssize_t n, double now) except *:
        cdef SseTap sse
        self.size += n
        if self.kind == UNDECIDED_KIND and self.keeps and n > 0:
            self._open(p, n)
        else:
            if self.sse is not None:
                self.sse.feed(p, n)
            elif self.json is not None:
                self.json.feed(p, n)
        if self.kind == JSON and self.expected:
            self._judge_json()
        elif self.kind == UNDECIDED_KIND and self.expected and self.size > UNPROVEN_MAX:
            self.kind = TEXT
        if self.keeps:
            if self.kind == ANSWER and self.keep_max == 0:
                self.keeps = False
                buffer_free(&self.kept)
            elif self.kept.size + n > (self.keep_max or <Py_ssize_t>KEPT_MAX):
                self.overflow = True
            elif not self.overflow:
                buffer_add(&self.kept, p, n)
        sse = self.sse
        if sse is None:
            self.life_at = now
            return
        if sse.events != self.events_seen:
            self.events_seen = sse.events
            self.life_at = now
        if self.first_event_at == 0 and sse.verdict >= CONTENT:
            self.first_event_at = now

    cdef void _open(self, const char* p, Py_ssize_t n) except *:
        """Look at the first bytes until they say what this is, then begin with it."""
        cdef Py_ssize_t i = 0
        cdef int kind = UNDECIDED_KIND
        cdef int before = self.opening_size
        cdef char c
        if before == 0:
            while i < n and (p[i] == b" " or b"\t" <= p[i] <= b"\r" or <unsigned char>p[i] in (
                0xEF, 0xBB, 0xBF,  # a byte order mark
            )):
                i += 1
            if i == n:
                return
        while kind == UNDECIDED_KIND and i < n:
            self.opening[self.opening_size] = p[i]
            self.opening_size += 1
            i += 1
            c = self.opening[0]
            if c == b"{":
                kind = JSON
            elif c == b"[":
                kind = FOREIGN_JSON
            elif c == b"<":
                kind = PAGE
            else:
                kind = _stream_opening(self.opening, self.opening_size)
        if kind == UNDECIDED_KIND:
            return
        if kind == TEXT and self.declared:
            kind = EVENT_STREAM                # nothing contradicts its label
        self._begin_kind(kind)
        if self.sse is not None:
            self.sse.feed(self.opening, self.opening_size)
            self.sse.feed(p + i, n - i)
        elif self.json is not None:
            self.json.feed(self.opening, self.opening_size)
            self.json.feed(p + i, n - i)

    cdef void _begin_kind(self, int kind) except *:
        self.kind = kind
        if kind == EVENT_STREAM:
            self.keeps = False                 # the tap keeps what matters
            self.sse = _SseTap(self.event_bytes_max)
        elif kind == JSON:
            self.json = _MemberScan(RESPONSE_KEYS, JSON_CAPTURE_MAX)

    cdef void _judge_json(self) except *:
        """Whether the JSON object is an answer, as far as it is here."""
        cdef MemberScan json = self.json
        cdef bytes content
        if self.expected == A_COUNT:
            if json.slots[SLOT_COUNT].seen:
                self.kind = ANSWER
                return
        elif json.slots[SLOT_TYPE].end >= 0 and json.value(SLOT_TYPE) == b'"message"':
            self.kind = ANSWER
            return
        if json.state == SCANNING:
            if self.size > UNPROVEN_MAX and not json.slots[SLOT_CONTENT].seen:
                self.kind = FOREIGN_JSON
            return
        self.kind = FOREIGN_JSON
        if json.state != COMPLETE or json.value(SLOT_TYPE) == b'"error"':
            return
        if json.slots[SLOT_ERROR].seen and json.value(SLOT_ERROR) != b"null":
            return
        content = json.value(SLOT_CONTENT)     # None: it is long
        if self.expected == A_COUNT:
            if not (json.slots[SLOT_CODE].seen or json.slots[SLOT_MESSAGE].seen
                    or json.slots[SLOT_MSG].seen):
                self.kind = ANSWER
        elif json.slots[SLOT_CONTENT].seen and not json.slots[SLOT_TYPE].seen \
                and (content is None or content[:1] == b"["):
            self.kind = ANSWER                 # some endpoints leave `type` out

    cdef void end(self) except *:
        """No more bytes will come."""
        if self.kind == UNDECIDED_KIND:
            self.kind = TEXT if self.opening_size else NOTHING
        elif self.kind == JSON and self.expected:
            self.kind = FOREIGN_JSON

    cdef int verdict(self) noexcept:
        """Whether content has begun; a body that need not prove itself is content at once."""
        if self.sse is not None:
            return self.sse.verdict
        if not self.expected or self.kind == ANSWER or self.kind == ENCODED:
            return CONTENT
        return WAITING if self.kind == UNDECIDED_KIND or self.kind == JSON else <int>FAILED

    cdef bint is_cut(self) noexcept:
        """Whether a body that ends here ends in the middle of something."""
        if not self.expected or self.broken:
            return False
        if self.sse is not None and self.sse.stopped:
            return False
        if self.frames is not None and self.frames.is_mid_frame():
            return True
        if self.sse is not None:
            return not self.sse.at_boundary
        return self.json is not None and self.json.state == SCANNING

    cdef bint is_unfinished(self) noexcept:
        """Whether a body that is whole by its framing has no end of its own."""
        return self.is_cut() or (
            self.sse is not None and not self.sse.stopped and not self.broken
        )

    cpdef Usage usage(self):
        cdef SseTap sse = self.sse
        cdef Usage usage
        if sse is not None:
            usage = usage_of_stream(sse.kept_start, sse.kept_delta)
            if usage is not None and self.frames is not None:
                add_metrics(usage, self.frames.metrics)
            return usage
        return usage_of_json(self.raw_usage())

    cpdef bytes raw_usage(self):
        return self.json.value(SLOT_USAGE) if self.json is not None else None

    cdef int64_t held(self) noexcept:
        """Bytes of memory that the response takes here."""
        cdef int64_t held = self.kept.cap + self.decoded.cap
        return held if self.frames is None else held + self.frames.partial.cap

    cdef bytes take_kept(self):
        """What was kept of the body, decoded, without a byte order mark."""
        cdef Py_ssize_t begin = 0
        if self.kept.size >= 3 and memcmp(self.kept.data, b"\xef\xbb\xbf", 3) == 0:
            begin = 3
        try:
            return self.kept.data[begin:self.kept.size] if self.kept.size else b""
        finally:
            buffer_free(&self.kept)

    cdef void clear(self) noexcept:
        """Ready for the next response."""
        self.sse = None
        self.json = None
        self.decoder = self.frames = None
        self.life_at = self.first_event_at = 0
        self.events_seen = self.size = 0
        self.kind = UNDECIDED_KIND
        self.expected = ANYTHING
        self.opening_size = 0
        self.encoded = self.declared = self.decodes_for_client = False
        self.keeps = self.overflow = self.broken = False
        self.keep_max = 0
        buffer_free(&self.kept)
        buffer_free(&self.decoded)
