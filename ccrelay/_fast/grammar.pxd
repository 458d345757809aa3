"""Byte classes and small grammars of HTTP/1.1 (RFC 9110 5.6, RFC 9112), stateless."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, strlen

from ccrelay._fast.cursor cimport Cursor, peek, same

cdef extern from *:
    """
    /* Bits: see ByteClass. tests/parity/test_http1.py compares every byte with the reference. */
    static const unsigned char ccrelay_byte_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    24, 14, 8, 12, 14, 14, 14, 14, 10, 10, 14, 14, 10, 47, 110, 10,  /* !"#$%&'()*+,-./ */
    238, 238, 238, 238, 238, 238, 238, 238, 238, 238, 74, 10, 8, 10, 8, 10,  /* 0123456789:;<=>? */
    10, 111, 111, 111, 111, 111, 111, 47, 47, 47, 47, 47, 47, 47, 47, 47,  /* @ABCDEFGHIJKLMNO */
    47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 47, 10, 8, 10, 14, 47,  /* PQRSTUVWXYZ[ ]^_ */
    14, 110, 110, 110, 110, 110, 110, 46, 46, 46, 46, 46, 46, 46, 46, 46,  /* `abcdefghijklmno */
    46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 46, 10, 14, 10, 14, 0,  /* pqrstuvwxyz{|}~ */
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8,
    };
    """
    const uint8_t* CLASSES "ccrelay_byte_class"

cdef enum ByteClass:
    METHOD = 1               # upper-case letters, '-', '_'
    TARGET = 2               # visible ASCII but " # < > \ (URL parsers encode or change these)
    TOKEN = 4                # RFC 9110 5.6.2
    TEXT = 8                 # values, reason phrases, chunk extensions: no control bytes but HTAB
    BLANK = 16               # SP, HTAB
    REG_NAME = 32            # host names in practice: no sub-delims, no %
    IP_LITERAL = 64          # between the brackets of an IPv6 host
    DIGIT = 128


cdef inline bint is_a(uint8_t byte, uint8_t mask) noexcept:
    return CLASSES[byte] & mask != 0


cdef inline Py_ssize_t skip(Cursor* c, uint8_t mask) noexcept:
    """Skip bytes of the classes in `mask`; return how many."""
    # Locals stay in registers: a byte may be anything, the cursor's members too.
    cdef const uint8_t* p = c.data
    cdef Py_ssize_t start = c.at, at = start, size = c.size
    while at < size and is_a(p[at], mask):
        at += 1
    c.at = at
    return at - start


cdef inline bint has_control(uint64_t word) noexcept:
    """Whether one of eight bytes is a control byte: below 0x20, or DEL."""
    cdef uint64_t ones = 0x0101010101010101
    cdef uint64_t high = 0x8080808080808080
    cdef uint64_t del_as_zero = word ^ (ones * 0x7F)
    return (((word - ones * 0x20) & ~word) | ((del_as_zero - ones) & ~del_as_zero)) & high != 0


cdef inline void skip_text(Cursor* c) noexcept:
    """`skip` over TEXT, eight bytes at a time: values are most of a head."""
    cdef uint64_t word
    cdef const uint8_t* p = c.data
    cdef Py_ssize_t at = c.at, last = c.size - 8
    while at <= last:
        memcpy(&word, p + at, 8)
        if not has_control(word):
            at += 8
            continue
        c.at = at
        if skip(c, TEXT) < 8:  # stopped inside the word: not a tab
            return
        at = c.at
    c.at = at
    skip(c, TEXT)


cdef inline bint is_word(const uint8_t* p, Py_ssize_t n, const char* word) noexcept:
    """ASCII case-insensitive."""
    return n == <Py_ssize_t>strlen(word) and same(p, <const uint8_t*>word, n)


cdef inline bint next_item(Cursor* c, const uint8_t** item, Py_ssize_t* size) noexcept:
    """The next non-empty member of a comma-separated list, blanks trimmed; False at the end."""
    cdef Py_ssize_t start, end
    while c.at < c.size:
        skip(c, BLANK)
        start = c.at
        while c.at < c.size and c.data[c.at] != c",":
            c.at += 1
        end = c.at
        while end > start and is_a(c.data[end - 1], BLANK):
            end -= 1
        c.at += 1
        if end > start:
            item[0] = c.data + start
            size[0] = end - start
            return True
    return False


cdef inline bint is_host(const uint8_t* p, Py_ssize_t n) noexcept:
    """uri-host [":" port] of RFC 9110 4.2, restricted to names used in practice."""
    cdef Cursor c = Cursor(p, 0, n)
    cdef Py_ssize_t digits
    if peek(&c) == c"[":
        c.at += 1
        if not skip(&c, IP_LITERAL) or peek(&c) != c"]":
            return False
        c.at += 1
    elif not skip(&c, REG_NAME):
        return False
    if peek(&c) == c":":
        c.at += 1
        digits = skip(&c, DIGIT)
        if digits < 1 or digits > 5:
            return False
    return c.at == n


cdef inline int64_t decimal(const uint8_t* p, Py_ssize_t n, int64_t most) noexcept:
    """Value of a decimal number; -1: not one, or over `most` (at most 2^59)."""
    cdef int64_t total = 0
    cdef Py_ssize_t i
    for i in range(n):
        if not is_a(p[i], DIGIT):
            return -1
        total = total * 10 + p[i] - c"0"
        if total > most:
            return -1
    return total if n > 0 else -1
