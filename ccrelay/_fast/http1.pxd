"""HTTP/1.1 heads and chunked framing, read strictly and written as they came. The contract."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cpdef enum FieldId:
    # Field names the relay acts on; every other name is F_OTHER and passes untouched.
    F_OTHER = 0
    F_HOST = 1
    F_CONTENT_LENGTH = 2
    F_TRANSFER_ENCODING = 3
    F_CONNECTION = 4
    F_KEEP_ALIVE = 5
    F_PROXY_CONNECTION = 6
    F_PROXY_AUTHORIZATION = 7
    F_PROXY_AUTHENTICATE = 8
    F_TE = 9
    F_TRAILER = 10
    F_UPGRADE = 11
    F_EXPECT = 12
    F_AUTHORIZATION = 13
    F_X_API_KEY = 14
    F_ACCEPT_ENCODING = 15
    F_CONTENT_ENCODING = 16
    F_CONTENT_TYPE = 17
    F_COOKIE = 18
    F_ORIGIN = 19
    F_ANTHROPIC_BETA = 20
    F_RETRY_AFTER = 21
    F_REQUEST_ID = 22
    F_X_SHOULD_RETRY = 23
    F_SESSION_ID = 24        # x-claude-code-session-id
    F_AGENT_ID = 25          # x-claude-code-agent-id
    F_REQUEST_CLASS = 26     # x-claude-code-request-class
    F_USER_AGENT = 27
    F_API_KEY = 28           # api-key (Azure's spelling of a credential)


cpdef enum HeadFault:
    # Why a head or a chunked body is refused. 0 is "no fault".
    OK = 0
    BAD_START_LINE = 1
    BAD_METHOD = 2
    BAD_TARGET = 3
    BAD_VERSION = 4          # not HTTP/1.0 or HTTP/1.1
    BAD_STATUS = 5
    BARE_LF = 6              # a line that ends in LF alone
    BAD_FIELD_NAME = 7       # not a token, or white space before the colon
    BAD_FIELD_VALUE = 8      # control bytes
    OBS_FOLD = 9
    BAD_CONTENT_LENGTH = 10  # signed, list, not digits, over 2^53, duplicates that differ or repeat
    BAD_TRANSFER_ENCODING = 11  # anything but exactly one `chunked`
    BOTH_FRAMINGS = 12       # content-length beside transfer-encoding
    BAD_HOST = 13            # missing under 1.1, twice, or with bytes no host has
    TOO_MANY_FIELDS = 14
    HEAD_TOO_LARGE = 15
    BAD_CHUNK = 16           # chunk size, extension or line end malformed
    TRAILER_TOO_LARGE = 17


ctypedef struct Field:
    uint32_t name            # offset in Head.buf
    uint32_t name_len
    uint32_t value           # offset, optional white space trimmed
    uint32_t value_len
    uint8_t id               # FieldId


ctypedef struct Piece:
    Py_ssize_t at            # offset in the bytes given to walk
    Py_ssize_t size


ctypedef struct Walker:
    # Position inside a chunked body. All zero is the start.
    int state
    int line                 # bytes of the current size line
    int trailer              # trailer bytes so far
    int fault                # HeadFault
    bint done                # the last CRLF has been consumed
    bint between             # a foreign chunk could be inserted here; set by walk, n=0 too
    uint64_t left            # payload bytes left in this chunk


@cython.final
cdef class Head:
    cdef char* buf           # own copy, from the start line to the LF of the empty line
    cdef Py_ssize_t size
    cdef Field* fields
    cdef int count
    cdef uint32_t method_len     # requests: the method stands at offset 0
    cdef uint32_t target         # offset of the request target
    cdef uint32_t target_len
    cdef uint32_t path_len       # target up to the '?'
    cdef bint nominates          # Connection names fields other than `close` and `keep-alive`
    cdef readonly bint is_request
    cdef readonly int minor      # HTTP/1.minor
    cdef readonly int status     # responses; 0 in requests
    cdef readonly int64_t content_length   # -1: absent
    cdef readonly bint chunked
    cdef readonly bint keep_alive          # by version and Connection
    cdef readonly bint expects_continue

    cdef int find(self, int field_id) noexcept          # index of the first such field, -1: none
    cpdef bytes value(self, int field_id)                # its value, or None
    cpdef bytes get(self, bytes name)                    # by lower-case name, or None
    # ASCII case-insensitive
    cdef bint value_is(self, int field_id, const char* lower, Py_ssize_t n) noexcept


@cython.final
cdef class RequestPlan:
    # How requests to one target are written; made once per target, immutable.
    cdef bytes host
    cdef bytes prefix        # stands before the client's path: b"" or b"/api/anthropic"
    cdef bytes lines         # ready: Host, credentials, static headers, Accept-Encoding: identity
    cdef uint8_t drop[64]    # by FieldId: 1 = not forwarded
    cdef frozenset drop_names    # lower-case names (bytes) besides; names overridden by `lines`
    cdef frozenset drop_betas    # anthropic-beta values (bytes) not forwarded; None: verbatim

    # content_length -1: keep no length (a GET); chunked wins over content_length
    cdef bytes write(self, Head head, int64_t content_length, bint chunked, bytes path)


# Offset just behind the first empty line after a start line, 0: not there yet. Stops behind a line
# that ends in a bare LF too, and at a third leading empty line; the parse refuses both. `start`:
# where the previous search gave up (its `n`), so that byte-wise arrival stays linear.
cdef Py_ssize_t head_end(const char* data, Py_ssize_t n, Py_ssize_t start) noexcept

# Parse one complete head of `n` bytes. None, and *fault set, when it is refused.
cdef Head read_request(const char* data, Py_ssize_t n, int fields_max, int* fault)
cdef Head read_response(const char* data, Py_ssize_t n, int* fault)

# Consume chunked bytes; payload pieces go to `pieces`. Returns bytes consumed: less than n when
# done, on a fault, or when `cap` pieces are full (call again).
cdef Py_ssize_t walk(
    Walker* w, const char* p, Py_ssize_t n, Piece* pieces, int cap, int* count
) noexcept


cpdef enum Framing:
    KEEP = 0                 # content-length / transfer-encoding as the upstream sent them
    CHUNKED = 1
    CLOSE = 2                # neither: the body ends with the connection
    LENGTH = 3               # content-length: `length`

# The head sent downstream for an upstream head: hop-by-hop fields dropped, all else byte for byte,
# in order; framing and `extra` (ready lines or b"") come last. `keep_alive` False adds
# `Connection: close`.
cdef bytes write_response(Head head, int framing, int64_t length, bint keep_alive, bytes extra)
