# cython: language_level=3
"""A response's body on its way to the client: decoded, encoded, in its final framing.

    read -> payload -> taps -> [what they decoded] -> [encoder] -> chunk, or bytes as they are

Bytes that pass unchanged are not copied: `data` points into the read.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from ccrelay._fast.body_framing cimport has_trailer, without_trailer
from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_chunk, buffer_free, buffer_take
from ccrelay._fast.event_encoder cimport EventStreamEncoder
from ccrelay._fast.head_writer cimport CHUNKED, KEEP


@cython.final
@cython.no_gc            # an encoder refers back to nothing
cdef class ResponseWriter:
    """Writes the bodies of the responses of one connection, one at a time."""

    cdef void begin(self) noexcept:
        """Ready for the next response."""
        self.encode_with(None)
        self.framing = KEEP
        self.data = NULL
        self.size = 0

    cdef void encode_with(self, object encoder) noexcept:
        """`encoder.encode(data)` makes what the client gets; None: nothing does."""
        self.encoder = encoder
        self.frames = None
        if isinstance(encoder, EventStreamEncoder):
            self.frames = <EventStreamEncoder>encoder
        self.failed = False

    cdef int64_t held(self) noexcept:
        """Bytes of memory that the response takes here."""
        return 0 if self.frames is None else self.frames.held()

    cdef bint put(
        self, Taps taps, BodyFraming* body, Buffer* made, const char* p, Py_ssize_t n,
        const Piece* pieces, int count,
    ) except -1:
        """Take what a read has brought, `n` bytes with `count` pieces of payload, which the taps
        have seen: `data` and `size` are what the client gets of it. False: nothing yet.

        `made`: empty; it owns `data` where that is not in the read, and is the caller's to free.
        """
        cdef Buffer plain = Buffer(NULL, 0, 0)
        cdef Piece whole
        cdef int k
        if self.encoder is None and not taps.decodes_for_client:
            if self.framing == KEEP:
                self._keep(body, made, p, n)
            else:
                self._frame(made, p, pieces, count)
            return True
        self.size = 0
        try:
            if taps.decodes_for_client:
                plain = buffer_take(&taps.decoded)
            else:
                for k in range(count):
                    buffer_add(&plain, p + pieces[k].at, pieces[k].size)
            if self.frames is not None:
                self._encode_frames(&plain)
            elif self.encoder is not None:
                self._encode(&plain)
            if plain.size == 0:
                return False
            if self.framing == CHUNKED:
                whole = Piece(0, plain.size)
                self._frame(made, plain.data, &whole, 1)
            else:
                made[0] = buffer_take(&plain)
                self.data, self.size = made.data, made.size
        finally:
            buffer_free(&plain)
        return True

    cdef int _keep(self, BodyFraming* body, Buffer* made, const char* p, Py_ssize_t n) except -1:
        """The bytes as they came, without trailer fields."""
        self.data, self.size = p, n
        if not has_trailer(body):
            return 0
        self.size = without_trailer(body, n)
        if body.walker.done:
            buffer_add(made, p, self.size)
            buffer_add(made, b"\r\n", 2)
            self.data, self.size = made.data, made.size
        return 0

    cdef int _encode(self, Buffer* plain) except -1:
        """Put what the encoder makes of it in its place."""
        cdef bytes data = PyBytes_FromStringAndSize(plain.data, plain.size) if plain.size else b""
        buffer_free(plain)
        if self.failed:
            return 0
        try:
            data = self.encoder.encode(data)
        except ValueError:
            self.failed = True
            return 0
        return buffer_add(plain, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))

    cdef int _encode_frames(self, Buffer* plain) except -1:
        """The same without an object for it."""
        cdef Buffer made = Buffer(NULL, 0, 0)
        if not self.failed:
            self.failed = self.frames.push(plain.data, plain.size, &made) < 0
        buffer_free(plain)
        plain[0] = made
        return 0

    cdef int _frame(self, Buffer* made, const char* p, const Piece* pieces, int count) except -1:
        """Pieces of `p` as one chunk, or joined."""
        cdef int k
        if self.framing != CHUNKED and count == 1:
            self.data, self.size = p + pieces[0].at, pieces[0].size
            return 0
        if self.framing == CHUNKED:
            buffer_chunk(made, p, pieces, count)
        else:
            for k in range(count):
                buffer_add(made, p + pieces[k].at, pieces[k].size)
        self.data, self.size = made.data, made.size
        return 0
