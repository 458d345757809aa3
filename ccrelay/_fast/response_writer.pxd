"""A response's body in the framing that its client gets. The contract."""

from libc.stdint cimport int64_t

from ccrelay._fast.body_framing cimport BodyFraming
from ccrelay._fast.buffer cimport Buffer
from ccrelay._fast.event_encoder cimport EventStreamEncoder
from ccrelay._fast.http1 cimport Piece
from ccrelay._fast.taps cimport Taps


cdef class ResponseWriter:
    cdef int framing                   # http1.Framing of what goes downstream
    cdef object encoder                # None: the client gets the bytes that the taps see
    cdef EventStreamEncoder frames     # the same, if it is one
    cdef bint failed                   # the encoder could make nothing of the body
    cdef const char* data              # the output of the last `put`
    cdef Py_ssize_t size

    cdef void begin(self) noexcept
    cdef void encode_with(self, object encoder) noexcept
    cdef int64_t held(self) noexcept
    cdef bint put(
        self, Taps taps, BodyFraming* body, Buffer* made, const char* p, Py_ssize_t n,
        const Piece* pieces, int count,
    ) except -1

    cdef int _keep(self, BodyFraming* body, Buffer* made, const char* p, Py_ssize_t n) except -1
    cdef int _encode(self, Buffer* plain) except -1
    cdef int _encode_frames(self, Buffer* plain) except -1
    cdef int _frame(self, Buffer* made, const char* p, const Piece* pieces, int count) except -1
