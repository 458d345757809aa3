"""Writes heads, byte-preserving: see head_writer.pxd.

Which fields go on is one table per direction, by FieldId. Names without an id pass, as new ones
appear with any release.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from ccrelay._fast.cursor cimport Cursor, peek
from ccrelay._fast.field_names cimport folded
from ccrelay._fast.grammar cimport TARGET, TOKEN, is_host, next_item, skip, skip_text
from ccrelay._fast.http1 cimport (
    F_ACCEPT_ENCODING, F_ALIAS, F_ANTHROPIC_BETA, F_API_KEY, F_AUTHORIZATION, F_BROWSER,
    F_CHALLENGE, F_CLOUD, F_CONDITIONAL, F_CONNECTION, F_CONTENT_ENCODING, F_CONTENT_LENGTH,
    F_CONTENT_TYPE, F_COOKIE, F_CREDENTIAL, F_EXPECT, F_FORWARDING, F_HOP, F_HOST, F_KEEP_ALIVE,
    F_NAVIGATION, F_ORIGIN, F_OTHER, F_OVERRIDE, F_PROXY_AUTHENTICATE, F_PROXY_AUTHORIZATION,
    F_PROXY_CONNECTION, F_REFERER, F_RELAY, F_SEC_FETCH_SITE, F_SET_COOKIE, F_TE, F_TRAILER,
    F_TRANSFER_ENCODING, F_UPGRADE, F_X_API_KEY, Field, Head,
)

from ccrelay._fast.field_names import id_of_name

cdef enum:
    FRAMING_BYTES_MAX = 96   # room for the framing lines added to a head

cdef uint8_t[64] WRITTEN         # by FieldId: fields that only the relay writes
cdef uint8_t[64] REQUEST_DROP    # these, and what is not a provider's business
cdef uint8_t[64] RESPONSE_DROP   # framing, and what is not a client's business


cdef void _fill_tables() noexcept:
    cdef int field_id
    # For one hop, or for the relay alone; and other spellings of what has an id.
    for field_id in (
        F_CONNECTION, F_KEEP_ALIVE, F_PROXY_CONNECTION, F_PROXY_AUTHORIZATION, F_PROXY_AUTHENTICATE,
        F_TE, F_TRAILER, F_UPGRADE, F_TRANSFER_ENCODING, F_CONTENT_LENGTH,
    ):
        WRITTEN[field_id] = REQUEST_DROP[field_id] = RESPONSE_DROP[field_id] = 1
    for field_id in (F_HOST, F_ACCEPT_ENCODING, F_EXPECT):
        WRITTEN[field_id] = REQUEST_DROP[field_id] = 1
    for field_id in (
        F_ALIAS, F_HOP, F_OVERRIDE, F_NAVIGATION, F_SET_COOKIE, F_CHALLENGE, F_BROWSER, F_RELAY,
        F_CREDENTIAL, F_COOKIE, F_SEC_FETCH_SITE, F_REFERER,
    ):
        REQUEST_DROP[field_id] = RESPONSE_DROP[field_id] = 1
    # Providers name their own edge and cloud in answers (cf-ray, x-amzn-requestid): for support.
    for field_id in (
        F_FORWARDING, F_CLOUD, F_CONDITIONAL, F_ORIGIN, F_AUTHORIZATION, F_X_API_KEY, F_API_KEY,
    ):
        REQUEST_DROP[field_id] = 1


_fill_tables()


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


cdef bint _is_among(Head head, const Field* field, frozenset names) noexcept:
    # `names` are folded.
    cdef const uint8_t* found = <const uint8_t*>head.buf + field.name
    cdef const char* p
    cdef Py_ssize_t i, size = field.name_len
    cdef bytes name
    for name in names:
        if PyBytes_GET_SIZE(name) != size:
            continue
        p = PyBytes_AS_STRING(name)
        i = 0
        while i < size and folded(found[i]) == <uint8_t>p[i]:
            i += 1
        if i == size:
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
            or field.held_back
        ):
            continue
        at = _put(at, head.buf + run, field.name - run)
        run = end
        if filtered and not drop[field.id] and not field.held_back:
            at = _put_betas(at, head, field, end, betas)
    return _put(at, head.buf + run, head.size - 2 - run)


cdef void _check_line(bytes name, bytes value) except *:
    cdef Cursor c, v
    cdef int field_id
    if name is None or value is None:
        raise TypeError("a header is a pair of bytes")
    c = Cursor(<const uint8_t*>PyBytes_AS_STRING(name), 0, PyBytes_GET_SIZE(name))
    v = Cursor(<const uint8_t*>PyBytes_AS_STRING(value), 0, PyBytes_GET_SIZE(value))
    if skip(&c, TOKEN) == 0 or c.at < c.size:
        raise ValueError(f"not a header name: {name!r}")
    field_id = id_of_name(name)
    if WRITTEN[field_id]:
        raise ValueError(f"header {name.decode()} is written by the relay itself")
    skip_text(&v)
    if v.at < v.size:  # the value may be a credential: do not show it
        raise ValueError(f"header {name.decode()} has control bytes in its value")


cdef bint _is_origin_form(bytes target) noexcept:
    cdef Cursor c = Cursor(<const uint8_t*>PyBytes_AS_STRING(target), 0, PyBytes_GET_SIZE(target))
    return peek(&c) == c"/" and skip(&c, TARGET) == c.size


cdef frozenset _drop_fields(uint8_t* drop, set names):
    # Marks names with an id in `drop`; returns the others, folded.
    cdef int field_id
    cdef bytes name
    others = set()
    if None in names:
        raise TypeError("a name is bytes")
    for name in names:
        field_id = id_of_name(name)
        if field_id != F_OTHER:
            drop[field_id] = 1
        else:
            others.add(bytes([folded(byte) for byte in name]))
    return frozenset(others) if others else None


cdef class RequestPlan:
    """How requests to one target are written.

    `lines` are additional fields (credentials, static headers); client fields of the same names,
    and those in `drop_names`, are dropped, whatever their punctuation. `drop_betas`: values removed
    from `anthropic-beta`; b"*" removes the field. `pass_credentials`: the client's own
    `authorization` and `x-api-key` pass. ValueError: a part is invalid in a head.
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
        if pass_credentials:
            self.drop[<int>F_AUTHORIZATION] = self.drop[<int>F_X_API_KEY] = 0
        self.drop_names = _drop_fields(self.drop, {*drop_names, *(name for name, _ in lines)})
        self.drop_betas = None if drop_betas is None else frozenset(drop_betas)
        if self.drop_betas is not None and b"*" in self.drop_betas:
            self.drop[<int>F_ANTHROPIC_BETA] = 1

    cdef bytes write(
        self, Head head, int64_t content_length, bint chunked, bytes path, bytes more
    ):
        cdef Py_ssize_t bound = (
            head.size + len(self.prefix) + len(path) + len(self.lines) + len(more)
            + FRAMING_BYTES_MAX
        )
        cdef bytes out = PyBytes_FromStringAndSize(NULL, bound)
        cdef char* start = PyBytes_AS_STRING(out)
        cdef char* at = _put(start, head.buf, head.method_len)
        at = _put(at, b" ", 1)
        at = _put_bytes(at, self.prefix)
        at = _put_bytes(at, path)
        at = _put(at, b" HTTP/1.1\r\n", 11)
        at = _put_bytes(at, self.lines)
        at = _put_bytes(at, more)
        at = _put_fields(at, head, self.drop, self.drop_names, self.drop_betas)
        at = _put_framing(at, content_length, chunked)
        at = _put(at, b"\r\n", 2)
        return out[:at - start]

    def render(
        self, Head head not None, int64_t content_length, bint chunked, bytes path not None,
        bytes more not None=b"",
    ):
        """The head sent upstream; `content_length` -1: none. `path`: path and query. `more`: ready
        header lines of this request."""
        if not head.is_request:
            raise ValueError("not a request head")
        if not _is_origin_form(path):
            raise ValueError(f"not a path: {path!r}")
        return self.write(head, content_length, chunked, path, more)

    def __repr__(self):
        return f"<RequestPlan {self.host.decode()}{self.prefix.decode()}>"


cdef bytes write_response(
    Head head, int framing, int64_t length, bint keep_alive, bytes extra, bint plain,
    bytes media_type,
):
    cdef bytes out = PyBytes_FromStringAndSize(
        NULL, head.size + len(extra) + len(media_type) + FRAMING_BYTES_MAX
    )
    cdef char* start = PyBytes_AS_STRING(out)
    cdef char* at = start
    cdef uint8_t[64] drop
    cdef bint chunked = framing == CHUNKED or (framing == KEEP and head.chunked)
    memcpy(drop, RESPONSE_DROP, sizeof(RESPONSE_DROP))
    drop[<int>F_CONTENT_ENCODING] |= plain
    drop[<int>F_CONTENT_TYPE] |= PyBytes_GET_SIZE(media_type) > 0
    at = _put(at, head.buf, head.fields[0].name if head.count else head.size - 2)
    start[7] = c"1"  # also for an HTTP/1.0 upstream: the version is per hop
    at = _put_fields(at, head, drop, None, None)
    if PyBytes_GET_SIZE(media_type):
        at = _put(at, b"Content-Type: ", 14)
        at = _put_bytes(at, media_type)
        at = _put(at, b"\r\n", 2)
    if framing == KEEP:
        length = head.content_length
    elif framing == CLOSE:
        length = -1
    if head.status < 200 or head.status == 204 or head.status == 304:
        length, chunked = -1, False
    at = _put_framing(at, length, chunked)
    if not keep_alive:
        at = _put(at, b"Connection: close\r\n", 19)
    at = _put_bytes(at, extra)
    at = _put(at, b"\r\n", 2)
    return out[:at - start]


def render_response(
    Head head not None, int framing, int64_t length=-1, bint keep_alive=True,
    bytes extra not None=b"", bint plain=False, bytes media_type not None=b"",
):
    """The head sent downstream for an upstream head; see `write_response` in head_writer.pxd."""
    if head.status == 0:
        raise ValueError("not a response head")
    return write_response(head, framing, length, keep_alive, extra, plain, media_type)
