# cython: language_level=3
"""Token usage of a response: a small walk over the JSON that taps keep.

A decoder that builds objects costs more than all the rest of accounting. The walk reads what every
known provider sends and answers None for the rest: escaped names, numbers that are no plain counts,
iterations. Then ccrelay.wire.usage decodes the same bytes; that module holds the rules, and a
property test compares the two.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp

cdef enum:
    DEPTH_MAX = 32
    COUNT_DIGITS_MAX = 14              # 2**48, the largest count believed, has 15: for the decoder

# What a member's value has to be.
cdef enum:
    COUNT = 0
    OBJECT = 1


@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Usage:
    """Tokens of one exchange in Anthropic's terms; `input` is the uncached input only."""

    def __init__(
        self, int64_t input=0, int64_t output=0, int64_t cache_read=0, int64_t cache_write_5m=0,
        int64_t cache_write_1h=0, int64_t thinking=0, int64_t searches=0, bint fast=False,
        bint in_us=False,
    ):
        self.input = input
        self.output = output
        self.cache_read = cache_read
        self.cache_write_5m = cache_write_5m
        self.cache_write_1h = cache_write_1h
        self.thinking = thinking
        self.searches = searches
        self.fast = fast
        self.in_us = in_us

    def _values(self):
        return (
            self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h,
            self.thinking, self.searches, self.fast, self.in_us,
        )

    def __eq__(self, other):
        return isinstance(other, Usage) and self._values() == (<Usage>other)._values()

    def __hash__(self):
        return hash(self._values())

    def __repr__(self):
        return (
            f"Usage(input={self.input}, output={self.output}, cache_read={self.cache_read}, "
            f"cache_write_5m={self.cache_write_5m}, cache_write_1h={self.cache_write_1h}, "
            f"thinking={self.thinking}, searches={self.searches}, fast={self.fast}, "
            f"in_us={self.in_us})"
        )


# ---- the walk


cdef inline const char* skip_space(const char* p, const char* end) noexcept nogil:
    while p < end and (p[0] == b" " or p[0] == b"\n" or p[0] == b"\r" or p[0] == b"\t"):
        p += 1
    return p


cdef const char* skip_string(const char* p, const char* end) noexcept nogil:
    """Just behind the closing quote; `p` is behind the opening one. NULL: it does not end.

    Also NULL where half a surrogate pair may be escaped: a decoder refuses the whole document.
    """
    while p < end:
        if p[0] == b'"':
            return p + 1
        if p[0] == b"\\":
            if end - p > 2 and p[1] == b"u" and (p[2] | 32) == b"d":
                return NULL
            p += 1
        p += 1
    return NULL


cdef const char* skip_value(const char* p, const char* end) noexcept nogil:
    """Just behind a value. NULL: it does not end, or is nested too deeply."""
    cdef int depth = 0
    while p < end:
        if p[0] == b'"':
            p = skip_string(p + 1, end)
            if p == NULL:
                return NULL
        elif p[0] == b"{" or p[0] == b"[":
            depth += 1
            p += 1
            if depth > DEPTH_MAX:
                return NULL
            continue
        elif p[0] == b"}" or p[0] == b"]":
            if depth == 0:
                return p
            depth -= 1
            p += 1
        elif p[0] == b"," and depth == 0:
            return p
        else:
            p += 1
            continue
        if depth == 0:
            return p
    return NULL


cdef struct Member:
    # The name of a member, and where its value begins.
    const char* name
    Py_ssize_t name_len
    const char* value


cdef const char* next_member(const char* p, const char* end, Member* at) noexcept nogil:
    """The next member of an object; `p` is behind `{` or a value. `at.value` is NULL at its end.

    NULL: malformed, or an escaped name.
    """
    at.value = NULL
    p = skip_space(p, end)
    if p < end and p[0] == b",":
        p = skip_space(p + 1, end)
    if p >= end:
        return NULL
    if p[0] == b"}":
        return p + 1
    if p[0] != b'"':
        return NULL
    at.name = p + 1
    p = skip_string(p + 1, end)
    if p == NULL:
        return NULL
    at.name_len = p - 1 - at.name
    p = skip_space(p, end)
    if p >= end or p[0] != b":":
        return NULL
    p = skip_space(p + 1, end)
    if p >= end:
        return NULL
    at.value = p
    return p


cdef inline bint is_name(const Member* at, const char* name, Py_ssize_t n) noexcept nogil:
    return at.name_len == n and memcmp(at.name, name, n) == 0


cdef const char* read_count(const char* p, const char* end, int64_t* count) noexcept nogil:
    """A plain non-negative integer, or null (-1). NULL: something else."""
    cdef int digits = 0
    cdef int64_t value = 0
    if end - p >= 4 and memcmp(p, b"null", 4) == 0:
        count[0] = -1
        return p + 4
    if end - p >= 2 and p[0] == b"0" and 48 <= p[1] <= 57:
        return NULL
    while p < end and 48 <= p[0] <= 57:
        value = value * 10 + (p[0] - 48)
        digits += 1
        p += 1
        if digits > COUNT_DIGITS_MAX:
            return NULL
    if digits == 0 or p >= end or p[0] == b"." or p[0] == b"e" or p[0] == b"E":
        return NULL
    count[0] = value
    return p


cdef const char* read_counts(
    const char* p, const char* end, const char* first, Py_ssize_t first_len, int64_t* first_count,
    const char* second, Py_ssize_t second_len, int64_t* second_count, bint* found,
) noexcept nogil:
    """An object with up to two counts that matter, or null. NULL: something else."""
    cdef Member at
    found[0] = False
    if end - p >= 4 and memcmp(p, b"null", 4) == 0:
        return p + 4
    if p[0] != b"{":
        return NULL
    found[0] = True
    first_count[0] = -1
    if second_count != NULL:
        second_count[0] = -1
    p += 1
    while True:
        p = next_member(p, end, &at)
        if p == NULL or at.value == NULL:
            return p
        if is_name(&at, first, first_len):
            p = read_count(p, end, first_count)
        elif second_count != NULL and is_name(&at, second, second_len):
            p = read_count(p, end, second_count)
        elif memchr_escape(&at):
            return NULL
        else:
            p = skip_value(p, end)
        if p == NULL:
            return NULL


cdef inline const char* read_word(
    const char* p, const char* end, const char* word, Py_ssize_t n, int* found
) noexcept nogil:
    """Any value; `found`: whether it is this one, quotes included."""
    found[0] = end - p > n and memcmp(p, word, n) == 0
    return skip_value(p, end)


cdef bint memchr_escape(const Member* at) noexcept nogil:
    """Whether a name has an escape: it may be one that matters."""
    cdef Py_ssize_t k
    for k in range(at.name_len):
        if at.name[k] == b"\\":
            return True
    return False


cdef void report_clear(Report* report) noexcept nogil:
    report.input_tokens = report.output_tokens = report.cache_read = report.cache_creation = -1
    report.split_5m = report.split_1h = report.thinking = report.searches = -1
    report.speed = report.geo = -1
    report.found = report.has_split = report.has_details = report.has_tools = False


cdef const char* read_report(const char* p, const char* end, Report* report) noexcept nogil:
    """A `usage` object, or null. NULL: only a decoder can tell."""
    cdef Member at
    report_clear(report)
    if end - p >= 4 and memcmp(p, b"null", 4) == 0:
        return p + 4
    if p >= end or p[0] != b"{":
        return NULL
    report.found = True
    p += 1
    while True:
        p = next_member(p, end, &at)
        if p == NULL or at.value == NULL:
            return p
        if is_name(&at, b"input_tokens", 12):
            p = read_count(p, end, &report.input_tokens)
        elif is_name(&at, b"output_tokens", 13):
            p = read_count(p, end, &report.output_tokens)
        elif is_name(&at, b"cache_read_input_tokens", 23):
            p = read_count(p, end, &report.cache_read)
        elif is_name(&at, b"cache_creation_input_tokens", 27):
            p = read_count(p, end, &report.cache_creation)
        elif is_name(&at, b"cache_creation", 14):
            p = read_counts(
                p, end, b"ephemeral_5m_input_tokens", 25, &report.split_5m,
                b"ephemeral_1h_input_tokens", 25, &report.split_1h, &report.has_split,
            )
        elif is_name(&at, b"output_tokens_details", 21):
            p = read_counts(
                p, end, b"thinking_tokens", 15, &report.thinking, NULL, 0, NULL,
                &report.has_details,
            )
        elif is_name(&at, b"server_tool_use", 15):
            p = read_counts(
                p, end, b"web_search_requests", 19, &report.searches, NULL, 0, NULL,
                &report.has_tools,
            )
        elif is_name(&at, b"speed", 5):
            p = read_word(p, end, b'"fast"', 6, &report.speed)
        elif is_name(&at, b"inference_geo", 13):
            p = read_word(p, end, b'"us"', 4, &report.geo)
        elif is_name(&at, b"iterations", 10):
            if end - p < 4 or memcmp(p, b"null", 4) != 0:
                return NULL
            p += 4
        elif memchr_escape(&at):
            return NULL
        else:
            p = skip_value(p, end)
        if p == NULL:
            return NULL


cdef const char* find_object(
    const char* p, const char* end, const char* name, Py_ssize_t n, bint* absent
) noexcept nogil:
    """Where the value of a top-level member begins. NULL: absent, malformed, or there twice.

    Of two members of a name a decoder reads both: the first may be one that it refuses.
    """
    cdef Member at
    cdef const char* found = NULL
    absent[0] = False
    p = skip_space(p, end)
    if p >= end or p[0] != b"{":
        return NULL
    p += 1
    while True:
        p = next_member(p, end, &at)
        if p == NULL:
            return NULL
        if at.value == NULL:
            absent[0] = found == NULL
            return found
        if is_name(&at, name, n):
            if found != NULL:
                return NULL
            found = at.value
        elif memchr_escape(&at):
            return NULL
        p = skip_value(p, end)
        if p == NULL:
            return NULL


# ---- usage


cdef Usage made_of(const Report* report):
    """As ccrelay.wire.usage has it: the total of cache writes decides, since it may be newer than
    the split; what the split does not call 1 h was written for 5 m, the default."""
    cdef Usage usage = Usage.__new__(Usage)
    cdef int64_t hour
    usage.input = max(report.input_tokens, 0)
    usage.output = max(report.output_tokens, 0)
    usage.cache_read = max(report.cache_read, 0)
    if report.has_details:
        usage.thinking = max(report.thinking, 0)
    if report.has_tools:
        usage.searches = max(report.searches, 0)
    usage.fast = report.speed == 1
    usage.in_us = report.geo == 1
    if not report.has_split:
        usage.cache_write_5m = max(report.cache_creation, 0)
    else:
        hour = max(report.split_1h, 0)
        if report.cache_creation < 0:
            usage.cache_write_5m = max(report.split_5m, 0)
        else:
            hour = min(hour, report.cache_creation)
            usage.cache_write_5m = report.cache_creation - hour
        usage.cache_write_1h = hour
    return usage


cdef bint read_event(
    bytes data, const char* outer, Py_ssize_t n, Report* report
) noexcept:
    """The `usage` of an event, inside of member `outer` if there is one. False: for a decoder."""
    cdef const char* p = PyBytes_AS_STRING(data)
    cdef const char* end = p + PyBytes_GET_SIZE(data)
    cdef bint absent
    report_clear(report)
    if n:
        p = find_object(p, end, outer, n, &absent)
        if p == NULL:
            return absent
        if end - p >= 4 and memcmp(p, b"null", 4) == 0:
            return True
    p = find_object(p, end, b"usage", 5, &absent)
    if p == NULL:
        return absent
    return read_report(p, end, report) != NULL


cpdef Usage usage_of_stream(bytes start, bytes delta):
    """Usage of a stream by its `message_start` and last `message_delta`; None: for a decoder."""
    cdef Report first, last
    report_clear(&first)
    report_clear(&last)
    if start is not None and not read_event(start, b"message", 7, &first):
        return None
    if delta is not None and not read_event(delta, NULL, 0, &last):
        return None
    if not first.found:
        return made_of(&last)
    if last.input_tokens >= 0:
        first.input_tokens = last.input_tokens
    if last.output_tokens >= 0:
        first.output_tokens = last.output_tokens
    if last.cache_read >= 0:
        first.cache_read = last.cache_read
    if last.cache_creation >= 0:
        first.cache_creation = last.cache_creation
    if last.has_split:
        first.has_split = True
        first.split_5m, first.split_1h = last.split_5m, last.split_1h
    if last.has_details:
        first.has_details = True
        first.thinking = last.thinking
    if last.has_tools:
        first.has_tools = True
        first.searches = last.searches
    if last.speed >= 0:
        first.speed = last.speed
    if last.geo >= 0:
        first.geo = last.geo
    return made_of(&first)


cpdef object add_metrics(Usage usage, bytes metrics):
    """Add counts that the events of a stream did not have; `metrics`: Bedrock's, raw, or None.

    `inputTokenCount` is without the cache. Cache counts may stand in the metrics only (reference:
    providers, section 5.4); what was written is then taken as written for 5 minutes, the default.
    """
    cdef const char* p
    cdef const char* end
    cdef Member at
    cdef int64_t count
    if metrics is None:
        return
    p = PyBytes_AS_STRING(metrics)
    end = p + PyBytes_GET_SIZE(metrics)
    if p[0] != b"{":
        return
    p += 1
    while True:
        p = next_member(p, end, &at)
        if p == NULL or at.value == NULL:
            return
        if read_count(at.value, end, &count) != NULL:
            if is_name(&at, b"inputTokenCount", 15):
                usage.input = usage.input or max(count, 0)
            elif is_name(&at, b"outputTokenCount", 16):
                usage.output = usage.output or max(count, 0)
            elif is_name(&at, b"cacheReadInputTokenCount", 24):
                usage.cache_read = usage.cache_read or max(count, 0)
            elif is_name(&at, b"cacheWriteInputTokenCount", 25):
                if not usage.cache_write_1h:
                    usage.cache_write_5m = usage.cache_write_5m or max(count, 0)
        p = skip_value(at.value, end)
        if p == NULL:
            return


cpdef Usage usage_of_json(bytes raw):
    """Usage by the raw `usage` member of a JSON answer; None: for a decoder."""
    cdef Report report
    cdef const char* p
    cdef const char* end
    if raw is None:
        return Usage.__new__(Usage)
    p = PyBytes_AS_STRING(raw)
    end = p + PyBytes_GET_SIZE(raw)
    if read_report(skip_space(p, end), end, &report) == NULL:
        return None
    return made_of(&report)


cpdef str stop_reason_of(bytes delta):
    """The `stop_reason` of a `message_delta` where it is a plain string; None: for a decoder."""
    cdef const char* p
    cdef const char* end
    cdef const char* closing
    cdef bint absent
    if delta is None:
        return None
    p = PyBytes_AS_STRING(delta)
    end = p + PyBytes_GET_SIZE(delta)
    p = find_object(p, end, b"delta", 5, &absent)
    if p == NULL:
        return None
    p = find_object(p, end, b"stop_reason", 11, &absent)
    if p == NULL or p[0] != b'"':
        return None
    closing = p + 1
    while closing < end and closing[0] != b'"':
        if closing[0] == b"\\" or <signed char>closing[0] < 32:
            return None
        closing += 1
    return PyUnicode_DecodeASCII(p + 1, closing - p - 1, NULL) if closing < end else None
