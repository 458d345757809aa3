"""Writes heads: what of a message goes on, in which framing. The contract."""

cimport cython
from libc.stdint cimport int64_t, uint8_t

from ccrelay._fast.http1 cimport Head


cpdef enum Framing:
    KEEP = 0                 # content-length / transfer-encoding as the upstream sent them
    CHUNKED = 1
    CLOSE = 2                # neither: the body ends with the connection
    LENGTH = 3               # content-length: `length`


@cython.final
cdef class RequestPlan:
    # How requests to one target are written; created once per target, immutable.
    cdef bytes host
    cdef bytes prefix        # stands before the path: b"" or b"/api/anthropic"
    cdef bytes lines         # encoded: Host, credentials, static headers, Accept-Encoding: identity
    cdef uint8_t drop[64]    # by FieldId: 1 = not forwarded
    cdef frozenset drop_names    # other names (bytes), folded, and those overridden by `lines`
    cdef frozenset drop_betas    # anthropic-beta values (bytes) not forwarded; None: verbatim

    # content_length -1: keep no length (a GET); chunked wins over content_length. `path`: path and
    # query, of the relay's own making: nothing of the client's target is copied. `more`: ready
    # header lines of this request
    cdef bytes write(
        self, Head head, int64_t content_length, bint chunked, bytes path, bytes more
    )


# The head sent downstream for an upstream head: the fields that may pass, byte for byte and in
# order; framing and `extra` (encoded lines or b"") come last. `keep_alive` False adds `Connection:
# close`. `plain`: the content coding was undone. `media_type`: replaces the Content-Type; b"": it
# stays. A status without a body gets no framing.
cdef bytes write_response(
    Head head, int framing, int64_t length, bint keep_alive, bytes extra, bint plain,
    bytes media_type,
)
