# cython: language_level=3
"""What is read of a response in passing, without delaying or copying its bytes.

An event stream goes through `SseTap`, a JSON answer through `MemberScan` for its `usage`;
anything else, and anything compressed, is only watched for life.
"""

cimport cython

from ccrelay._fast.http1 cimport F_CONTENT_ENCODING, F_CONTENT_TYPE, Head
from ccrelay._fast.json cimport MemberKeys
from ccrelay._fast.sse cimport CONTENT, SseTap
from ccrelay._fast.usage cimport Usage, usage_of_json, usage_of_stream

from ccrelay._fast.json import MemberKeys as _MemberKeys, MemberScan as _MemberScan
from ccrelay._fast.sse import SseTap as _SseTap

cdef enum:
    JSON_CAPTURE_MAX = 8192    # `usage` with iterations
    SLOT_USAGE = 0

cdef MemberKeys RESPONSE_KEYS = _MemberKeys(["usage"])


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


@cython.no_gc            # nothing it holds refers back
cdef class Taps:
    """The taps of one response at a time."""

    cdef void begin(self, Head head, int event_bytes_max, double now) except *:
        """Choose by the response's head what to look for."""
        self.life_at = now
        if head.find(F_CONTENT_ENCODING) >= 0:
            return
        if _media_type_is(head, b"text/event-stream", 17):
            self.sse = _SseTap(event_bytes_max)
        elif head.status == 200 and _media_type_is(head, b"application/json", 16):
            self.json = _MemberScan(RESPONSE_KEYS, JSON_CAPTURE_MAX)

    cdef void feed(self, const char* p, Py_ssize_t n, double now) noexcept:
        """Payload bytes, as they come."""
        cdef SseTap sse = self.sse
        if sse is None:
            self.life_at = now
            if self.json is not None:
                self.json.feed(p, n)
            return
        sse.feed(p, n)
        if sse.events != self.events_seen:
            self.events_seen = sse.events
            self.life_at = now
        if self.first_event_at == 0 and sse.verdict >= CONTENT:
            self.first_event_at = now

    cdef int verdict(self) noexcept:
        """Whether content has begun; a body without events is content by itself."""
        return self.sse.verdict if self.sse is not None else <int>CONTENT

    cpdef Usage usage(self):
        cdef SseTap sse = self.sse
        if sse is not None:
            return usage_of_stream(sse.kept_start, sse.kept_delta)
        return usage_of_json(self.raw_usage())

    cpdef bytes raw_usage(self):
        return self.json.value(SLOT_USAGE) if self.json is not None else None

    cdef void clear(self) noexcept:
        """Ready for the next response."""
        self.sse = None
        self.json = None
        self.life_at = self.first_event_at = 0
        self.events_seen = 0
