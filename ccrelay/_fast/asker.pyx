# cython: language_level=3
"""Who asks, as far as a request's head tells: see asker.pxd.

A client sends what it likes. What goes into records and logs is printable ASCII of bounded length;
of ids and traces only what has the form of one.
"""

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memset

from ccrelay._fast.http1 cimport (
    F_AGENT_ID, F_OTHER, F_RELAY, F_SESSION_ID, Field, Head,
)

cdef enum:
    SESSION_MAX = 128
    AGENT_MAX = 128
    PROJECT_MAX = 64
    TRACE_BYTES = 55                   # version 00: 2 + 32 + 16 + 2 digits, three hyphens
    WORD_MAX = 10                      # of those that clients write who have no session
    # where in an id a byte may stand
    LATER = 1
    FIRST = 2

cdef tuple _NO_SESSION = (
    b"undefined", b"null", b"none", b"nil", b"nan", b"true", b"false", b"unknown", b"default",
    b"anonymous", b"session", b"session_id", b"sessionid",
)

cdef uint8_t[256] IN_ID                # letters and digits; later also `-._:`


cdef inline bint is_printable(const char* p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t k
    for k in range(n):
        if not 32 <= <uint8_t>p[k] <= 126:
            return False
    return True


cdef void _fill_table() noexcept:
    cdef int c
    for c in range(128):
        if c"0" <= c <= c"9" or c"a" <= (c | 32) <= c"z":
            IN_ID[c] = LATER | FIRST
        elif c == c"-" or c == c"." or c == c"_" or c == c":":
            IN_ID[c] = LATER


_fill_table()


cdef inline bint is_named(
    const char* buf, const Field* field, const char* lower, Py_ssize_t n
) noexcept:
    """Whether it is the field of this name; hyphens and letters only."""
    cdef const char* p = buf + field.name
    cdef Py_ssize_t i = 0
    if field.name_len != <uint32_t>n:
        return False
    # The 32 makes lower case of letters, and leaves the hyphen.
    while i < n and (p[i] | 32) == lower[i]:
        i += 1
    return i == n


cdef inline void keep_first(Span* kept, const char* buf, const Field* field) noexcept:
    if kept.p == NULL:
        kept.p = buf + field.value
        kept.n = field.value_len


cdef bint is_no_session(const char* p, Py_ssize_t n) noexcept:
    """Words that clients write who have no id, and ids of zeroes: not one conversation."""
    cdef const char* word
    cdef bytes known
    cdef Py_ssize_t k
    if n <= WORD_MAX:
        for known in _NO_SESSION:
            if len(known) == n:
                word = known
                k = 0
                # `_` is as good as its neighbour in lower case: no word has that one.
                while k < n and (p[k] | 32) == (word[k] | 32):
                    k += 1
                if k == n:
                    return True
    for k in range(n):
        if p[k] != c"0" and p[k] != c"-":
            return False
    return True


cdef inline void check_session(Span* found) noexcept:
    cdef Py_ssize_t k
    cdef uint8_t everywhere = LATER
    if not 0 < found.n <= SESSION_MAX:
        found.n = 0
        return
    for k in range(found.n):
        everywhere &= IN_ID[<uint8_t>found.p[k]]
    if (
        not everywhere or not IN_ID[<uint8_t>found.p[0]] & FIRST
        or is_no_session(found.p, found.n)
    ):
        found.n = 0


cdef inline void check_text(Span* found, Py_ssize_t most) noexcept:
    found.n = min(found.n, most)
    if not is_printable(found.p, found.n):
        found.n = 0


cdef bint is_hex(const char* p, Py_ssize_t n, bint* any_set) noexcept:
    """Lower-case hexadecimal digits. `any_set`: whether one is no zero."""
    cdef Py_ssize_t k
    any_set[0] = False
    for k in range(n):
        if not (c"0" <= p[k] <= c"9" or c"a" <= p[k] <= c"f"):
            return False
        if p[k] != c"0":
            any_set[0] = True
    return True


cdef void check_trace(Span* found) noexcept:
    cdef const char* p = found.p
    cdef Py_ssize_t n = found.n
    cdef bint version, trace, parent, flags
    found.n = 0
    if n < TRACE_BYTES or p[2] != c"-" or p[35] != c"-" or p[52] != c"-":
        return
    if not (
        is_hex(p, 2, &version) and is_hex(p + 3, 32, &trace) and is_hex(p + 36, 16, &parent)
        and is_hex(p + 53, 2, &flags) and trace and parent
    ):
        return
    if memcmp(p, b"ff", 2) == 0:
        return
    # A later version may have more behind a hyphen; its beginning is read as that of version 00.
    if n > TRACE_BYTES and (not version or p[TRACE_BYTES] != c"-"):
        return
    found.n = TRACE_BYTES


cdef void read_asker(Head head, Asker* asker) noexcept:
    cdef const Field* field
    cdef int k
    memset(asker, 0, sizeof(Asker))
    if head is None:
        return
    for k in range(head.count):
        field = &head.fields[k]
        if field.id == F_OTHER:
            if is_named(head.buf, field, b"traceparent", 11):
                keep_first(&asker.trace, head.buf, field)
        elif field.id == F_SESSION_ID:
            keep_first(&asker.session, head.buf, field)
        elif field.id == F_AGENT_ID:
            keep_first(&asker.agent, head.buf, field)
        elif field.id == F_RELAY and is_named(head.buf, field, b"x-ccrelay-project", 17):
            keep_first(&asker.project, head.buf, field)
    check_session(&asker.session)
    check_text(&asker.agent, AGENT_MAX)
    check_text(&asker.project, PROJECT_MAX)
    check_trace(&asker.trace)


cdef inline str text_of(Span found):
    return PyUnicode_DecodeASCII(found.p, found.n, NULL) if found.n else ""


cpdef tuple texts_of(Head head):
    """Session, agent, project and trace of a head; empty: none, or not usable."""
    cdef Asker asker
    read_asker(head, &asker)
    return (
        text_of(asker.session), text_of(asker.agent), text_of(asker.project), text_of(asker.trace)
    )
