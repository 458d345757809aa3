"""Event boundaries and usage of an Anthropic SSE stream, read in passing.

Bytes of content events are looked at by memchr only; nothing of them is copied. Collected are the
data of message_start, message_delta and error, for the usage they carry and for the decision
whether an answer may be committed. Everything is a function of the bytes fed so far, however they
were cut.

Lines, fields and dispatch follow the WHATWG HTML standard, section 9.2.6 "Interpreting an event
stream", with two liberties: a name counts only before the event's data has told its type, and a
byte order mark is not looked for (such a first line is an unknown field; if it was the name, the
data still tells the type).

    line:   FIELD -:-> BEFORE_NAME -> NAME      "event"
                   -:-> BEFORE_DATA -> DATA     "data"
                   -:-> REST                    comment, id, retry, anything else
    An empty line ends the event.

Facts: events and their order, reference: providers, section 2.6; an error inside a 200 before any
content, section 9 there; broken streams, gateway contract, section 6.3.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memchr, memcmp, memcpy


cdef enum:
    EVENT_LIMIT = 1 << 30      # bytes; keeps sizes inside an int
    DATA_FIRST = 1024          # bytes of the first buffer; a message_start has about 600


cdef enum Line:
    FIELD                      # in the field name, or at the start of a line
    BEFORE_NAME                # behind "event:", where one space is skipped
    NAME
    BEFORE_DATA                # behind "data:", where one space is skipped
    DATA
    REST                       # bytes that do not matter


cdef enum Kind:
    UNKNOWN                    # no name, and not enough data yet
    PING
    MESSAGE_START
    MESSAGE_DELTA
    MESSAGE_STOP
    ERROR
    NOISE                      # no event of the protocol: `[DONE]`, say
    OTHER                      # content


@cython.final
cdef class SseTap:
    """One stream. Feed its payload (chunk framing removed) as it passes.

    `event_max` bytes are kept of each event that is kept at all; longer data is cut there.
    ValueError when it is not positive.
    """

    def __cinit__(self, int event_max=262144):
        if not 0 < event_max <= EVENT_LIMIT:
            raise ValueError(f"event_max must be 1 to {EVENT_LIMIT} bytes, not {event_max}")
        self.event_max = event_max
        self.at_boundary = True

    def __dealloc__(self):
        PyMem_Free(self.data)

    cdef void feed(self, const char* p, Py_ssize_t n) noexcept:
        cdef const char* end = p + n
        cdef const char* lf
        cdef const char* cr
        cdef const char* stop
        if n <= 0:
            return
        # Where the next of each stands; kept over the lines, so that a piece is searched once for
        # each, whatever its lines end with.
        lf = line_end(p, c"\n", end)
        cr = line_end(p, c"\r", end)
        while p < end:
            if self.after_cr:
                self.after_cr = False
                if p[0] == c"\n":
                    p += 1
                    continue
            if lf < p:
                lf = line_end(p, c"\n", end)
            if cr < p:
                cr = line_end(p, c"\r", end)
            stop = lf if lf < cr else cr
            if p < stop:
                line_bytes(self, p, stop - p)
            if stop == end:
                break
            self.after_cr = stop == cr
            p = stop + 1
            end_line(self)
        self.at_boundary = self.line == FIELD and self.head_size == 0 and not self.has_fields

    def feed_bytes(self, bytes data not None):
        """Take the next bytes of the stream."""
        self.feed(data, len(data))

    cpdef bytes start(self):
        """Data of the first message_start, None before it is complete."""
        return self.kept_start

    cpdef bytes delta(self):
        """Data of the last message_delta with usage, else of the last one; None before any."""
        return self.kept_delta

    cpdef bytes error(self):
        """Data of the first error event, None before it is complete."""
        return self.kept_error


cdef inline const char* line_end(const char* p, char c, const char* end) noexcept:
    # The next byte `c`, or `end`.
    cdef const char* found = <const char*>memchr(p, c, end - p)
    return end if found == NULL else found


# --- lines --------------------------------------------------------------------------------------

cdef void line_bytes(SseTap t, const char* p, Py_ssize_t n) noexcept:
    # Bytes of one line, at least one; the whole line, or what the piece has of it.
    cdef Py_ssize_t used
    if t.line == FIELD:
        used = field_bytes(t, p, n)
        p += used
        n -= used
    if n == 0:
        return
    if t.line == BEFORE_NAME or t.line == BEFORE_DATA:
        t.line += 1                    # NAME, DATA
        if p[0] == c" ":
            p += 1
            n -= 1
    if t.line == DATA:
        add_data(t, p, n)
    elif t.line == NAME:
        n = min(n, HEAD_MAX - t.head_size)
        memcpy(t.head + t.head_size, p, n)
        t.head_size += <int>n


cdef Py_ssize_t field_bytes(SseTap t, const char* p, Py_ssize_t n) noexcept:
    # Returns the bytes consumed: up to and with the colon, or all.
    cdef Py_ssize_t i = 0
    if t.head_size == 0:
        if p[0] == c":":
            t.line = REST
            return n
        t.has_fields = True
        if n > 5 and memcmp(p, b"data:", 5) == 0:
            begin_data(t)
            return 5
        if n > 6 and memcmp(p, b"event:", 6) == 0:
            t.line = BEFORE_NAME
            return 6
    while i < n and p[i] != c":":
        if t.head_size == 5:           # longer than "event"
            t.line = REST
            return n
        t.head[t.head_size] = p[i]
        t.head_size += 1
        i += 1
    if i == n:
        return n
    if head_is(t, b"data", 4):
        begin_data(t)
    elif head_is(t, b"event", 5):
        t.line = BEFORE_NAME
    else:
        t.line = REST
    t.head_size = 0
    return i + 1


cdef inline bint head_is(SseTap t, const char* text, int n) noexcept:
    return t.head_size == n and memcmp(t.head, text, n) == 0


cdef void end_line(SseTap t) noexcept:
    if t.line == FIELD:
        if t.head_size == 0:
            end_event(t)
        elif head_is(t, b"data", 4):   # a field without a colon has an empty value
            begin_data(t)
        elif head_is(t, b"event", 5):
            named(t, UNKNOWN)
    elif t.line == NAME or t.line == BEFORE_NAME:
        named(t, kind_named(t.head, t.head_size))
    t.line = FIELD
    t.head_size = 0


# --- events -------------------------------------------------------------------------------------

cdef int kind_of(const char* name, Py_ssize_t n) noexcept:
    if n == 0:
        return UNKNOWN
    if n == 4 and memcmp(name, b"ping", 4) == 0:
        return PING
    if n == 5 and memcmp(name, b"error", 5) == 0:
        return ERROR
    if n == 12 and memcmp(name, b"message_stop", 12) == 0:
        return MESSAGE_STOP
    if n == 13 and memcmp(name, b"message_start", 13) == 0:
        return MESSAGE_START
    if n == 13 and memcmp(name, b"message_delta", 13) == 0:
        return MESSAGE_DELTA
    return OTHER


cdef int kind_named(const char* name, Py_ssize_t n) noexcept:
    # The kind told by an `event` line. A name outside of the protocol tells nothing: `message` is
    # the default of the standard, others stand before errors of proxies. Its data may tell more.
    cdef int kind = kind_of(name, n)
    if kind == OTHER and not (n >= 8 and memcmp(name, b"content_", 8) == 0):
        return UNKNOWN
    return kind


cdef void named(SseTap t, int kind) noexcept:
    # A complete name line.
    if not t.has_data:
        settle(t, kind)
    elif t.kind == UNKNOWN and kind != UNKNOWN:
        settle(t, kind)
        collect(t, t.sniff, t.sniff_size)


cdef void settle(SseTap t, int kind) noexcept:
    # The one door for the event's kind. Content is believed by its name: the rest may take long.
    # The end of a message that never began is none.
    t.kind = kind
    if kind == OTHER or kind == MESSAGE_DELTA:
        if t.verdict == WAITING or t.verdict == STARTED:
            t.verdict = CONTENT
    elif kind == MESSAGE_STOP and t.verdict == STARTED:
        t.verdict = CONTENT


cdef void begin_data(SseTap t) noexcept:
    # A data line; the standard joins them with line feeds.
    t.line = BEFORE_DATA
    if t.has_data:
        add_data(t, b"\n", 1)
    t.has_data = True


cdef void add_data(SseTap t, const char* p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t some
    if t.kind == UNKNOWN:
        some = min(n, SNIFF_MAX - t.sniff_size)
        memcpy(t.sniff + t.sniff_size, p, some)
        t.sniff_size += <int>some
        if t.sniff_size < SNIFF_MAX:
            return
        recognise(t)
        p += some
        n -= some
    collect(t, p, n)


cdef void recognise(SseTap t) noexcept:
    settle(t, sniff_kind(t.sniff, t.sniff_size))
    collect(t, t.sniff, t.sniff_size)


cdef void collect(SseTap t, const char* p, Py_ssize_t n) noexcept:
    # Adds to the data of an event that will be kept; cut behind event_max, or without memory.
    cdef Py_ssize_t cap
    cdef char* data
    if not is_kept(t):
        return
    n = min(n, t.event_max - t.data_size)
    if t.data_size + n > t.data_cap:
        cap = min(max(t.data_size + n, 2 * t.data_cap, <Py_ssize_t>DATA_FIRST), t.event_max)
        data = <char*>PyMem_Realloc(t.data, cap)
        if data == NULL:
            return
        t.data = data
        t.data_cap = cap
    if n > 0:
        memcpy(t.data + t.data_size, p, n)
        t.data_size += n


cdef inline bint is_kept(SseTap t) noexcept:
    if t.kind == MESSAGE_DELTA:
        return True
    if t.kind == MESSAGE_START:
        return t.kept_start is None
    return t.kind == ERROR and t.kept_error is None


cdef void end_event(SseTap t) noexcept:
    # An empty line. A block without data is not an event (standard: dispatch, step 2).
    if t.has_data:
        if t.kind == UNKNOWN:
            recognise(t)
        if t.kind == PING:
            t.pings += 1
        else:
            t.events += 1
            if t.kind != OTHER:
                keep_event(t)
    t.kind = UNKNOWN
    t.has_fields = False
    t.has_data = False
    t.sniff_size = 0


cdef void keep_event(SseTap t) noexcept:
    cdef bint kept = is_kept(t)
    cdef bint has_usage
    cdef bytes data
    if t.kind == MESSAGE_START and t.verdict == WAITING:
        t.verdict = STARTED
    elif t.kind == ERROR and t.verdict != CONTENT:
        t.verdict = FAILED
    elif t.kind == MESSAGE_STOP:
        t.stopped = True
    if not kept:
        return
    data = take(t)
    if t.kind == MESSAGE_START:
        t.kept_start = data
    elif t.kind == ERROR:
        t.kept_error = data
    else:
        has_usage = b'"usage"' in data
        if has_usage or not t.delta_has_usage:
            t.kept_delta = data
            t.delta_has_usage = has_usage


cdef bytes take(SseTap t):
    # The collected data; the buffer goes at once, streams are many and long.
    try:
        return t.data[:t.data_size]
    finally:
        PyMem_Free(t.data)
        t.data = NULL
        t.data_size = 0
        t.data_cap = 0


# --- events without a name ----------------------------------------------------------------------

cdef int sniff_kind(const char* s, int n) noexcept:
    # The kind told by the start of a JSON object: its member "type", or a member that only content,
    # an error, or another API's event has. Data that is no object, or tells nothing, is noise;
    # what is longer than this and tells nothing is content.
    cdef int i = skip_space(s, 0, n)
    cdef int kind = OTHER if n == SNIFF_MAX else NOISE
    cdef int depth = 0
    cdef int begin, end, after
    cdef bint typed = False
    if i == n or s[i] != c"{":
        return NOISE
    while i < n:
        if s[i] == c'"':
            begin = i + 1
            end = string_end(s, begin, n)
            if depth == 1:
                after = behind_colon(s, end + 1, n)
                if after < n and s[after] == c'"' and end - begin == 4 \
                        and memcmp(s + begin, b"type", 4) == 0:
                    begin = after + 1
                    after = string_end(s, begin, n)
                    if after >= n:
                        return OTHER
                    kind = kind_named(s + begin, after - begin)
                    if kind != UNKNOWN:
                        return kind
                    kind = NOISE       # of another protocol, whatever else it has
                    typed = True
                elif after < n and is_foreign(s + begin, end - begin, s[after]):
                    return ERROR
                elif after < n and not typed:
                    kind = kind_with(s + begin, end - begin, kind)
            i = end
        elif s[i] == c"{" or s[i] == c"[":
            depth += 1
        elif s[i] == c"}" or s[i] == c"]":
            depth -= 1
        i += 1
    return kind


cdef int kind_with(const char* key, int n, int kind) noexcept:
    # The kind that a member tells where `type` is written last; without one the kind so far.
    if n == 7 and memcmp(key, b"message", 7) == 0:
        return MESSAGE_START
    if (n == 5 and memcmp(key, b"delta", 5) == 0) or (
        n == 13 and memcmp(key, b"content_block", 13) == 0
    ):
        return OTHER
    return kind


cdef bint is_foreign(const char* key, int n, char value) noexcept:
    # Members that no event of the protocol has: of errors in any shape, and of OpenAI's chunks.
    # `value`: the first byte of the member's value.
    if n == 3:
        return value == c'"' and memcmp(key, b"msg", 3) == 0
    if n == 4:
        return memcmp(key, b"code", 4) == 0
    if n == 5:
        return (value == c"{" or value == c'"') and memcmp(key, b"error", 5) == 0
    if n == 6:
        return memcmp(key, b"object", 6) == 0 or memcmp(key, b"detail", 6) == 0
    if n == 7:
        return (
            memcmp(key, b"choices", 7) == 0
            or (value == c"f" and memcmp(key, b"success", 7) == 0)
            or (value == c'"' and memcmp(key, b"message", 7) == 0)
        )
    return False


cdef int string_end(const char* s, int i, int n) noexcept:
    # Offset of the closing quote, at least n: not there.
    while i < n and s[i] != c'"':
        i += 2 if s[i] == c"\\" else 1
    return i


cdef int behind_colon(const char* s, int i, int n) noexcept:
    # Offset of the value behind a key that ended at i, n: there is none in sight.
    i = skip_space(s, i, n)
    if i >= n or s[i] != c":":
        return n
    return skip_space(s, i + 1, n)


cdef int skip_space(const char* s, int i, int n) noexcept:
    while i < n and s[i] in b" \t\r\n":
        i += 1
    return i
