"""Chunked framing (RFC 9112 7.1), validated but not decoded: a bytewise state machine.

    SIZE_FIRST -> SIZE -> [EXTENSION] -> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
                                            | last chunk
                                            v
             LINE_FIRST -> [NAME -> VALUE -> LINE_LF -> LINE_FIRST] -> END_LF -> done

Lines end in CR LF only; no blanks around a size; trailer lines need a name.
"""

from libc.stdint cimport uint8_t, uint64_t

from ccrelay._fast.grammar cimport TEXT, TOKEN, is_a
from ccrelay._fast.http1 cimport Walker

cdef enum:
    LINE_BYTES_MAX = 256     # chunk size and extensions, without CR LF
    DIGITS_MAX = 16
    TRAILER_BYTES_MAX = 8192     # the whole trailer section with its line ends

cdef enum ChunkState:
    SIZE_FIRST = 0
    SIZE = 1
    EXTENSION = 2
    SIZE_LF = 3
    DATA = 4
    DATA_CR = 5
    DATA_LF = 6
    LINE_FIRST = 7           # trailer section
    NAME = 8
    VALUE = 9
    LINE_LF = 10
    END_LF = 11

cdef enum ChunkVerdict:
    FINE = 0
    MALFORMED = 1
    TRAILER_TOO_LONG = 2


cdef inline int hex_digit(uint8_t byte) noexcept:
    """Value of a hexadecimal digit; -1: not one."""
    if 48 <= byte <= 57:
        return byte - 48
    byte |= 32
    return byte - 87 if 97 <= byte <= 102 else -1


cdef inline int size_byte(Walker* w, uint8_t byte) noexcept:
    """One byte of a size line."""
    cdef int digit
    if byte == 13 and w.state != SIZE_FIRST:
        w.state = SIZE_LF
        return FINE
    w.line += 1
    if w.state == EXTENSION:
        return FINE if is_a(byte, TEXT) and w.line <= LINE_BYTES_MAX else MALFORMED
    if byte == c";" and w.state == SIZE:
        w.state = EXTENSION
        return FINE
    digit = hex_digit(byte)
    if digit < 0 or w.line > DIGITS_MAX or w.left >> 58:  # the size stays below 2^62
        return MALFORMED
    w.left = (w.left << 4) | <uint64_t>digit
    w.state = SIZE
    return FINE


cdef inline int line_end_byte(Walker* w, uint8_t byte) noexcept:
    """One byte of the line ends around a chunk."""
    if byte != (13 if w.state == DATA_CR else 10):
        return MALFORMED
    if w.state == SIZE_LF:
        w.state = DATA if w.left else LINE_FIRST
    elif w.state == DATA_CR:
        w.state = DATA_LF
    else:
        w.state = SIZE_FIRST
        w.line = 0
    return FINE


cdef inline int trailer_byte(Walker* w, uint8_t byte) noexcept:
    """One byte of the trailer section, up to the empty line that ends the body."""
    w.trailer += 1
    if w.trailer > TRAILER_BYTES_MAX:
        return TRAILER_TOO_LONG
    if w.state == LINE_FIRST and byte == 13:
        w.state = END_LF
    elif w.state <= NAME and is_a(byte, TOKEN):  # LINE_FIRST or NAME
        w.state = NAME
    elif w.state == NAME and byte == c":":
        w.state = VALUE
    elif w.state == VALUE and byte == 13:
        w.state = LINE_LF
    elif w.state == LINE_LF and byte == 10:
        w.state = LINE_FIRST
    elif w.state == END_LF and byte == 10:
        w.done = True
    elif w.state != VALUE or not is_a(byte, TEXT):
        return MALFORMED
    return FINE


cdef inline int framing_byte(Walker* w, uint8_t byte) noexcept:
    """Consume one framing byte: FINE, or why it is rejected."""
    if w.state <= EXTENSION:
        return size_byte(w, byte)
    if w.state >= LINE_FIRST:
        return trailer_byte(w, byte)
    return line_end_byte(w, byte)
