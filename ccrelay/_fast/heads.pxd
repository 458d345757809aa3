"""Parses heads into plain structs, without allocation or Python objects; used by `http1.pyx`.

Left to right; the first offending byte determines the fault. `tests/reference/http1.py` is the same
in plain Python.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memchr, memcmp

from ccrelay._fast.cursor cimport Cursor, peek, same, skip_crlf
from ccrelay._fast.field_names cimport field_id, odd_field_id, skip_plain
from ccrelay._fast.grammar cimport (
    BLANK, DIGIT, METHOD, TARGET, TOKEN, decimal, is_a, is_host, is_word, next_item, skip,
    skip_text,
)
from ccrelay._fast.http1 cimport (
    BAD_CONTENT_LENGTH, BAD_FIELD_NAME, BAD_FIELD_VALUE, BAD_HOST, BAD_METHOD, BAD_START_LINE,
    BAD_STATUS, BAD_TARGET, BAD_TRANSFER_ENCODING, BAD_VERSION, BARE_LF, BOTH_FRAMINGS,
    F_CONNECTION, F_CONTENT_ENCODING, F_CONTENT_LENGTH, F_EXPECT, F_HOST, F_ORIGIN,
    F_SEC_FETCH_SITE, F_TRANSFER_ENCODING, NOT_CANONICAL, OBS_FOLD, OK, REPEATED_FIELD,
    TOO_MANY_FIELDS, Field,
)
from ccrelay._fast.nominated cimport hold_back_nominated
from ccrelay._fast.targets cimport is_canonical

cdef enum:
    METHOD_BYTES_MAX = 32
    LENGTH_BITS = 53         # of a content-length: exact in a double, which some peers use


ctypedef struct Parts:
    # A head; offsets are from its first byte. Initially zero, except is_request and content_length.
    bint is_request
    int minor
    int status
    uint32_t method_len
    uint32_t target
    uint32_t target_len
    uint32_t path_len
    uint32_t authority       # of an absolute-form target; authority_len 0: origin-form
    uint32_t authority_len
    int64_t content_length
    bint chunked
    bint keep_alive
    bint expects_continue
    int count                # fields


cdef inline Py_ssize_t blank_lines(const uint8_t* data, Py_ssize_t n) noexcept:
    # RFC 9112 2.2: empty lines before a request line are left over from the previous request.
    cdef Cursor c = Cursor(data, 0, n)
    if skip_crlf(&c):
        skip_crlf(&c)
    return c.at


cdef inline Py_ssize_t first_head_end(const uint8_t* data, Py_ssize_t n, Py_ssize_t start) noexcept:
    cdef Py_ssize_t first = blank_lines(data, n)
    cdef Py_ssize_t at = max(first, start)
    cdef const uint8_t* found
    while at < n:
        found = <const uint8_t*>memchr(data + at, 10, n - at)
        if found == NULL:
            return 0
        at = found - data
        if at == first or data[at - 1] != 13:  # a bare LF
            return at + 1
        if at - 1 == first or data[at - 2] == 10:  # an empty line
            return at + 1
        at += 1
    return 0


cdef inline int line_fault(const Cursor* c, int otherwise) noexcept:
    # The fault at a byte that neither continues nor ends the line.
    return BARE_LF if peek(c) == 10 else otherwise


cdef inline int absolute_form(Parts* head, const uint8_t* p) noexcept:
    # http://authority/path: the path part becomes the target, the authority must equal Host.
    cdef Py_ssize_t n = head.target_len
    cdef Py_ssize_t at
    if n > 7 and same(p, b"http://", 7):
        at = 7
    elif n > 8 and same(p, b"https://", 8):
        at = 8
    else:
        return BAD_TARGET
    head.authority = head.target + at
    while at < n and p[at] != c"/":
        at += 1
    head.authority_len = head.target + at - head.authority
    if not is_host(p + head.authority - head.target, head.authority_len):
        return BAD_TARGET
    if at == n:
        # No path means "/": point to the slash before the authority instead of changing the copy.
        head.target = head.authority - 1
        head.target_len = 1
    else:
        head.target += at
        head.target_len = n - at
    return OK


cdef inline int target_form(Parts* head, const uint8_t* data) noexcept:
    cdef const uint8_t* p = data + head.target
    cdef const void* mark
    cdef int fault = OK
    if is_word(data, head.method_len, b"CONNECT"):
        return BAD_TARGET  # no tunnels, and only CONNECT has an authority-form target
    if p[0] == c"*" and head.target_len == 1:
        fault = OK if is_word(data, head.method_len, b"OPTIONS") else BAD_TARGET
    elif p[0] != c"/":
        fault = absolute_form(head, p)
    mark = memchr(data + head.target, c"?", head.target_len)
    head.path_len = head.target_len
    if mark != NULL:
        head.path_len = <const uint8_t*>mark - data - head.target
    if not fault and not is_canonical(data + head.target, head.path_len, head.target_len):
        fault = NOT_CANONICAL
    return fault


cdef inline bint take_version(Parts* head, Cursor* c) noexcept:
    if c.at + 8 > c.size or memcmp(c.data + c.at, b"HTTP/1.", 7) != 0:
        return False
    head.minor = c.data[c.at + 7] - c"0"
    c.at += 8
    return head.minor == 0 or head.minor == 1


cdef inline int request_line(Parts* head, Cursor* c) noexcept:
    cdef int fault
    head.method_len = skip(c, METHOD)
    if peek(c) != c" ":
        return line_fault(c, BAD_START_LINE if peek(c) == 13 else BAD_METHOD)
    if not 1 <= head.method_len <= METHOD_BYTES_MAX:
        return BAD_METHOD
    c.at += 1
    head.target = c.at
    head.target_len = skip(c, TARGET)
    if peek(c) != c" ":
        return line_fault(c, BAD_START_LINE if peek(c) == 13 else BAD_TARGET)
    if head.target_len == 0:
        return BAD_TARGET
    fault = target_form(head, c.data)
    if fault:
        return fault
    c.at += 1
    if not take_version(head, c):
        return BAD_VERSION
    return OK if skip_crlf(c) else line_fault(c, BAD_VERSION)


cdef inline int status_line(Parts* head, Cursor* c) noexcept:
    cdef int _i
    if c.size < 5 or memcmp(c.data, b"HTTP/", 5) != 0:
        return line_fault(c, BAD_START_LINE)
    if not take_version(head, c):
        return BAD_VERSION
    if peek(c) != c" ":
        return line_fault(c, BAD_VERSION)
    c.at += 1
    for _i in range(3):
        if c.at == c.size or not is_a(c.data[c.at], DIGIT):
            return BAD_STATUS
        head.status = head.status * 10 + c.data[c.at] - c"0"
        c.at += 1
    if not 100 <= head.status <= 599:
        return BAD_STATUS
    if skip_crlf(c):  # RFC 9112 4 requires a space before an empty reason; many servers omit it
        return OK
    if peek(c) != c" ":
        return line_fault(c, BAD_STATUS)
    c.at += 1
    skip_text(c)
    return OK if skip_crlf(c) else line_fault(c, BAD_START_LINE)


cdef inline int field_line(Cursor* c, Field* field) noexcept:
    cdef int first = peek(c)
    cdef Py_ssize_t end
    cdef bint is_odd
    if first == c" " or first == c"\t":
        return OBS_FOLD
    if first == 10:
        return BARE_LF
    field.name = c.at
    skip_plain(c)
    is_odd = peek(c) != c":" and skip(c, TOKEN) > 0
    field.name_len = c.at - field.name
    if field.name_len == 0 or peek(c) != c":":
        return BAD_FIELD_NAME
    c.at += 1
    skip(c, BLANK)
    field.value = c.at
    skip_text(c)
    end = c.at
    if not skip_crlf(c):
        return line_fault(c, BAD_FIELD_VALUE)
    while end > field.value and is_a(c.data[end - 1], BLANK):
        end -= 1
    field.value_len = end - field.value
    field.held_back = 0
    if is_odd:
        field.id = odd_field_id(c.data + field.name, field.name_len)
    else:
        field.id = field_id(c.data + field.name, field.name_len)
    return OK


cdef inline int first_field(const Field* fields, int count, int wanted) noexcept:
    cdef int i
    for i in range(count):
        if fields[i].id == wanted:
            return i
    return -1


cdef inline int without_identity(const uint8_t* data, Field* fields, int count) noexcept:
    """Drop each `content-encoding` that lists nothing but `identity`; the number of fields left."""
    cdef int i, kept = 0
    cdef bint is_identity
    cdef Cursor c
    cdef const uint8_t* item
    cdef Py_ssize_t size
    for i in range(count):
        is_identity = fields[i].id == F_CONTENT_ENCODING
        if is_identity:
            c = Cursor(data + fields[i].value, 0, fields[i].value_len)
            while next_item(&c, &item, &size):
                is_identity &= is_word(item, size, b"identity")
        if not is_identity:
            fields[kept] = fields[i]
            kept += 1
    return kept


cdef inline int take_meaning(Parts* head, const uint8_t* data, const Field* fields) noexcept:
    # Apply the newest field, fields[head.count], if it affects framing or routing.
    cdef const Field* field = &fields[head.count]
    cdef const uint8_t* value = data + field.value
    if field.id == F_CONTENT_LENGTH:
        if head.content_length >= 0:
            return BAD_CONTENT_LENGTH
        head.content_length = decimal(value, field.value_len, <int64_t>1 << LENGTH_BITS)
        return OK if head.content_length >= 0 else BAD_CONTENT_LENGTH
    if field.id == F_TRANSFER_ENCODING:
        # RFC 9112 6.1: in HTTP/1.0 a transfer-encoding is faulty framing.
        if head.chunked or head.minor == 0 or not is_word(value, field.value_len, b"chunked"):
            return BAD_TRANSFER_ENCODING
        head.chunked = True
    elif field.id == F_HOST and head.is_request:
        if first_field(fields, head.count, F_HOST) >= 0 or not is_host(value, field.value_len):
            return BAD_HOST
    elif (field.id == F_ORIGIN or field.id == F_SEC_FETCH_SITE) and head.is_request:
        # The relay judges the first; a server that reads the last would judge another one.
        if first_field(fields, head.count, field.id) >= 0:
            return REPEATED_FIELD
    elif field.id == F_EXPECT and head.is_request and head.minor == 1:
        head.expects_continue |= is_word(value, field.value_len, b"100-continue")
    return OK


cdef inline void read_connection(Parts* head, const uint8_t* data, Field* fields) noexcept:
    cdef bint closes = False, nominates = False, stays = head.minor == 1
    cdef const uint8_t* item
    cdef Py_ssize_t size
    cdef Cursor c
    cdef int i
    for i in range(head.count):
        if fields[i].id != F_CONNECTION:
            continue
        c = Cursor(data + fields[i].value, 0, fields[i].value_len)
        while next_item(&c, &item, &size):
            if is_word(item, size, b"close"):
                closes = True
            elif is_word(item, size, b"keep-alive"):
                stays = True
            else:
                nominates = True
    if nominates:
        hold_back_nominated(data, fields, head.count)
    head.keep_alive = stays and not closes


cdef inline int judge_whole(Parts* head, const uint8_t* data, Field* fields) noexcept:
    # Checks that need all fields.
    cdef int host = first_field(fields, head.count, F_HOST)
    if head.chunked and head.content_length >= 0:
        return BOTH_FRAMINGS
    if head.is_request and host < 0:
        return BAD_HOST  # under HTTP/1.0, too: what is not named cannot be judged
    if head.authority_len and host >= 0 and not (
        fields[host].value_len == head.authority_len
        and same(data + fields[host].value, data + head.authority, head.authority_len)
    ):
        return BAD_HOST  # RFC 9112 3.2: both must be identical
    read_connection(head, data, fields)
    return OK


cdef inline int parse_head(Parts* head, Cursor* c, Field* fields, int fields_max) noexcept:
    cdef int fault = request_line(head, c) if head.is_request else status_line(head, c)
    while fault == OK:
        if skip_crlf(c):
            return judge_whole(head, c.data, fields) if c.at == c.size else BAD_START_LINE
        if head.count >= fields_max:
            return TOO_MANY_FIELDS
        fault = field_line(c, &fields[head.count]) or take_meaning(head, c.data, fields)
        head.count += 1
    return fault
