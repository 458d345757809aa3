"""Streaming scan for top-level members of a JSON object.

The small top level is parsed strictly, byte by byte (RFC 8259). Nested values, the bulk of a
request body, are skipped by `scan.c`, which checks quotes, escapes and brackets only. The result
does not depend on how the bytes were split.

States of the top-level grammar:

    START -{-> FIRST_KEY -"-> KEY -"-> COLON -:-> VALUE -> STRING, NESTED, LITERAL or a number
    value -> AFTER -,-> NEXT_KEY -"-> KEY        AFTER, FIRST_KEY -}-> END

Facts: Claude Code sends `model` first and `stream` last (reference: client contract, section 5),
but neither is guaranteed. Keys are compared decoded, so an escaped spelling matches.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdlib cimport getenv
from libc.stdint cimport int64_t
from libc.string cimport memcmp, memcpy

from ccrelay._fast.json_key cimport decode_key, folded

cdef extern from "scan.h" nogil:
    ctypedef struct ScanNested:
        int depth
        int in_string
        int escaped
        int bad
        int64_t elements

    Py_ssize_t scan_string(const char* p, Py_ssize_t n, int* escaped, int* closed) noexcept
    Py_ssize_t scan_nested(ScanNested* s, const char* p, Py_ssize_t n) noexcept
    bint scan_use_simd(bint wanted) noexcept
    bint scan_has_simd() noexcept
    int SCAN_DEPTH_MAX


cdef enum:
    CAPTURE_LIMIT = 1 << 30    # bytes; keeps sizes inside an int
    CAPTURE_FIRST = 64         # initial buffer of a value that arrives in pieces


cdef enum Step:
    START                      # white space, then {
    FIRST_KEY                  # behind {: a key or }
    NEXT_KEY                   # behind a comma: a key
    KEY                        # inside the key's quotes
    COLON
    VALUE                      # behind the colon
    STRING                     # inside the value's quotes
    NESTED                     # inside an object or array
    LITERAL                    # inside true, false or null
    AFTER                      # behind a value: a comma or }
    END                        # behind the object: white space
    # Numbers (RFC 8259 section 6). States in which a number may end come last.
    MINUS                      # a digit must follow
    POINT                      # a digit must follow
    EXPONENT                   # a sign or digit must follow
    SIGN                       # a digit must follow
    ZERO                       # no further digit may follow
    INTEGER
    FRACTION
    POWER


@cython.final
cdef class MemberKeys:
    """The wanted member names, at most 8; a name's slot is its position in `names`.

    Values are kept of the first `captured` names only (of all, if it is negative); of the others
    one learns that they are there, and where. `guarded`: names in lower case of ASCII letters and
    underscores, of which a scan tells if they occur in another case (`other_case`).

    Made once and shared by any number of scans. ValueError when there are too many names, when two
    are equal, or when one is not valid Unicode.
    """

    def __cinit__(self, names, int captured=-1, guarded=()):
        cdef int slot
        cdef bytes name
        self.names = tuple(names)
        if len(self.names) > SLOTS_MAX:
            raise ValueError(f"at most {SLOTS_MAX} members can be wanted, not {len(self.names)}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"a member is named twice: {self.names!r}")
        self.count = len(self.names)
        self.captured = self.count if captured < 0 else captured
        self.encoded = tuple([text.encode() for text in self.names])
        for slot in range(self.count):
            name = self.encoded[slot]
            self.text[slot] = name
            self.size[slot] = len(name)
        self.guarded = tuple([text.encode("ascii") for text in guarded])
        self.guarded_count = len(self.guarded)
        if self.guarded_count > GUARDED_MAX:
            raise ValueError(f"at most {GUARDED_MAX} members can be guarded")
        for slot in range(self.guarded_count):
            name = self.guarded[slot]
            self.guarded_text[slot] = name
            self.guarded_size[slot] = len(name)

    def __repr__(self):
        return f"MemberKeys({list(self.names)!r})"

    cdef bint guards(self, const char* key, Py_ssize_t n) noexcept:
        cdef char lower[KEY_MAX]
        cdef Py_ssize_t size = folded(key, n, lower)
        cdef int k
        if size < 0:
            return False
        for k in range(self.guarded_count):
            if self.guarded_size[k] == size and memcmp(self.guarded_text[k], lower, size) == 0:
                return True
        return False

    cdef int find(self, const char* key, Py_ssize_t n) noexcept:
        cdef int slot
        for slot in range(self.count):
            if self.size[slot] == n and memcmp(self.text[slot], key, n) == 0:
                return slot
        return -1


@cython.final
cdef class MemberScan:
    """One document. Feed its bytes as they come; ask for members as soon as they are `seen`.

    `capture_max` bytes are kept of the first occurrence of each wanted member; of longer values
    only the span is known. Nothing is allocated but these captures. A value nested deeper than
    10,000 levels (the document's own object is the first) makes the document INVALID. `elements`
    are the items and members so far, at all levels; an empty container counts as one more. In an
    INVALID document `offset` is that of the first byte that does not fit; what was found before it
    stays readable.
    """

    def __cinit__(self, MemberKeys keys not None, int capture_max=1024):
        if not 0 <= capture_max <= CAPTURE_LIMIT:
            raise ValueError(f"capture_max must be 0 to {CAPTURE_LIMIT} bytes, not {capture_max}")
        self.keys = keys
        self.capture_max = capture_max
        self.reset()

    def __dealloc__(self):
        cdef int slot
        for slot in range(SLOTS_MAX):
            PyMem_Free(self.slots[slot].data)

    cdef int feed(self, const char* p, Py_ssize_t n) noexcept:
        cdef Py_ssize_t i = 0
        while i < n and self.state != INVALID:
            if self.step == NESTED:
                i = skip_nested(self, p, i, n)
            elif self.step == STRING:
                i = skip_string(self, p, i, n)
            elif self.step == KEY:
                i = read_key(self, p, i, n)
            elif self.step >= MINUS:
                i = skip_number(self, p, i, n)
            elif self.step == LITERAL:
                i = skip_literal(self, p, i, n)
            else:
                i = read_structure(self, p, i, n)
        if self.keeping:
            keep(self, p, i)
        self.offset += i
        return self.state

    def feed_bytes(self, bytes data not None):
        """Consume the next bytes of the document; return the new state."""
        return self.feed(data, len(data))

    cpdef void reset(self) noexcept:
        """Start a new document. Buffers are kept."""
        cdef int slot
        self.state = SCANNING
        self.offset = 0
        self.elements = 0
        self.step = START
        self.slot = -1
        self.keeping = False
        self.escaped = False
        self.other_case = False
        for slot in range(SLOTS_MAX):
            self.slots[slot].start = -1
            self.slots[slot].end = -1
            self.slots[slot].seen = 0
            self.slots[slot].size = 0
            self.slots[slot].overflow = False

    cpdef bytes value(self, int slot):
        """Raw JSON bytes of the first occurrence; None: absent, incomplete, not kept or over
        capture_max."""
        check_slot(self, slot)
        cdef Capture* c = &self.slots[slot]
        if c.end < 0 or c.overflow or slot >= self.keys.captured:
            return None
        return c.data[:c.size]

    cpdef tuple span(self, int slot):
        """(start, end) of the first occurrence in the document; None: absent or incomplete."""
        check_slot(self, slot)
        if self.slots[slot].end < 0:
            return None
        return self.slots[slot].start, self.slots[slot].end

    cpdef int seen(self, int slot) except -1:
        """Occurrences of the member so far, counted at the end of its key."""
        check_slot(self, slot)
        return self.slots[slot].seen

    cdef bint ready(self, int slot) noexcept:
        return self.slots[slot].end >= 0

    cpdef bint is_too_deep(self) noexcept:
        """Whether the document is INVALID because of its depth."""
        return self.state == INVALID and self.step == NESTED and self.depth == SCAN_DEPTH_MAX


def scan(bytes data not None, MemberKeys keys not None, int capture_max=1024):
    """Scan a complete document."""
    cdef MemberScan result = MemberScan(keys, capture_max)
    result.feed(data, len(data))
    return result


def count_elements(data not None):
    """About how many items and members a JSON text has, at all levels: `MemberScan.elements`.

    For a text of any shape, before it is decoded: what is no JSON has a count, too.
    """
    cdef const unsigned char[::1] view = data
    cdef Py_ssize_t n = view.shape[0]
    cdef Py_ssize_t i = 0
    cdef ScanNested s
    s.elements = 0
    s.in_string = s.escaped = s.bad = False
    s.depth = 1
    while i < n:
        i += scan_nested(&s, <const char*>&view[i], n - i)
        if s.bad:                  # too deep, or a stray backslash: behind it goes on
            s.bad = False
            i += 1
        s.depth = 1
    return s.elements


def simd():
    """Whether nested values are skipped with vector instructions."""
    return scan_has_simd()


def use_simd(bint wanted):
    """Turn vector code on or off; return `simd()`. For tests and benchmarks: results are equal."""
    return scan_use_simd(wanted)


cdef int check_slot(MemberScan m, int slot) except -1:
    if not 0 <= slot < m.keys.count:
        raise IndexError(f"slot {slot} of {m.keys!r}")
    return 0


cdef inline Py_ssize_t refuse(MemberScan m, Py_ssize_t i) noexcept:
    m.state = INVALID
    return i


# --- captures -----------------------------------------------------------------------------------

cdef void begin_value(MemberScan m, Py_ssize_t i) noexcept:
    if m.slot >= 0 and m.slots[m.slot].seen == 1:
        m.slots[m.slot].start = m.offset + i
        m.keeping = m.slot < m.keys.captured


cdef void end_value(MemberScan m, const char* p, Py_ssize_t i) noexcept:
    # Called after a value whose last byte is p[i - 1], or the last byte of the previous piece.
    m.step = AFTER
    if m.slot >= 0 and m.slots[m.slot].seen == 1:
        if m.keeping:
            keep(m, p, i)
            m.keeping = False
        m.slots[m.slot].end = m.offset + i
    m.slot = -1


cdef void keep(MemberScan m, const char* p, Py_ssize_t end) noexcept:
    # Appends this piece of the current value. On overflow or out of memory the whole capture is
    # dropped; the span remains.
    cdef Capture* c = &m.slots[m.slot]
    cdef Py_ssize_t begin = <Py_ssize_t>(c.start - m.offset) if c.start > m.offset else 0
    cdef Py_ssize_t size = c.size + end - begin
    cdef Py_ssize_t cap
    cdef char* data
    if size > m.capture_max:
        c.overflow = True
    elif size > c.cap or c.data == NULL:
        cap = min(max(size, 2 * c.cap, <Py_ssize_t>CAPTURE_FIRST), m.capture_max)
        data = <char*>PyMem_Realloc(c.data, cap)
        if data == NULL:
            c.overflow = True
        else:
            c.data = data
            c.cap = <int>cap
    if c.overflow:
        m.keeping = False
        c.size = 0
        return
    memcpy(c.data + c.size, p + begin, end - begin)
    c.size = <int>size


# --- the top level ------------------------------------------------------------------------------

cdef Py_ssize_t read_structure(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    # Whitespace and the byte after it.
    cdef char c
    while i < n and p[i] in b" \n\r\t":
        i += 1
    if i == n:
        return n
    c = p[i]
    if m.step == VALUE:
        return start_value(m, i, c)
    if m.step == COLON and c == c":":
        m.step = VALUE
    elif m.step == AFTER and c == c",":
        m.step = NEXT_KEY
        m.elements += 1
    elif (m.step == FIRST_KEY or m.step == NEXT_KEY) and c == c'"':
        m.step = KEY
        m.key_size = 0
        m.key_escaped = False
    elif (m.step == AFTER or m.step == FIRST_KEY) and c == c"}":
        m.step = END
        m.state = COMPLETE
    elif m.step == START and c == c"{":
        m.step = FIRST_KEY
        m.elements += 1
    else:
        return refuse(m, i)
    return i + 1


cdef Py_ssize_t start_value(MemberScan m, Py_ssize_t i, char c) noexcept:
    if c == c'"':
        m.step = STRING
        m.escaped = False
    elif c == c"{" or c == c"[":
        m.step = NESTED
        m.elements += 1
        m.depth = 1
        m.in_string = False
        m.escaped = False
        m.closer = c"}" if c == c"{" else c"]"
    elif c == c"-":
        m.step = MINUS
    elif c == c"0":
        m.step = ZERO
    elif c"1" <= c <= c"9":
        m.step = INTEGER
    elif c == c"t":
        m.step = LITERAL
        m.literal = "rue"
    elif c == c"f":
        m.step = LITERAL
        m.literal = "alse"
    elif c == c"n":
        m.step = LITERAL
        m.literal = "ull"
    else:
        return refuse(m, i)
    begin_value(m, i)
    return i + 1


cdef Py_ssize_t skip_nested(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    cdef ScanNested s
    s.depth = m.depth
    s.in_string = m.in_string
    s.escaped = m.escaped
    s.bad = False
    s.elements = 0
    i += scan_nested(&s, p + i, n - i)
    m.elements += s.elements
    m.depth = s.depth
    m.in_string = s.in_string
    m.escaped = s.escaped
    if s.bad:
        return refuse(m, i)
    if s.depth == 0:
        # Inner brackets are only balanced; the outermost pair must match.
        if p[i - 1] != m.closer:
            return refuse(m, i - 1)
        end_value(m, p, i)
    return i


cdef Py_ssize_t skip_string(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    cdef int escaped = m.escaped
    cdef int closed
    i += scan_string(p + i, n - i, &escaped, &closed)
    m.escaped = escaped
    if closed:
        end_value(m, p, i)
    return i


cdef Py_ssize_t skip_literal(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    while i < n and m.literal[0] != 0:
        if p[i] != m.literal[0]:
            return refuse(m, i)
        m.literal += 1
        i += 1
    if m.literal[0] == 0:
        end_value(m, p, i)
    return i


cdef Py_ssize_t skip_number(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    # Ends only at the byte after the number, which is left for read_structure.
    cdef int step
    while i < n:
        step = after_number_byte(m.step, p[i])
        if step == AFTER:
            end_value(m, p, i)
            return i
        if step == START:
            return refuse(m, i)
        m.step = step
        i += 1
    return i


cdef int after_number_byte(int step, char c) noexcept:
    # The next step; AFTER: the number ended before this byte, START: invalid byte.
    if c"0" <= c <= c"9":
        if step == MINUS:
            return ZERO if c == c"0" else INTEGER
        if step == POINT:
            return FRACTION
        if step == EXPONENT or step == SIGN:
            return POWER
        return START if step == ZERO else step
    if c == c"." and (step == ZERO or step == INTEGER):
        return POINT
    if (c == c"e" or c == c"E") and (step == ZERO or step == INTEGER or step == FRACTION):
        return EXPONENT
    if (c == c"+" or c == c"-") and step == EXPONENT:
        return SIGN
    return AFTER if step >= ZERO else START


# --- keys ---------------------------------------------------------------------------------------

cdef Py_ssize_t read_key(MemberScan m, const char* p, Py_ssize_t i, Py_ssize_t n) noexcept:
    cdef unsigned char c
    cdef Py_ssize_t run
    while i < n:
        run = i
        if not m.escaped:
            while i < n and <unsigned char>p[i] >= 0x20 and p[i] != c'"' and p[i] != c"\\":
                i += 1
            add_to_key(m, p + run, i - run)
            if i == n:
                return i
        c = p[i]
        if c < 0x20:
            return refuse(m, i)
        if m.escaped:
            m.escaped = False
        elif c == c'"':
            return end_key(m, i)
        else:
            m.escaped = True
            m.key_escaped = True
        add_to_key(m, p + i, 1)
        i += 1
    return i


cdef inline void add_to_key(MemberScan m, const char* p, Py_ssize_t n) noexcept:
    # A key longer than every wanted one is only known to be that.
    if m.key_size + n > KEY_MAX:
        m.key_size = KEY_MAX + 1
        return
    memcpy(m.key + m.key_size, p, n)
    m.key_size += <int>n


cdef Py_ssize_t end_key(MemberScan m, Py_ssize_t i) noexcept:
    m.step = COLON
    m.slot = -1
    if m.key_size <= KEY_MAX:
        if m.key_escaped:
            m.key_size = <int>decode_key(m.key, m.key_size)
            if m.key_size < 0:
                return refuse(m, i)
        m.slot = m.keys.find(m.key, m.key_size)
        if m.slot < 0 and m.keys.guarded_count and m.keys.guards(m.key, m.key_size):
            m.other_case = True
    if m.slot >= 0:
        m.slots[m.slot].seen += 1
    return i + 1


cdef char* no_simd = getenv("CCRELAY_NO_SIMD")
scan_use_simd(no_simd == NULL or no_simd[0] != c"1")
