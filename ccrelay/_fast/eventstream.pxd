"""AWS's event stream: frames to server-sent events. The contract."""

from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.frames cimport TYPE_MAX

cdef enum:
    HEADERS_KEPT = 96                  # the headers of a `chunk` frame have 75 bytes


ctypedef struct Span:
    const char* p
    Py_ssize_t n


ctypedef struct FrameHeaders:
    # The headers that matter, where they are text; n -1: absent.
    Span message_type
    Span event_type
    Span exception_type
    Span error_code
    Span error_message


cpdef bint use_simd(bint wanted)       # vector code on or off; whether it is used


cdef class EventStreamDecoder:
    cdef readonly bytes metrics        # JSON object of the last invocation metrics, or None
    cdef str fault                     # why no more can be decoded; None: it can
    cdef Buffer partial                # of a frame that is not here whole
    cdef Py_ssize_t wanted             # bytes of it, as far as they are known
    # the headers of the last `chunk` frame and the type of the last event: the next mostly has the
    # same, and needs no look at them
    cdef char[HEADERS_KEPT] chunk_headers
    cdef Py_ssize_t chunk_headers_size
    cdef char[TYPE_MAX] type
    cdef Py_ssize_t type_size

    # The bytes of `p` that were used, at least one; -1: malformed, see `fault`. Appends to `out`,
    # and stops behind the event with which it has `most` bytes.
    cdef Py_ssize_t push(
        self, const char* p, Py_ssize_t n, Py_ssize_t most, Buffer* out
    ) except -2
    cdef bint is_mid_frame(self) noexcept

    cdef bint _is_type(self, const char* p, Py_ssize_t n) noexcept
    cdef Py_ssize_t _fail(self, str fault) noexcept
    cdef Py_ssize_t _frame_size(self, const char* p) noexcept
    cdef int _frame(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef int _headers(self, const char* p, Py_ssize_t n, FrameHeaders* found) except -2
    cdef int _chunk(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef int _event(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef int _odd_event(self, const char* p, Py_ssize_t n, Buffer* out) except -2
    cdef int _end_event(self, Buffer* out, Py_ssize_t size) except -2
    cdef int _strip_metrics(self, Buffer* out, Py_ssize_t begin) except -2
