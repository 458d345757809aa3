"""HTTP/1.1 heads and chunked framing (RFC 9110, RFC 9112): strict parsing.

Parsing is left to right, and the first offending byte determines the `HeadFault`. Anything that two
implementations could interpret differently is rejected rather than repaired, to prevent request
smuggling. `tests/reference/http1.py` is the same in plain Python. `head_writer` writes heads.

`http1.pxd` is the contract for `cimport`; the Python names serve tests and code off the hot path.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ccrelay._fast.chunks cimport DATA, DATA_CR, FINE, MALFORMED, SIZE_FIRST, framing_byte
from ccrelay._fast.cursor cimport Cursor, same
from ccrelay._fast.heads cimport Parts, blank_lines, first_field, first_head_end, parse_head

cdef enum:
    FIELDS_MAX = 256         # of any head, whatever the caller allows: bounds the stack scratch
    HEAD_BYTES_MAX = 1 << 20    # of any head: offsets stay small; callers set lower limits
    PIECES = 16              # payload pieces per walk in ChunkReader


class BadHead(ValueError):
    """Invalid HTTP/1.1 head; `fault` is the `HeadFault`."""

    def __init__(self, fault: int) -> None:
        super().__init__(HeadFault(fault).name)
        self.fault = HeadFault(fault)


# --- reading heads --------------------------------------------------------------------------


cdef Py_ssize_t head_end(const char* data, Py_ssize_t n, Py_ssize_t start) noexcept:
    return first_head_end(<const uint8_t*>data, n, start)


cdef Head _keep(const Parts* parts, const char* data, Py_ssize_t n, const Field* fields):
    cdef Head head = Head.__new__(Head)
    head.buf = <char*>malloc(n)
    head.fields = <Field*>malloc(max(parts.count, 1) * sizeof(Field))
    if head.buf == NULL or head.fields == NULL:
        raise MemoryError
    memcpy(head.buf, data, n)
    memcpy(head.fields, fields, parts.count * sizeof(Field))
    head.size = n
    head.count = parts.count
    head.method_len = parts.method_len
    head.target = parts.target
    head.target_len = parts.target_len
    head.path_len = parts.path_len
    head.is_request = parts.is_request
    head.minor = parts.minor
    head.status = parts.status
    head.content_length = parts.content_length
    head.chunked = parts.chunked
    head.keep_alive = parts.keep_alive
    head.expects_continue = parts.expects_continue
    return head


cdef Head _read(const char* data, Py_ssize_t n, int fields_max, bint is_request, int* fault):
    cdef Field[FIELDS_MAX] fields
    cdef Parts parts
    cdef Cursor c = Cursor(<const uint8_t*>data, 0, n)
    if n > HEAD_BYTES_MAX:
        fault[0] = HEAD_TOO_LARGE
        return None
    memset(&parts, 0, sizeof(parts))
    parts.is_request = is_request
    parts.content_length = -1
    fault[0] = parse_head(&parts, &c, fields, min(fields_max, <int>FIELDS_MAX))
    if fault[0]:
        return None
    return _keep(&parts, data, n, fields)


cdef Head read_request(const char* data, Py_ssize_t n, int fields_max, int* fault):
    cdef Py_ssize_t blank = blank_lines(<const uint8_t*>data, n)
    return _read(data + blank, n - blank, fields_max, True, fault)


cdef Head read_response(const char* data, Py_ssize_t n, int* fault):
    return _read(data, n, FIELDS_MAX, False, fault)


cdef bytes _slice(Head head, Py_ssize_t at, Py_ssize_t size):
    return PyBytes_FromStringAndSize(head.buf + at, size)


@cython.freelist(32)
cdef class Head:
    """A parsed head: its bytes and the offsets of its parts."""

    def __cinit__(self):
        self.content_length = -1

    def __init__(self):
        raise TypeError("heads come from parse_request and parse_response")

    def __dealloc__(self):
        free(self.buf)
        free(self.fields)

    cdef int find(self, int field_id) noexcept:
        return first_field(self.fields, self.count, field_id)

    cpdef bytes method_and_target(self):
        # One span: between them is a single space.
        return _slice(self, 0, self.target + self.target_len) if self.is_request else None

    cpdef bytes value(self, int field_id):
        cdef int i = self.find(field_id)
        return _slice(self, self.fields[i].value, self.fields[i].value_len) if i >= 0 else None

    cpdef bytes get(self, bytes name):
        cdef int i
        if name is None:
            raise TypeError("a name is bytes")
        for i in range(self.count):
            if self.fields[i].name_len == PyBytes_GET_SIZE(name) and same(
                <uint8_t*>self.buf + self.fields[i].name,
                <uint8_t*>PyBytes_AS_STRING(name),
                self.fields[i].name_len,
            ):
                return _slice(self, self.fields[i].value, self.fields[i].value_len)
        return None

    def passing(self, bytes name not None):
        """The value of `get`, unless a field of this name is held back; then None."""
        cdef int i
        for i in range(self.count):
            if self.fields[i].held_back and self.fields[i].name_len == len(name) and same(
                <uint8_t*>self.buf + self.fields[i].name,
                <uint8_t*>PyBytes_AS_STRING(name),
                self.fields[i].name_len,
            ):
                return None
        return self.get(name)

    cdef bint value_is(self, int field_id, const char* lower, Py_ssize_t n) noexcept:
        cdef int i = self.find(field_id)
        return i >= 0 and self.fields[i].value_len == n and same(
            <uint8_t*>self.buf + self.fields[i].value, <const uint8_t*>lower, n
        )

    def items(self):
        """All fields in order: names as received, values trimmed."""
        cdef int i
        return [
            (
                _slice(self, self.fields[i].name, self.fields[i].name_len),
                _slice(self, self.fields[i].value, self.fields[i].value_len),
            )
            for i in range(self.count)
        ]

    @property
    def method(self):
        return _slice(self, 0, self.method_len)

    @property
    def target(self):
        return _slice(self, self.target, self.target_len)

    @property
    def path(self):
        return _slice(self, self.target, self.path_len)

    @property
    def query(self):
        cdef uint32_t skipped = min(self.path_len + 1, self.target_len)
        return _slice(self, self.target + skipped, self.target_len - skipped)

    @property
    def raw(self):
        return _slice(self, 0, self.size)

    def __repr__(self):
        # Without values and query, which may contain credentials.
        start = f"{self.method.decode()} {self.path.decode()}" if self.is_request else self.status
        body = "chunked" if self.chunked else f"length={self.content_length}"
        return f"<Head {start} HTTP/1.{self.minor} fields={self.count} {body}>"


# --- chunks ---------------------------------------------------------------------------------


cdef Py_ssize_t walk(
    Walker* w, const char* p, Py_ssize_t n, Piece* pieces, int cap, int* count
) noexcept:
    cdef Py_ssize_t at = 0, take
    cdef int verdict
    count[0] = 0
    while at < n and not w.done and not w.fault:
        if w.state != DATA:
            verdict = framing_byte(w, p[at])
            if verdict == FINE:
                at += 1
            else:
                w.fault = BAD_CHUNK if verdict == MALFORMED else TRAILER_TOO_LARGE
            continue
        if count[0] == cap:
            break
        take = n - at if <uint64_t>(n - at) < w.left else <Py_ssize_t>w.left
        pieces[count[0]] = Piece(at, take)
        count[0] += 1
        at += take
        w.left -= take
        if w.left == 0:
            w.state = DATA_CR
    w.between = w.state == SIZE_FIRST and not w.fault
    return at


# --- Python interface -----------------------------------------------------------------------


cdef class ChunkReader:
    """`walk` for Python: a chunked body, fed in pieces of any size."""

    cdef Walker walker
    cdef readonly Py_ssize_t consumed   # bytes of the body taken, up to its end or a fault

    def __cinit__(self):
        self.feed(b"")

    def feed(self, bytes data not None):
        """Return the payload pieces in `data`; then check `done` and `fault`."""
        cdef Piece[PIECES] pieces
        cdef int count = 0, i
        cdef Py_ssize_t at = 0, n = PyBytes_GET_SIZE(data)
        cdef const char* p = PyBytes_AS_STRING(data)
        out = []
        while True:
            step = walk(&self.walker, p + at, n - at, pieces, PIECES, &count)
            for i in range(count):
                out.append(PyBytes_FromStringAndSize(p + at + pieces[i].at, pieces[i].size))
            at += step
            if count < PIECES:
                break
        self.consumed += at
        return out

    @property
    def done(self):
        return bool(self.walker.done)

    @property
    def between(self):
        return bool(self.walker.between)

    @property
    def fault(self):
        return HeadFault(self.walker.fault)


def find_head_end(bytes data not None, Py_ssize_t start=0):
    """Offset after the first head in `data`; 0: incomplete. `start`: bytes searched before."""
    return head_end(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), start)


cdef tuple _first_head(bytes data, int fields_max, bint is_request):
    cdef const char* p = PyBytes_AS_STRING(data)
    cdef Py_ssize_t n = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t end = head_end(p, n, 0)
    cdef int fault = OK
    cdef Head head = None
    if end == 0 and n <= HEAD_BYTES_MAX:
        return None
    if end == 0:
        fault = HEAD_TOO_LARGE
    elif is_request:
        head = read_request(p, end, fields_max, &fault)
    else:
        head = read_response(p, end, &fault)
    if fault:
        raise BadHead(fault)
    return head, end


def parse_request(bytes data not None, int fields_max=128):
    """The request head at the start of `data` and its size; None: incomplete. Raises BadHead."""
    return _first_head(data, fields_max, True)


def parse_response(bytes data not None):
    """The response head at the start of `data` and its size; None: incomplete. Raises BadHead."""
    return _first_head(data, FIELDS_MAX, False)
