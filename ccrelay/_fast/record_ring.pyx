# cython: language_level=3
"""A worker's ring of records in the shared memory; see record_ring.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from ccrelay._fast.shared_memory cimport RING_WORDS, SharedMemory, word_get, word_set
from ccrelay._fast.usage cimport Usage

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef extern from "msgpack.h" nogil:
    # Write one value; return what is behind it.
    unsigned char* put_hash(unsigned char* p, uint64_t value) noexcept
    unsigned char* put_int(unsigned char* p, int64_t value) noexcept
    unsigned char* put_real(unsigned char* p, double value) noexcept
    unsigned char* put_text(unsigned char* p, const char* text, Py_ssize_t n) noexcept
    int INT_BYTES                      # of a number, at most
    int TEXT_HEAD                      # of a text, beside its own

cdef enum:
    FRAME_HEAD = 4                     # u32: the bytes of a frame
    FIRST_BYTES = 2048                 # most records have a few hundred
    TEXT_MAX = 512
    NAMES_MAX = 2048                   # lists of targets, which the relay itself makes
    RECORD_MAX = 65536

# The wall clock may be set while the relay runs.
cdef double OFFSET_KEEPS_S = 1.0

TEXT_BYTES_MAX = TEXT_MAX
NAMES_BYTES_MAX = NAMES_MAX
RECORD_BYTES_MAX = RECORD_MAX


cdef inline unsigned char* room(RecordRing ring, Py_ssize_t n) except NULL:
    """Where the next values go, up to `n` bytes of them; who writes them sets `size`."""
    if ring.size + n <= ring.cap:
        return ring.data + ring.size
    return ring.grow(n)


cdef inline int64_t micros_of(double seconds) noexcept:
    """Microseconds; 0 where the time is negative or no number."""
    return <int64_t>(seconds * 1e6) if 0.0 < seconds < 1e12 else 0


cdef bytes encode(str value, Py_ssize_t most):
    """The beginning of a text as UTF-8, whole characters only."""
    cdef bytes encoded = value[:most].encode("utf-8", "replace")       # `?` for a lone surrogate
    cdef const char* p = PyBytes_AS_STRING(encoded)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(encoded)
    if n <= most:
        return encoded
    n = most
    while n > 0 and (<uint8_t>p[n] & 0xC0) == 0x80:             # in the middle of a character
        n -= 1
    return encoded[:n]


def pack(*values, Py_ssize_t most=TEXT_MAX):
    """Texts (None: empty) as they are written into records, for what many records share.

    Args:
        values: the texts.
        most: bytes of each; longer ones are cut.
    """
    cdef unsigned char[NAMES_MAX + 3] data
    cdef bytes encoded, found = b""
    cdef unsigned char* end
    for value in values:
        encoded = encode(value or "", min(most, NAMES_MAX))
        end = put_text(data, PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))
        found += (<char*>data)[:end - data]
    return found


@cython.final
cdef class RecordRing:
    """The writing end of a worker's ring: members of a record, then `put`.

    Args:
        memory: mapped by the worker whose ring it is.

    Raises:
        ValueError: the memory is mapped read-only.
    """

    def __init__(self, SharedMemory memory not None):
        if memory.worker < 0:
            raise ValueError("records are written by workers only")
        self.memory = memory
        self.words = memory.ring(memory.worker)
        self.ring = <char*>(self.words + RING_WORDS)
        self.ring_bytes = memory.ring_bytes

    def __dealloc__(self):
        free(self.data)

    # ---- members

    cpdef object begin(self):
        """Start a record; what was written of another one and not put is forgotten."""
        self.size = 0

    cpdef object array(self, Py_ssize_t n):
        """The next `n` values are one array."""
        cdef unsigned char* p
        if not 0 <= n <= 0xFFFF:
            raise ValueError(f"an array of {n}")
        p = room(self, TEXT_HEAD)
        if n < 16:
            p[0] = <unsigned char>(0x90 | n)
            self.size += 1
        else:
            p[0] = 0xDC
            p[1] = <unsigned char>(n >> 8)
            p[2] = <unsigned char>(n & 0xFF)
            self.size += 3

    cpdef object integer(self, int64_t value):
        cdef unsigned char* p = room(self, INT_BYTES)
        self.size = put_int(p, value) - self.data

    cpdef object integers(self, int64_t a, int64_t b, int64_t c, int64_t d):
        """Four of them: a call costs more than what it writes."""
        cdef unsigned char* p = room(self, 4 * INT_BYTES)
        p = put_int(put_int(put_int(put_int(p, a), b), c), d)
        self.size = p - self.data

    cpdef object hash(self, uint64_t value):
        """An integer of 64 bits without a sign."""
        cdef unsigned char* p = room(self, INT_BYTES)
        self.size = put_hash(p, value) - self.data

    cpdef object micros(self, double seconds):
        """A span of time as microseconds; 0 where it is negative or no number."""
        cdef unsigned char* p = room(self, INT_BYTES)
        self.size = put_int(p, micros_of(seconds)) - self.data

    cpdef object real(self, double value):
        cdef unsigned char* p = room(self, INT_BYTES)
        self.size = put_real(p, value) - self.data

    cpdef object flag(self, bint value):
        room(self, 1)[0] = 0xC3 if value else 0xC2
        self.size += 1

    def nil(self):
        room(self, 1)[0] = 0xC0
        self.size += 1

    cpdef object text(self, object value):
        """A text of at most TEXT_BYTES_MAX bytes, cut there; None is written as an empty one."""
        self.add_str(value, TEXT_MAX)

    cpdef object texts(self, object a, object b, object c, object d):
        """Four of them."""
        self.add_str(a, TEXT_MAX)
        self.add_str(b, TEXT_MAX)
        self.add_str(c, TEXT_MAX)
        self.add_str(d, TEXT_MAX)

    cpdef object names(self, object value):
        """As `text`, for a list that the relay has made: at most NAMES_BYTES_MAX bytes."""
        self.add_str(value, NAMES_MAX)

    cpdef object packed(self, bytes values):
        """What `pack` has made."""
        cdef Py_ssize_t n = PyBytes_GET_SIZE(values)
        memcpy(room(self, n), PyBytes_AS_STRING(values), n)
        self.size += n

    # ---- members of a record of an exchange, several by one call

    cpdef object opening(
        self, Py_ssize_t members, str exchange_id, double now, double received_at, object wall,
        int kind, int traffic, object model,
    ):
        """Id, instant, duration, kind, traffic and model."""
        cdef unsigned char* p
        self.begin()
        self.array(members)
        self.add_str(exchange_id, TEXT_MAX)
        self.instant(now, received_at, wall)
        p = room(self, 3 * INT_BYTES)
        p = put_int(put_int(put_int(p, micros_of(now - received_at)), kind), traffic)
        self.size = p - self.data
        self.add_str(model, TEXT_MAX)

    cpdef object counts(
        self, int64_t status, int64_t ending, int64_t result, int64_t attempts, int64_t bytes_in,
        int64_t bytes_out,
    ):
        cdef unsigned char* p = room(self, 6 * INT_BYTES)
        p = put_int(put_int(put_int(p, status), ending), result)
        p = put_int(put_int(put_int(p, attempts), bytes_in), bytes_out)
        self.size = p - self.data

    cpdef object answer(
        self, Usage usage, double head_s, double first_event_s, double queued_s, double own_s,
        bint stream, bint moved,
    ):
        """Whether there is a usage, its six counts, four times, two flags."""
        cdef unsigned char* p = room(self, 3 + 10 * INT_BYTES)
        if usage is None:
            memset(p, 0, 7)
            p[0] = 0xC2
            p += 7
        else:
            p[0] = 0xC3
            p = put_int(put_int(put_int(p + 1, usage.input), usage.output), usage.cache_read)
            p = put_int(put_int(p, usage.cache_write_5m), usage.cache_write_1h)
            p = put_int(p, usage.thinking)
        p = put_int(put_int(p, micros_of(head_s)), micros_of(first_event_s))
        p = put_int(put_int(p, micros_of(queued_s)), micros_of(own_s))
        p[0] = 0xC3 if stream else 0xC2
        p[1] = 0xC3 if moved else 0xC2
        self.size = p + 2 - self.data

    cpdef object instant(self, double now, double at, object wall):
        """A monotonic time as microseconds since 1970.

        Args:
            now: monotonic seconds.
            at: the time to be written.
            wall: returns seconds since 1970; called once a second at most.
        """
        if now >= self.offset_until or now < self.offset_until - OFFSET_KEEPS_S:
            self.offset_s = <double>wall() - now
            self.offset_until = now + OFFSET_KEEPS_S
        self.micros(self.offset_s + at)

    cdef unsigned char* grow(self, Py_ssize_t n) except NULL:
        cdef Py_ssize_t cap = self.cap or FIRST_BYTES
        cdef unsigned char* grown
        while cap < self.size + n:
            cap *= 2
        grown = <unsigned char*>realloc(self.data, cap)
        if grown == NULL:
            raise MemoryError
        self.data = grown
        self.cap = cap
        return grown + self.size

    cdef int add_span(self, const char* p, Py_ssize_t n) except -1:
        cdef unsigned char* at = room(self, n + TEXT_HEAD)
        self.size = put_text(at, p, n) - self.data
        return 0

    cdef int add_str(self, object value, Py_ssize_t most) except -1:
        cdef unsigned char* at
        cdef Py_ssize_t n
        if value is None:
            room(self, 1)[0] = 0xA0
            self.size += 1
            return 0
        if not isinstance(value, str):
            raise TypeError(f"text of a record must be str or None, not {type(value).__name__}")
        if not PyUnicode_IS_COMPACT_ASCII(value):
            return self.add_unicode(value, most)
        n = min(PyUnicode_GET_LENGTH(value), most)
        at = room(self, n + TEXT_HEAD)
        self.size = put_text(at, <const char*>PyUnicode_1BYTE_DATA(value), n) - self.data
        return 0

    cdef int add_unicode(self, str value, Py_ssize_t most) except -1:
        cdef bytes encoded = encode(value, most)
        return self.add_span(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded))

    # ---- the ring

    cpdef bint put(self) except -1:
        """Publish the record. False: there was no room for it, which is counted."""
        cdef int64_t head = word_get(self.words + R_HEAD)
        cdef int64_t used = head - word_get(self.words + R_RELEASED)
        cdef uint32_t n = <uint32_t>self.size
        cdef int64_t size = FRAME_HEAD + <int64_t>self.size
        cdef bint has_room = 0 <= used <= self.ring_bytes - size and 0 < self.size <= RECORD_MAX
        if has_room:
            self.copy_in(head, &n, FRAME_HEAD)
            self.copy_in(head + FRAME_HEAD, self.data, n)
            word_set(self.words + R_HEAD, head + size)
        else:
            word_set(self.words + R_DROPPED, word_get(self.words + R_DROPPED) + 1)
        self.size = 0
        if self.cap > RECORD_MAX:
            free(self.data)
            self.data = NULL
            self.cap = 0
        return has_room

    cdef void copy_in(self, int64_t at, const void* data, int64_t n) noexcept:
        cdef int64_t start = at & (self.ring_bytes - 1)
        cdef int64_t first = min(n, self.ring_bytes - start)
        memcpy(self.ring + start, data, first)
        if first < n:
            memcpy(self.ring, <const char*>data + first, n - first)

    @property
    def head(self):
        """Where the next record will begin."""
        return word_get(self.words + R_HEAD)

    @property
    def dropped(self):
        """Records for which there was no room, as long as the memory lasts."""
        return word_get(self.words + R_DROPPED)

    def __repr__(self):
        return f"<RecordRing {self.memory.worker} head={self.head} dropped={self.dropped}>"


@cython.final
cdef class RecordReader:
    """The reading end of one worker's ring.

    Args:
        memory: mapped by anybody.
        column: of the worker.

    Raises:
        ValueError: there is no such column.
    """

    def __init__(self, SharedMemory memory not None, int column):
        if not 0 <= column < memory.workers:
            raise ValueError(f"column {column} of {memory.workers}")
        self.memory = memory
        self.words = memory.ring(column)
        self.ring = <const char*>(self.words + RING_WORDS)
        self.ring_bytes = memory.ring_bytes

    def read(self, int64_t after, Py_ssize_t bytes_max):
        """The records behind a position, and the position behind them.

        What makes no sense is left out up to the head, and counted in `garbled`.

        Args:
            after: 0, or a position that an earlier call returned; `released` if it is less.
            bytes_max: stop before the record that would make them more; the first always comes.
        """
        cdef list frames = []
        cdef int64_t at, head, released, total = 0
        cdef uint32_t n
        cdef bytes frame
        if not self.bounds(&released, &head):
            self.garbled += 1
            return frames, max(head, 0)
        at = min(max(after, released), head)
        while at < head:
            n = 0
            if head - at > FRAME_HEAD:
                self.copy_out(at, &n, FRAME_HEAD)
            if n == 0 or n > head - at - FRAME_HEAD:
                self.garbled += 1
                at = head
                break
            if frames and total + n > bytes_max:
                break
            frame = PyBytes_FromStringAndSize(NULL, n)
            self.copy_out(at + FRAME_HEAD, PyBytes_AS_STRING(frame), n)
            frames.append(frame)
            total += n
            at += FRAME_HEAD + n
        return frames, at

    def release(self, int64_t position):
        """Records before this position are not needed any more: the writer may use their place."""
        cdef int64_t released, head
        if not self.bounds(&released, &head):
            # Nothing can be trusted but the head: the writer goes on with an empty ring.
            word_set(self.words + R_RELEASED, max(head, 0))
        elif released < position:
            word_set(self.words + R_RELEASED, min(position, head))

    cdef bint bounds(self, int64_t* released, int64_t* head) noexcept:
        """Whether both positions make sense."""
        released[0] = word_get(self.words + R_RELEASED)
        head[0] = word_get(self.words + R_HEAD)
        return 0 <= released[0] <= head[0] and head[0] - released[0] <= self.ring_bytes

    cdef void copy_out(self, int64_t at, void* data, int64_t n) noexcept:
        cdef int64_t start = at & (self.ring_bytes - 1)
        cdef int64_t first = min(n, self.ring_bytes - start)
        memcpy(data, self.ring + start, first)
        if first < n:
            memcpy(<char*>data + first, self.ring, n - first)

    @property
    def head(self):
        """Where the writer's next record will begin."""
        return word_get(self.words + R_HEAD)

    @property
    def released(self):
        """Where what may not be overwritten begins."""
        return word_get(self.words + R_RELEASED)

    @property
    def dropped(self):
        """Records for which there was no room, as long as the memory lasts."""
        return word_get(self.words + R_DROPPED)

    def __repr__(self):
        return f"<RecordReader head={self.head} released={self.released} dropped={self.dropped}>"
