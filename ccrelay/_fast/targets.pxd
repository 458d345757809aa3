"""Whether a request target has one reading (RFC 3986 6.2.2, 6.2.3).

Servers, proxies and frameworks differ in what they make of empty and dot segments, path parameters
and escapes, before or after they choose a handler. Paths that would have to be normalised are
refused, so that what we judge is what any other would.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcmp

from ccrelay._fast.chunks cimport hex_digit
from ccrelay._fast.field_names cimport PLAIN


cdef inline int escaped(const uint8_t* p, Py_ssize_t left) noexcept:
    """The byte that the escape at p stands for; -1: two hexadecimal digits do not follow."""
    cdef int high, low
    if left < 3:
        return -1
    high, low = hex_digit(p[1]), hex_digit(p[2])
    return high * 16 + low if high >= 0 and low >= 0 else -1


cdef inline bint needs_escape(int byte) noexcept:
    """Whether a byte may stand escaped: not unreserved, no control byte, not -1 (no escape)."""
    if byte < 32 or byte == 127 or PLAIN[byte]:
        return False
    return byte not in (c".", c"_", c"~")


cdef inline bint path_may_escape(int byte) noexcept:
    """Nor what is a delimiter somewhere, nor beyond ASCII (overlong forms, look-alikes)."""
    if not needs_escape(byte) or byte > 127:
        return False
    return byte not in (c"/", c"\\", c"%", c";", c"?", c"#")


cdef inline bint names_by_arn(const uint8_t* p, Py_ssize_t n) noexcept:
    """Whether a path may have an ARN as a segment, whose slashes are escaped (Bedrock's)."""
    return (n > 7 and memcmp(p, b"/model/", 7) == 0) or (
        n > 20 and memcmp(p, b"/inference-profiles/", 20) == 0
    )


cdef inline bint has_one_reading(const uint8_t* p, Py_ssize_t n) noexcept:
    """Of a path that begins with a slash."""
    cdef Py_ssize_t i = 0, dots
    cdef int byte
    cdef bint arns = names_by_arn(p, n)
    while i < n:
        if p[i] == c"/":
            dots = i + 1
            while dots < n and p[dots] == c".":
                dots += 1
            if (dots == n or p[dots] == c"/") and n > 1:
                return False  # an empty segment, also the last, or one of dots
        elif p[i] == c"%":
            byte = escaped(p + i, n - i)
            # Such a slash is part of an id, which goes nowhere as a path.
            if not (path_may_escape(byte) or (arns and byte == c"/")):
                return False
            i += 2
        elif p[i] in (c";", c"^", c"`", c"{", c"|", c"}"):
            return False
        i += 1
    return True


cdef inline bint is_canonical(const uint8_t* p, Py_ssize_t path_len, Py_ssize_t n) noexcept:
    """Of a target whose bytes are of the class TARGET."""
    cdef const void* mark
    cdef Py_ssize_t i = path_len
    if path_len != 12 or memcmp(p, b"/v1/messages", 12) != 0:
        if p[0] == c"/" and not has_one_reading(p, path_len):
            return False
    while i < n:
        mark = memchr(p + i, c"%", n - i)
        if mark == NULL:
            return True
        i = <const uint8_t*>mark - p
        if not needs_escape(escaped(p + i, n - i)):
            return False
        i += 3
    return True
