# cython: language_level=3
"""A request body on its way through the relay.

It is kept until the upstream's answer is committed, so that another attempt can send it again.
When the client's share of the memory for that (`replay_bytes_max`) is spent, a body passes through
a window instead: what has been sent is dropped and cannot be sent again. Memory is taken as bytes
arrive, whatever length was announced. While it arrives, the top-level members that matter are
looked for.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcmp, memcpy, memmove, memset

from ccrelay._fast.conn cimport READ_BYTES
from ccrelay._fast.http1 cimport F_CONTENT_ENCODING, Head, Piece, Walker, walk
from ccrelay._fast.json cimport COMPLETE, INVALID
from ccrelay._fast.memory_account cimport Arena

from ccrelay._fast.json import MemberKeys as _MemberKeys, MemberScan as _MemberScan

# What the relay reads of a body. A provider whose parser ignores case would read `MODEL` beside
# `model`, and take the last one.
GUARDED = (
    "model", "stream", "messages", "system", "tools", "tool_choice", "max_tokens", "thinking",
    "metadata", "output_config", "context_management",
)

cdef enum:
    DIRECT_MIN = 32768             # rest of a body for which recv into place pays
    CAPTURE_MAX = 1024             # bytes kept of a member; a model's name is far shorter
    PIECES_MAX = 64
    FIRST_BYTES = 4096             # of a body that does not come in one piece


cdef class BodyLimits:
    """Bounds of request bodies, bytes: of one (`body_bytes_max`), of all that are kept."""

    def __init__(self, *, body_bytes_max, replay_bytes_max):
        self.body_bytes_max = body_bytes_max
        self.replay_bytes_max = replay_bytes_max
        self.keys = _MemberKeys(["model", "stream"], guarded=GUARDED)


cdef bint names_a_model(Head head) noexcept:
    """Whether a body, which is not compressed, has a model to route by."""
    # Behind any prefix: clouds have the path below one (`relay.cloud_paths`).
    cdef const char* end = head.buf + head.target + head.path_len
    return (
        head.method_len == 4
        and head.path_len >= 12
        and memcmp(head.buf, b"POST", 4) == 0
        and (memcmp(end - 12, b"/v1/messages", 12) == 0 or (
            head.path_len >= 25 and memcmp(end - 25, b"/v1/messages/count_tokens", 25) == 0
        ))
        and head.find(F_CONTENT_ENCODING) < 0
    )


@cython.final
@cython.no_gc            # nothing it holds refers back; __dealloc__ needs its members alive
cdef class RequestBody:
    """The body of one request at a time."""

    def __cinit__(self, Arena arena, BodyLimits limits):
        self.arena = arena
        self.limits = limits

    def __dealloc__(self):
        self._free()

    cdef void begin(self, Head head) except *:
        """A new body, as its head announces it."""
        self.chunked = head.chunked
        self.left = head.content_length if head.content_length > 0 else 0
        self.total = -1 if head.chunked else self.left
        self.complete = self.total == 0
        if self.left > self.limits.body_bytes_max:
            self.scan = None
            self.fault = TOO_LONG
            return                       # the relay refuses it: nothing is kept
        # Nothing is taken for it yet: should the room be gone when it comes, it is windowed then.
        self.windowed = self.left > WINDOW_BYTES and not (
            self.share.fits(self.left, self.limits.replay_bytes_max)
        )
        if not names_a_model(head):
            self.scan = None
        elif self.scan is None:
            self.scan = _MemberScan(self.limits.keys, CAPTURE_MAX)

    cdef Py_ssize_t take(self, const char* p, Py_ssize_t n) except -2:
        """Bytes of p that belong to the body; look at `fault` and `complete` afterwards."""
        if self.chunked:
            return self._take_chunked(p, n)
        if self.total > self.limits.body_bytes_max or self.fault == NO_ROOM:
            return n                     # refused
        if n > self.left:
            n = <Py_ssize_t>self.left
        if self.size + n > self.cap and not self._room(n):
            self.fault = NO_ROOM
            return n
        memcpy(self.data + self.size, p, n)
        self.size += n
        self.left -= n
        self._seen(self.data + self.size - n, n)
        return n

    cdef Py_ssize_t _take_chunked(self, const char* p, Py_ssize_t n) except -2:
        cdef Piece pieces[PIECES_MAX]
        cdef int count = 0, k
        cdef Py_ssize_t used = walk(&self.walker, p, n, pieces, PIECES_MAX, &count)
        for k in range(count):
            if self.size + pieces[k].size > self.limits.body_bytes_max:
                self.fault = TOO_LONG
                return n
            if self.size + pieces[k].size > self.cap and not self._room(pieces[k].size):
                self.fault = NO_ROOM
                return n
            memcpy(self.data + self.size, p + pieces[k].at, pieces[k].size)
            self.size += pieces[k].size
            self._seen(self.data + self.size - pieces[k].size, pieces[k].size)
        if self.walker.fault:
            self.fault = BAD_FRAMING
            return n
        if self.walker.done:
            self.total = self.size
            self._seen(NULL, 0)
        return used if used > 0 else n

    cdef bint _room(self, Py_ssize_t n) noexcept:
        """Make room for n more bytes. False: there is none."""
        if self._grow(n):
            return True
        if self.chunked or self.windowed or self.fault:
            return False
        self.windowed = True             # it need not be kept: it passes through
        return self._grow(n)

    cdef bint _grow(self, Py_ssize_t n) noexcept:
        """A larger buffer, by as much as has arrived, charged to the client."""
        cdef Py_ssize_t want, cap = 0
        cdef char* fresh
        want = max(self.size + n, self.cap * 2, <Py_ssize_t>FIRST_BYTES)
        if self.total >= 0 and want > self.total - self.base:
            want = <Py_ssize_t>(self.total - self.base)
        if (
            not self.windowed
            and self.size + n > WINDOW_BYTES
            and not self.share.fits(want - self.cap, self.limits.replay_bytes_max)
        ):
            return False
        fresh = self.arena.take(want, &cap)
        if fresh == NULL:
            return False
        if not self.share.take(cap - self.cap):
            self.arena.give(fresh, cap)
            return False
        if self.data != NULL:
            memcpy(fresh, self.data, self.size)
            self.arena.give(self.data, self.cap)
        self.data = fresh
        self.cap = cap
        return True

    cdef void _free(self) noexcept:
        if self.data != NULL:
            self.arena.give(self.data, self.cap)
            self.share.give(self.cap)
            self.data = NULL
            self.cap = 0

    cdef void _seen(self, const char* p, Py_ssize_t n) noexcept:
        """Bytes have been added: look at them, and whether they were the last."""
        cdef bint last = self.total >= 0 and self.base + self.size >= self.total
        if self.scan is not None and not self.fault:
            if n:
                self.scan.feed(p, n)
            if self.scan.state == INVALID:
                self.fault = TOO_DEEP if self.scan.is_too_deep() else NOT_JSON
            elif self.scan.slots[SLOT_MODEL].seen > 1:
                self.fault = SECOND_MODEL
            elif self.scan.other_case:
                self.fault = OTHER_CASE
            elif last and self.scan.state != COMPLETE:
                self.fault = NOT_JSON
        self.complete = last

    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept:
        """Where the next large read may put its bytes; False: read them elsewhere."""
        cdef Py_ssize_t room
        if self.chunked or self.windowed or self.left < DIRECT_MIN or self.data == NULL:
            return False
        if self.fault or (self.cap - self.size < DIRECT_MIN and not self._grow(DIRECT_MIN)):
            return False
        room = self.cap - self.size
        if room > self.left:
            room = <Py_ssize_t>self.left
        if room > READ_BYTES:
            room = READ_BYTES
        if room < DIRECT_MIN:
            return False
        p[0] = self.data + self.size
        n[0] = room
        return True

    cdef void direct_taken(self, Py_ssize_t n) noexcept:
        """A read has put n bytes where `direct_room` said."""
        self.left -= n
        self.size += n
        self._seen(self.data + self.size - n, n)

    cdef bint window_full(self) noexcept:
        """Whether reading has to wait until some of it is sent."""
        return self.windowed and not self.complete and self.size >= WINDOW_BYTES

    cdef bint model_ready(self) noexcept:
        return self.scan is not None and self.scan.ready(SLOT_MODEL)

    cdef bytes slot(self, int slot):
        """Raw JSON of a member that has been seen whole, or None."""
        return self.scan.value(slot) if self.scan is not None and self.scan.ready(slot) else None

    cdef bytes piece(self, Py_ssize_t at, Py_ssize_t n):
        if at < 0 or n <= 0 or at >= self.size:
            return b""
        return PyBytes_FromStringAndSize(self.data + at, min(n, self.size - at))

    cdef bytes whole(self):
        return PyBytes_FromStringAndSize(self.data, self.size) if self.size else b""

    cdef void consumed(self, int64_t upto) noexcept:
        """The upstream has taken the body up to there; a window makes room."""
        cdef Py_ssize_t gone = <Py_ssize_t>(upto - self.base)
        if not self.windowed or gone <= 0 or gone > self.size:
            return
        if self.size > 2 * WINDOW_BYTES and 2 * gone < self.size:
            return                       # it was kept at first: moved by halves
        memmove(self.data, self.data + gone, self.size - gone)
        self.size -= gone
        self.base += gone
        if self.size == 0 and self.cap > 2 * WINDOW_BYTES:
            self._free()

    cdef void drop(self) noexcept:
        """No attempt will need it again."""
        if self.complete and self.data != NULL:
            self._free()
            self.base += self.size
            self.size = 0
            self.windowed = True
            self.scan = None

    cdef void reset(self) noexcept:
        """Ready for the next request."""
        self._free()
        self.size = 0
        self.base = self.left = self.total = 0
        self.complete = self.chunked = self.windowed = False
        self.fault = FINE
        memset(&self.walker, 0, sizeof(Walker))
        if self.scan is not None:
            self.scan.reset()
