"""Where a response body ends (RFC 9112 section 6.3), and the payload in what has come of it."""

from libc.stdint cimport int64_t
from libc.string cimport memset

from ccrelay._fast.chunks cimport END_LF
from ccrelay._fast.http1 cimport Head, Piece, Walker, walk

cdef enum:
    B_NONE = 0
    B_LENGTH = 1
    B_CHUNKED = 2
    B_CLOSE = 3
    PIECES_MAX = 64


ctypedef struct BodyFraming:
    int kind                 # how the body ends
    int64_t left             # of B_LENGTH
    Walker walker            # of B_CHUNKED
    int trailer_seen         # bytes of its trailer section that were kept back


cdef inline void begin_body(BodyFraming* body, Head head, bint is_head) noexcept:
    """A response head is here. `is_head`: the answer to HEAD."""
    memset(body, 0, sizeof(BodyFraming))
    if is_head or head.status == 204 or head.status == 304:
        body.kind = B_NONE
    elif head.chunked:
        body.kind = B_CHUNKED
    elif head.content_length >= 0:
        body.kind = B_LENGTH
        body.left = head.content_length
    else:
        body.kind = B_CLOSE


cdef inline bint body_is_over(const BodyFraming* body) noexcept:
    """Whether no further byte belongs to the body."""
    if body.kind == B_CHUNKED:
        return body.walker.done
    return body.kind == B_NONE or (body.kind == B_LENGTH and body.left == 0)


cdef inline bint has_trailer(const BodyFraming* body) noexcept:
    """Whether a field follows the last chunk, so that `without_trailer` must be asked."""
    cdef const Walker* w = &body.walker
    return w.trailer > 2 or (w.trailer > 0 and w.state != END_LF)


cdef inline Py_ssize_t without_trailer(BodyFraming* body, Py_ssize_t n) noexcept:
    """How many of the `n` bytes that were just consumed stand before the trailer section.

    Its fields would be under no policy. The empty line that ends it is among what is left out.
    """
    n -= body.walker.trailer - body.trailer_seen
    body.trailer_seen = body.walker.trailer
    return n


cdef inline Py_ssize_t take_payload(
    BodyFraming* body, const char* p, Py_ssize_t n, Piece* pieces, int* count
) noexcept:
    """Find payload, at most PIECES_MAX pieces of it; return the bytes consumed."""
    count[0] = 0
    if body.kind == B_CHUNKED:
        return walk(&body.walker, p, n, pieces, PIECES_MAX, count)
    if body.kind == B_LENGTH:
        if n > body.left:
            n = <Py_ssize_t>body.left
        body.left -= n
    pieces[0].at = 0
    pieces[0].size = n
    count[0] = 1
    return n
