"""Keys of JSON objects: escapes (RFC 8259 section 7), and names that differ in case only."""

cdef inline int simple_escape(char c) noexcept:
    if c == c'"' or c == c"\\" or c == c"/":
        return c
    if c == c"b":
        return 8
    if c == c"f":
        return 12
    if c == c"n":
        return 10
    if c == c"r":
        return 13
    if c == c"t":
        return 9
    return -1


cdef inline int hex4(const char* p, Py_ssize_t n) noexcept:
    # Four hexadecimal digits, -1: something else.
    cdef int code = 0
    cdef int k
    cdef char c
    if n < 4:
        return -1
    for k in range(4):
        c = p[k]
        code <<= 4
        if c"0" <= c <= c"9":
            code |= c - c"0"
        elif c"a" <= c <= c"f":
            code |= c - c"a" + 10
        elif c"A" <= c <= c"F":
            code |= c - c"A" + 10
        else:
            return -1
    return code


cdef inline int write_utf8(char* out, int code) noexcept:
    # Returns the bytes written, 1 to 4.
    if code < 0x80:
        out[0] = <char>code
        return 1
    if code < 0x800:
        out[0] = <char>(0xC0 | code >> 6)
        out[1] = <char>(0x80 | code & 0x3F)
        return 2
    if code < 0x10000:
        out[0] = <char>(0xE0 | code >> 12)
        out[1] = <char>(0x80 | code >> 6 & 0x3F)
        out[2] = <char>(0x80 | code & 0x3F)
        return 3
    out[0] = <char>(0xF0 | code >> 18)
    out[1] = <char>(0x80 | code >> 12 & 0x3F)
    out[2] = <char>(0x80 | code >> 6 & 0x3F)
    out[3] = <char>(0x80 | code & 0x3F)
    return 4


cdef inline Py_ssize_t decode_key(char* key, Py_ssize_t n) noexcept:
    # Resolves escapes in place (no escape is shorter than what it stands for). Returns the new
    # length, -1 when an escape is not one of RFC 8259 section 7. A lone surrogate becomes the three
    # bytes of its code point, which no name in UTF-8 has.
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t size = 0
    cdef int code, low
    while i < n:
        if key[i] != c"\\":
            key[size] = key[i]
            size += 1
            i += 1
            continue
        if key[i + 1] != c"u":      # a backslash is never the last byte: it would escape the quote
            code = simple_escape(key[i + 1])
            if code < 0:
                return -1
            key[size] = <char>code
            size += 1
            i += 2
            continue
        code = hex4(key + i + 2, n - i - 2)
        if code < 0:
            return -1
        i += 6
        if 0xD800 <= code < 0xDC00 and n - i >= 6 and key[i] == c"\\" and key[i + 1] == c"u":
            low = hex4(key + i + 2, n - i - 2)
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                i += 6
        size += write_utf8(key + size, code)
    return size


cdef inline Py_ssize_t folded(const char* key, Py_ssize_t n, char* out) noexcept:
    """The key as parsers see it that ignore case; -1: it is in lower case as it is.

    Go's encoding/json takes `MODEL` for `model`, by simple case folding (package unicode): besides
    A to Z, the long s (U+017F) and the Kelvin sign (U+212A) are letters of ASCII then. Others also
    fold the two i of Turkish (U+0130, U+0131).
    """
    cdef Py_ssize_t i = 0, size = 0
    cdef bint differs = False
    cdef unsigned char c
    # Of most keys this loop is all.
    while size < n and c"Z" < <unsigned char>key[size] < 0x80:
        size += 1
    if size == n:
        return -1
    size = 0
    while i < n:
        c = <unsigned char>key[i]
        if c"A" <= c <= c"Z":
            c |= 0x20
            differs = True
        elif c == 0xC5 and i + 1 < n and <unsigned char>key[i + 1] == 0xBF:
            c = c"s"
            i += 1
            differs = True
        elif c == 0xC4 and i + 1 < n and <unsigned char>key[i + 1] & 0xFE == 0xB0:
            c = c"i"
            i += 1
            differs = True
        elif (
            c == 0xE2
            and i + 2 < n
            and <unsigned char>key[i + 1] == 0x84
            and <unsigned char>key[i + 2] == 0xAA
        ):
            c = c"k"
            i += 2
            differs = True
        out[size] = <char>c
        size += 1
        i += 1
    return size if differs else -1
