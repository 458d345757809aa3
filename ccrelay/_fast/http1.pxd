"""HTTP/1.1 heads and chunked framing: strict parsing, byte-preserving writing. The contract."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cpdef enum FieldId:
    # Field names the relay acts on, and families of names (`field_names.pyx`); any other name is
    # F_OTHER and passes unchanged.
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
    F_ALIAS = 29             # one of these names with other punctuation: `x_api_key`
    F_HOP = 30               # more fields that are for the next hop only
    F_CONDITIONAL = 31       # make an answer a 304
    F_FORWARDING = 32        # a proxy's word on who asked, and where
    F_OVERRIDE = 33          # another method, URL, file or handler, for a server that obeys
    F_CREDENTIAL = 34        # credentials and identities by other names
    F_CLOUD = 35             # signatures and accounts of clouds: x-amz-*, x-goog-*
    F_NAVIGATION = 36        # another place to go to, or to load
    F_SET_COOKIE = 37
    F_CHALLENGE = 38         # asks for a credential
    F_BROWSER = 39           # policies and state of an origin; what browsers tell of themselves
    F_RELAY = 40             # x-ccrelay-*: the relay's own
    F_SEC_FETCH_SITE = 41    # sent by browsers only, as the next
    F_REFERER = 42


cpdef enum HeadFault:
    # Why a head or a chunked body is rejected; 0: no fault.
    OK = 0
    BAD_START_LINE = 1
    BAD_METHOD = 2
    BAD_TARGET = 3
    BAD_VERSION = 4          # not HTTP/1.0 or HTTP/1.1
    BAD_STATUS = 5
    BARE_LF = 6              # a line that ends in LF alone
    BAD_FIELD_NAME = 7       # not a token, or whitespace before the colon
    BAD_FIELD_VALUE = 8      # control bytes
    OBS_FOLD = 9
    BAD_CONTENT_LENGTH = 10  # signed, list, not digits, over 2^53, duplicates that differ or repeat
    BAD_TRANSFER_ENCODING = 11  # anything but exactly one `chunked`
    BOTH_FRAMINGS = 12       # content-length beside transfer-encoding
    BAD_HOST = 13            # missing, twice, or with bytes no host has
    TOO_MANY_FIELDS = 14
    HEAD_TOO_LARGE = 15
    BAD_CHUNK = 16           # chunk size, extension or line end malformed
    TRAILER_TOO_LARGE = 17
    NOT_CANONICAL = 18       # a target that two servers may read differently
    REPEATED_FIELD = 19      # a second Origin or Sec-Fetch-Site


ctypedef struct Field:
    uint32_t name            # offset in Head.buf
    uint32_t name_len
    uint32_t value           # offset, optional whitespace trimmed
    uint32_t value_len
    uint8_t id               # FieldId
    uint8_t held_back        # named in Connection, or has a relay token: not forwarded


ctypedef struct Piece:
    Py_ssize_t at            # offset in the bytes given to walk
    Py_ssize_t size


ctypedef struct Walker:
    # Position in a chunked body; all zeroes: at its start.
    int state
    int line                 # bytes of the current size line
    int trailer              # trailer bytes so far
    int fault                # HeadFault
    bint done                # the last CRLF has been consumed
    bint between             # a chunk can be inserted here; set by walk, also with n=0
    uint64_t left            # payload bytes left in this chunk


@cython.final
cdef class Head:
    cdef char* buf           # a copy, from the start line to the LF of the empty line
    cdef Py_ssize_t size
    cdef Field* fields
    cdef int count
    cdef uint32_t method_len     # requests: the method is at offset 0
    cdef uint32_t target         # offset of the request target
    cdef uint32_t target_len
    cdef uint32_t path_len       # target up to the '?'
    cdef readonly bint is_request
    cdef readonly int minor      # HTTP/1.minor
    cdef readonly int status     # responses; 0 in requests
    cdef readonly int64_t content_length   # -1: absent
    cdef readonly bint chunked
    cdef readonly bint keep_alive          # by version and Connection
    cdef readonly bint expects_continue

    cdef int find(self, int field_id) noexcept          # index of the first such field, -1: none
    cpdef bytes method_and_target(self)                  # of a request, as received
    cpdef bytes value(self, int field_id)                # its value, or None
    cpdef bytes get(self, bytes name)                    # by lower-case name, or None
    # ASCII case-insensitive
    cdef bint value_is(self, int field_id, const char* lower, Py_ssize_t n) noexcept


# Offset after the first empty line that follows a start line; 0: not there yet. Also stops after a
# bare LF and at a third leading empty line, which the parser rejects. `start`: where the previous
# search stopped (its `n`), so that bytewise arrival stays linear.
cdef Py_ssize_t head_end(const char* data, Py_ssize_t n, Py_ssize_t start) noexcept

# Parse one complete head of `n` bytes. Rejected: None, and *fault is set.
cdef Head read_request(const char* data, Py_ssize_t n, int fields_max, int* fault)
cdef Head read_response(const char* data, Py_ssize_t n, int* fault)

# Consume chunked bytes; payload pieces go to `pieces`. Returns bytes consumed: less than n when
# done, on a fault, or when `cap` pieces are full (call again).
cdef Py_ssize_t walk(
    Walker* w, const char* p, Py_ssize_t n, Piece* pieces, int cap, int* count
) noexcept
