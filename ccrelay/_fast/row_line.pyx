# cython: language_level=3
"""Rows of the text log: cells of fixed width, cut and escaped, and figures of a few digits.

Written into a buffer that is reused. Formatting them in Python costs more than all of routing.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset, strlen

from ccrelay._fast.log_line cimport LineBuffer, check_text

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const char* PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    TIME_COLUMNS = 8
    ROW_COLUMNS = 120
    # How bad a row is.
    GOOD = 0
    HANDLED = 1
    BROKEN = 2

# Sequences that colour a terminal: faint, which is grey; yellow; red.
cdef const char* FAINT = "\x1b[2m"
cdef const char* NORMAL = "\x1b[0m"
cdef const char** TONES = [FAINT, "\x1b[33m", "\x1b[31m"]


@cython.final
cdef class RowLine(LineBuffer):
    """Rows of columns for people: `start`, cells in order, `end_row`, perhaps more rows, `take`.

    A cell is as wide as it was opened, whatever is put into it: what is longer is cut, with an
    ellipsis, and what is not printable is escaped.
    """

    def __init__(self, bint is_utf8=False, bint is_coloured=False):
        self.is_utf8 = is_utf8
        self.is_coloured = is_coloured
        self.ellipsis = "\u2026".encode() if is_utf8 else b"..."
        self.ellipsis_columns = 1 if is_utf8 else 3
        self.lay_out(ROW_COLUMNS)

    def lay_out(self, int columns):
        """Give the cells the widths for rows of so many columns; 0: a cell is left out."""
        if columns >= ROW_COLUMNS:
            self.what, self.model, self.target = 17, 16, 24
            self.first, self.total, self.tokens = 6, 6, 13
        elif columns >= 98:
            # The rest for the target: without tokens.
            self.what, self.model, self.target = 17, 16, columns - 82
            self.first, self.total, self.tokens = 6, 6, 0
        elif columns >= 80:
            self.what, self.model, self.target = 12, 10, columns - 64
            self.first, self.total, self.tokens = 0, 6, 0
        else:
            self.what, self.model, self.target = 15, 0, max(columns - 56, 0)
            self.first, self.total, self.tokens = 0, 6, 0
        self.cost = 9
        if columns < 64:
            self.target = 0
        if columns < 55:
            self.what, self.total, self.cost = max(columns - 23, 8), 0, 0
        self.row_columns = min(columns, ROW_COLUMNS)

    # ---- rows

    cpdef object start(self, bytes clock, int tone):
        """Begin with the first row: its time, and how bad it is (a tone)."""
        self.size = 0
        self.tone = tone
        if self.is_coloured and tone == GOOD:
            self.add(FAINT, 4)
        self.add_bytes(clock)

    cpdef object indent(self):
        """Begin a row below another one, in the colour of its outcome."""
        if self.is_coloured:
            self.add(TONES[self.tone], 5 if self.tone != GOOD else 4)
        self.room(TIME_COLUMNS + 1)
        memset(self.data + self.size, b" ", TIME_COLUMNS + 1)
        self.size += TIME_COLUMNS + 1

    cpdef object end_row(self):
        """End a row."""
        while self.size and self.data[self.size - 1] == b" ":
            self.size -= 1
        if self.is_coloured:
            self.add(NORMAL, 4)
        self.add(b"\n", 1)

    cpdef bytes take(self):
        """All rows since `start`."""
        return PyBytes_FromStringAndSize(self.data, self.size)

    # ---- cells of text

    cpdef object open(self, int columns):
        """Begin a cell."""
        self.used = self.cut_columns = 0
        self.columns = columns
        self.is_cut = False
        self.cut_at = self.size

    cpdef object close(self):
        """End the cell: blanks up to its width, and one behind it."""
        cdef int blanks = max(self.columns - self.used, 0) + 1   # a number may be wider
        self.room(blanks)
        memset(self.data + self.size, b" ", blanks)
        self.size += blanks

    cpdef object put(self, object text):
        """Put text behind what is in the cell: a str, or bytes of UTF-8; None is nothing."""
        cdef const char* p
        cdef Py_ssize_t n
        # A number, or no room at all for a part, may have left less than none.
        cdef int rest = max(self.columns - self.used, 0)
        if text is None or self.is_cut:
            return
        p = plain_of(text, rest, &n)
        if p == NULL:
            self.put_units(units_of(text, self.is_utf8))
        elif n <= rest:
            self.add_plain(p, <int>n)
        else:
            self.add_plain(p, rest)
            self.overflow()

    cpdef object put_part(self, object text, int most):
        """Put text into at most so many columns: what follows has room of its own."""
        cdef int columns = self.columns
        most += self.used
        if text is None or self.is_cut:
            return
        if most < columns:
            self.columns = most if most > 0 else 0
        self.put(text)
        self.columns = columns
        self.is_cut = False
        if self.used <= columns - self.ellipsis_columns:
            self.cut_at = self.size
            self.cut_columns = self.used

    cpdef object put_count(self, int64_t value):
        """Put a number behind what is in the cell."""
        cdef Py_ssize_t before = self.size
        if not self.is_cut:
            self.add_integer(value)
            self.used += <int>(self.size - before)

    cdef int add_plain(self, const char* p, int n) except -1:
        cdef int limit = self.columns - self.ellipsis_columns - self.used
        self.room(n)
        memcpy(self.data + self.size, p, n)
        if limit > n:
            limit = n
        if limit > 0:
            self.cut_at = self.size + limit
            self.cut_columns = self.used + limit
        self.size += n
        self.used += n
        return 0

    cdef int put_units(self, list units) except -1:
        """Text that is not plain ASCII: its characters as shown, each with its columns."""
        cdef bytes shown
        cdef int columns
        for shown, columns in units:
            if self.used + columns > self.columns:
                return self.overflow()
            self.add_bytes(shown)
            self.used += columns
            if self.used <= self.columns - self.ellipsis_columns:
                self.cut_at = self.size
                self.cut_columns = self.used
        return 0

    cdef int overflow(self) except -1:
        """There is more than the cell holds: end it with an ellipsis."""
        self.size = self.cut_at
        self.used = self.cut_columns
        self.is_cut = True
        if self.used + self.ellipsis_columns <= self.columns:
            self.add_bytes(self.ellipsis)
            self.used += self.ellipsis_columns
        return 0

    cpdef object tone_on(self):
        """Colour what follows as the outcome."""
        if self.is_coloured and self.tone != GOOD:
            self.add(TONES[self.tone], 5)

    cpdef object tone_off(self):
        """End that."""
        if self.is_coloured and self.tone != GOOD:
            self.add(NORMAL, 4)

    # ---- cells of figures, right-aligned

    cpdef object put_seconds(self, double seconds):
        """A duration: three digits and their unit. Negative: there was none."""
        cdef char text[32]
        cdef int n = seconds_text(seconds, text)
        self.right(text, n, 6)
        self.add(b" ", 1)

    cpdef object put_tokens(self, int64_t read, int64_t written, int64_t cached):
        """Tokens in and out, and how many of those in came from a cache, in percent."""
        cdef char text[32]
        cdef int n = tokens_text(read, text)
        self.right(text, n, 4)
        self.add(b"/", 1)
        n = tokens_text(written, text)
        self.add(text, n)
        self.room(4)
        memset(self.data + self.size, b" ", 4)
        self.size += 4 - n
        n = percent_text(cached, read, text)
        self.right(text, n, 4)
        self.add(b" ", 1)

    cpdef object put_dollars(self, int64_t micros, bint by_plan):
        """Millionths of a dollar; `p` behind what a plan covers."""
        cdef char text[32]
        cdef int n = dollars_text(micros, text)
        self.right(text, n, 8)
        if by_plan:
            self.add(b"p", 1)

    cpdef object put_right(self, bytes text, int columns):
        """A word of ours at the right of a cell."""
        self.right(PyBytes_AS_STRING(text), <int>PyBytes_GET_SIZE(text), columns)
        self.add(b" ", 1)

    cdef int right(self, const char* p, int n, int columns) except -1:
        cdef int blanks = columns - n if columns > n else 0
        self.room(blanks + n)
        memset(self.data + self.size, b" ", blanks)
        memcpy(self.data + self.size + blanks, p, n)
        self.size += blanks + n
        return 0


# Texts of figures, written to `text`, which has 32 bytes; they return their lengths.

cdef int fixed(int64_t value, int decimals, char* text) noexcept:
    """Digits, the last ones behind a point."""
    cdef char digits[24]
    cdef int at = 24, n = 0
    while value > 0 or n <= decimals:
        if n == decimals and decimals:
            at -= 1
            digits[at] = b"."
        at -= 1
        digits[at] = <char>(48 + <int>(value % 10))
        value //= 10
        n += 1
    memcpy(text, digits + at, 24 - at)
    return 24 - at


cdef int with_unit(int n, const char* unit, char* text) noexcept:
    cdef int more = <int>strlen(unit)
    memcpy(text + n, unit, more)
    return n + more


cdef int seconds_text(double seconds, char* text) noexcept:
    """At most six columns: 4 ms, 0.93 s, 38.2 s, 123 s, 17 min, 2 h; `-`: there is none."""
    cdef int64_t centis
    if not 0.0 <= seconds < 999.0 * 3600.0:
        return with_unit(0, b"-", text)
    if seconds < 0.00095:
        return with_unit(0, b"<1 ms", text)
    if seconds < 0.00995:
        return with_unit(fixed(<int64_t>(seconds * 1000.0 + 0.5), 0, text), b" ms", text)
    centis = <int64_t>(seconds * 100.0 + 0.5)
    if centis < 1000:
        return with_unit(fixed(centis, 2, text), b" s", text)
    if centis < 9995:
        return with_unit(fixed((centis + 5) // 10, 1, text), b" s", text)
    if centis < 99950:
        return with_unit(fixed((centis + 50) // 100, 0, text), b" s", text)
    if centis < 597000:
        return with_unit(fixed((centis + 3000) // 6000, 0, text), b" min", text)
    return with_unit(fixed((centis + 180000) // 360000, 0, text), b" h", text)


cdef int tokens_text(int64_t tokens, char* text) noexcept:
    """At most four columns: 950, 1.2k, 184k, 1.2M."""
    if tokens < 1000:
        return fixed(tokens if tokens > 0 else 0, 0, text)
    if tokens < 9950:
        return with_unit(fixed((tokens + 50) // 100, 1, text), b"k", text)
    if tokens < 999500:
        return with_unit(fixed((tokens + 500) // 1000, 0, text), b"k", text)
    if tokens < 9950000:
        return with_unit(fixed((tokens + 50000) // 100000, 1, text), b"M", text)
    if tokens < 999500000:
        return with_unit(fixed((tokens + 500000) // 1000000, 0, text), b"M", text)
    if tokens < 999000000000:
        return with_unit(fixed(tokens // 1000000000, 0, text), b"G", text)
    return with_unit(0, b">1T", text)


cdef int percent_text(int64_t part, int64_t whole, char* text) noexcept:
    """At most three columns, rounded down."""
    if whole <= 0 or part < 0:
        return with_unit(0, b"-", text)
    if part >= whole:
        return with_unit(0, b"all", text)
    return with_unit(fixed(<int64_t>(100.0 * <double>part / <double>whole), 0, text), b"%", text)


cdef int dollars_text(int64_t micros, char* text) noexcept:
    """At most eight columns, as `ccrelay.money` has it: `$0.0002`, `<$0.0001`."""
    cdef int n = 1
    text[0] = b"$"
    if micros < 50:
        return with_unit(0, b"<$0.0001", text)
    if micros < 9950:
        return n + fixed((micros + 50) // 100, 4, text + n)
    if micros < 9999500:
        return n + fixed((micros + 500) // 1000, 3, text + n)
    if micros < 99995000:
        return n + fixed((micros + 5000) // 10000, 2, text + n)
    if micros < 999950000:
        return n + fixed((micros + 50000) // 100000, 1, text + n)
    if micros < 99999500000:
        return n + fixed((micros + 500000) // 1000000, 0, text + n)
    return with_unit(0, b">$100k", text)


cdef const char* plain_of(object text, int columns, Py_ssize_t* n) except? NULL:
    """The characters of a text that needs no escapes, as far as shown; NULL: it does."""
    cdef const char* p
    cdef Py_ssize_t k, looked_at
    if isinstance(text, bytes):
        p = PyBytes_AS_STRING(text)
        n[0] = PyBytes_GET_SIZE(text)
    else:
        check_text(text)
        if not PyUnicode_IS_COMPACT_ASCII(text):
            return NULL
        p = PyUnicode_1BYTE_DATA(text)
        n[0] = PyUnicode_GET_LENGTH(text)
    looked_at = n[0] if n[0] < columns else columns
    for k in range(looked_at):
        if p[k] < 32 or p[k] > 126:
            return NULL
    return p


cdef list units_of(object text, bint is_utf8):
    """The first characters of any text as a terminal may get them, with their widths."""
    if isinstance(text, bytes):
        text = (<bytes>text)[:4 * ROW_COLUMNS].decode("utf-8", "backslashreplace")
    return [as_shown(character, is_utf8) for character in text[:ROW_COLUMNS + 1]]


cdef tuple as_shown(str character, bint is_utf8):
    cdef int code = ord(character)
    if 32 <= code <= 126:
        return character.encode("ascii"), 1
    if is_utf8 and character.isprintable():
        import unicodedata  # 1 MB, which most logs do not need

        if not unicodedata.combining(character) and unicodedata.category(character)[0] != "M":
            is_wide = unicodedata.east_asian_width(character) in "WF"
            return character.encode(), 2 if is_wide else 1
    escaped = b"\\u%04x" % code if code <= 0xFFFF else b"\\U%08x" % code
    return escaped, len(escaped)
