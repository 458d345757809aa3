"""HTTP/1.1 heads and chunked framing (RFC 9110, RFC 9112): strict parsing, byte-preserving writing.

Parsing is left to right, and the first offending byte determines the `HeadFault`. Anything that two
implementations could interpret differently is rejected rather than repaired, to prevent request
smuggling. `tests/reference/http1.py` is the same in plain Python.

`http1.pxd` is the contract for `cimport`; the Python names serve tests and code off the hot path.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from ccrelay._fast.chunks cimport DATA, DATA_CR, FINE, MALFORMED, SIZE_FIRST, framing_byte
from ccrelay._fast.cursor cimport Cursor, peek, same
from ccrelay._fast.grammar cimport TARGET, TOKEN, is_host, next_item, skip, skip_text
from ccrelay._fast.heads cimport (
    Parts, blank_lines, field_id as id_of, first_field, first_head_end, parse_head,
)

cdef enum:
    FIELDS_MAX = 256         # of any head, whatever the caller allows: bounds the stack scratch
    HEAD_BYTES_MAX = 1 << 20    # of any head: offsets stay small; callers set lower limits
    FRAMING_BYTES_MAX = 96   # room for the framing lines added to a head
    PIECES = 16              # payload pieces per walk in ChunkReader


cdef uint8_t[64] RESPONSE_DROP   # by FieldId: hop-by-hop fields and framing
cdef uint8_t[64] DECODED_DROP    # the same, and the coding that was undone
cdef uint8_t[64] REQUEST_DROP    # the same, plus the fields a request plan writes


cdef void _fill_tables() noexcept:
    cdef int field_id
    for field_id in (
        F_CONNECTION, F_KEEP_ALIVE, F_PROXY_CONNECTION, F_PROXY_AUTHORIZATION, F_PROXY_AUTHENTICATE,
        F_TE, F_TRAILER, F_UPGRADE, F_TRANSFER_ENCODING, F_CONTENT_LENGTH,
    ):
        RESPONSE_DROP[field_id] = DECODED_DROP[field_id] = REQUEST_DROP[field_id] = 1
    field_id = F_CONTENT_ENCODING
    DECODED_DROP[field_id] = 1
    for field_id in (F_HOST, F_ACCEPT_ENCODING, F_EXPECT):
        REQUEST_DROP[field_id] = 1


_fill_tables()


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
    head.nominates = parts.nominates
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


# --- writing heads --------------------------------------------------------------------------


cdef inline char* _put(char* at, const char* p, Py_ssize_t n) noexcept:
    memcpy(at, p, n)
    return at + n


cdef inline char* _put_bytes(char* at, bytes data) noexcept:
    return _put(at, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef char* _put_framing(char* at, int64_t length, bint chunked) noexcept:
    # `length` -1: none.
    cdef char[20] digits
    cdef int first = 20
    if chunked:
        return _put(at, b"Transfer-Encoding: chunked\r\n", 28)
    if length < 0:
        return at
    while first == 20 or length > 0:
        first -= 1
        digits[first] = c"0" + <char>(length % 10)
        length //= 10
    at = _put(at, b"Content-Length: ", 16)
    at = _put(at, digits + first, 20 - first)
    return _put(at, b"\r\n", 2)


cdef bint _nominated(Head head, const Field* field) noexcept:
    # RFC 9110 7.6.1: fields named in Connection are hop-by-hop.
    cdef const uint8_t* buf = <const uint8_t*>head.buf
    cdef const uint8_t* name = buf + field.name
    cdef const uint8_t* item
    cdef Py_ssize_t size
    cdef Cursor c
    cdef int i
    for i in range(head.count):
        if head.fields[i].id == F_CONNECTION:
            c = Cursor(buf + head.fields[i].value, 0, head.fields[i].value_len)
            while next_item(&c, &item, &size):
                if size == field.name_len and same(item, name, size):
                    return True
    return False


cdef bint _is_among(Head head, const Field* field, frozenset names) noexcept:
    cdef const uint8_t* found = <const uint8_t*>head.buf + field.name
    cdef Py_ssize_t size = field.name_len
    cdef bytes name
    for name in names:
        if PyBytes_GET_SIZE(name) == size and same(<uint8_t*>PyBytes_AS_STRING(name), found, size):
            return True
    return False


cdef char* _put_betas(
    char* at, Head head, const Field* field, Py_ssize_t end, frozenset drop
) except NULL:
    # The field without the values in `drop`: verbatim if none occurs, omitted if none is left.
    cdef Cursor c = Cursor(<const uint8_t*>head.buf + field.value, 0, field.value_len)
    cdef const uint8_t* item
    cdef Py_ssize_t size
    cdef bint found = False
    kept = []
    while next_item(&c, &item, &size):
        beta = PyBytes_FromStringAndSize(<const char*>item, size)
        if beta in drop:
            found = True
        else:
            kept.append(beta)
    if not kept:
        return at
    if not found:
        return _put(at, head.buf + field.name, end - field.name)
    at = _put(at, head.buf + field.name, field.value - field.name)
    at = _put_bytes(at, b",".join(kept))
    return _put(at, b"\r\n", 2)


cdef char* _put_fields(
    char* at, Head head, const uint8_t* drop, frozenset names, frozenset betas
) except NULL:
    # Kept lines are copied in runs: field lines are contiguous in the head.
    cdef const Field* field
    cdef Py_ssize_t end, run = head.fields[0].name if head.count else head.size - 2
    cdef bint filtered
    cdef int i
    for i in range(head.count):
        field = &head.fields[i]
        end = head.fields[i + 1].name if i + 1 < head.count else head.size - 2
        filtered = betas is not None and field.id == F_ANTHROPIC_BETA
        if not (
            filtered
            or drop[field.id]
            or (field.id == F_OTHER and names is not None and _is_among(head, field, names))
            or (head.nominates and _nominated(head, field))
        ):
            continue
        at = _put(at, head.buf + run, field.name - run)
        run = end
        if filtered and not drop[field.id]:
            at = _put_betas(at, head, field, end, betas)
    return _put(at, head.buf + run, head.size - 2 - run)


cdef void _check_line(bytes name, bytes value) except *:
    cdef Cursor c, v
    cdef int field_id
    if name is None or value is None:
        raise TypeError("a header is a pair of bytes")
    c = Cursor(<const uint8_t*>PyBytes_AS_STRING(name), 0, PyBytes_GET_SIZE(name))
    v = Cursor(<const uint8_t*>PyBytes_AS_STRING(value), 0, PyBytes_GET_SIZE(value))
    field_id = id_of(c.data, c.size)
    if skip(&c, TOKEN) == 0 or c.at < c.size:
        raise ValueError(f"not a header name: {name!r}")
    if REQUEST_DROP[field_id]:
        raise ValueError(f"header {name.decode()} is written by the relay itself")
    skip_text(&v)
    if v.at < v.size:  # the value may be a credential: do not show it
        raise ValueError(f"header {name.decode()} has control bytes in its value")


cdef bint _is_origin_form(bytes target) noexcept:
    cdef Cursor c = Cursor(<const uint8_t*>PyBytes_AS_STRING(target), 0, PyBytes_GET_SIZE(target))
    return peek(&c) == c"/" and skip(&c, TARGET) == c.size


cdef frozenset _drop_fields(uint8_t* drop, set names):
    # Marks names with an id in `drop`; returns the others in lower case.
    cdef int field_id
    cdef bytes name
    others = set()
    if None in names:
        raise TypeError("a name is bytes")
    for name in names:
        field_id = id_of(<const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        if field_id != F_OTHER:
            drop[field_id] = 1
        else:
            others.add(name.lower())
    return frozenset(others) if others else None


cdef class RequestPlan:
    """How requests to one target are written.

    `lines` are additional fields (credentials, static headers); client fields of the same names,
    and those in `drop_names`, are dropped. `drop_betas`: values removed from `anthropic-beta`; b"*"
    removes the field. ValueError: a part is invalid in a head.
    """

    def __cinit__(
        self, *, bytes prefix not None, bytes host not None, lines, bint pass_credentials=False,
        drop_names=(), drop_betas=None,
    ):
        if prefix and (not _is_origin_form(prefix) or b"?" in prefix):
            raise ValueError(f"not a path: {prefix!r}")
        if not is_host(<const uint8_t*>PyBytes_AS_STRING(host), len(host)):
            raise ValueError(f"not a host: {host!r}")
        for name, value in lines:
            _check_line(name, value)
        self.prefix = prefix
        self.host = host
        self.lines = b"".join([
            b"Host: " + host + b"\r\n",
            *(name + b": " + value + b"\r\n" for name, value in lines),
            b"Accept-Encoding: identity\r\n",
        ])
        memcpy(self.drop, REQUEST_DROP, sizeof(REQUEST_DROP))
        if not pass_credentials:
            for field_id in (F_AUTHORIZATION, F_X_API_KEY, F_API_KEY, F_COOKIE):
                self.drop[<int>field_id] = 1
        self.drop_names = _drop_fields(self.drop, {*drop_names, *(name for name, _ in lines)})
        self.drop_betas = None if drop_betas is None else frozenset(drop_betas)
        if self.drop_betas is not None and b"*" in self.drop_betas:
            self.drop[<int>F_ANTHROPIC_BETA] = 1

    cdef bytes write(self, Head head, int64_t content_length, bint chunked, bytes path):
        cdef Py_ssize_t bound = head.size + len(self.prefix) + len(self.lines) + FRAMING_BYTES_MAX
        cdef bytes out
        cdef char* start
        cdef char* at
        if path is not None:
            if not _is_origin_form(path):
                raise ValueError(f"not a path: {path!r}")
            bound += len(path)
        out = PyBytes_FromStringAndSize(NULL, bound)
        start = PyBytes_AS_STRING(out)
        at = _put(start, head.buf, head.method_len)
        at = _put(at, b" ", 1)
        at = _put_bytes(at, self.prefix)
        if path is None:
            at = _put(at, head.buf + head.target, head.target_len)
        else:
            at = _put_bytes(at, path)
        at = _put(at, b" HTTP/1.1\r\n", 11)
        at = _put_bytes(at, self.lines)
        at = _put_fields(at, head, self.drop, self.drop_names, self.drop_betas)
        at = _put_framing(at, content_length, chunked)
        at = _put(at, b"\r\n", 2)
        return out[:at - start]

    def render(self, Head head not None, int64_t content_length, bint chunked, bytes path=None):
        """The head sent upstream; `content_length` -1: none, `path` replaces path and query."""
        if not head.is_request:
            raise ValueError("not a request head")
        return self.write(head, content_length, chunked, path)

    def __repr__(self):
        return f"<RequestPlan {self.host.decode()}{self.prefix.decode()}>"


cdef bytes write_response(
    Head head, int framing, int64_t length, bint keep_alive, bytes extra, bint plain
):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, head.size + len(extra) + FRAMING_BYTES_MAX)
    cdef char* start = PyBytes_AS_STRING(out)
    cdef char* at = start
    cdef bint chunked = framing == CHUNKED or (framing == KEEP and head.chunked)
    at = _put(at, head.buf, head.fields[0].name if head.count else head.size - 2)
    start[7] = c"1"  # also for an HTTP/1.0 upstream: the version is per hop
    at = _put_fields(at, head, &DECODED_DROP[0] if plain else &RESPONSE_DROP[0], None, None)
    if framing == KEEP:
        length = head.content_length
    elif framing == CLOSE:
        length = -1
    at = _put_framing(at, length, chunked)
    if not keep_alive:
        at = _put(at, b"Connection: close\r\n", 19)
    at = _put_bytes(at, extra)
    at = _put(at, b"\r\n", 2)
    return out[:at - start]


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


def render_response(
    Head head not None, int framing, int64_t length=-1, bint keep_alive=True,
    bytes extra not None=b"", bint plain=False,
):
    """The head sent downstream for an upstream head; see `write_response` in http1.pxd."""
    if head.status == 0:
        raise ValueError("not a response head")
    return write_response(head, framing, length, keep_alive, extra, plain)
