"""Token usage of a response, read from its JSON without decoding it. The contract."""

from libc.stdint cimport int64_t


cdef struct Report:
    # One `usage` object as it was sent; -1: absent or null.
    int64_t input_tokens
    int64_t output_tokens
    int64_t cache_read
    int64_t cache_creation
    int64_t split_5m
    int64_t split_1h
    int64_t thinking
    int64_t searches
    int speed                          # 1: "fast"; 0: another one; -1: absent
    int geo                            # 1: "us"; 0: another one; -1: absent
    bint found                         # there was a `usage` object
    bint has_split                     # `cache_creation` was an object
    bint has_details                   # `output_tokens_details` was an object
    bint has_tools                     # `server_tool_use` was an object


cdef class Usage:
    cdef readonly int64_t input
    cdef readonly int64_t output
    cdef readonly int64_t cache_read
    cdef readonly int64_t cache_write_5m
    cdef readonly int64_t cache_write_1h
    cdef readonly int64_t thinking
    cdef readonly int64_t searches     # web searches that the provider made
    cdef readonly bint fast            # `speed` was "fast"
    cdef readonly bint in_us           # `inference_geo` was "us"


# None: a shape that only a full decoder can judge (ccrelay.wire.usage does).
cpdef Usage usage_of_stream(bytes start, bytes delta)
cpdef Usage usage_of_json(bytes raw)
cpdef str stop_reason_of(bytes delta)

# Bedrock's invocation metrics, raw JSON or None: counts that the events did not have are added.
cpdef object add_metrics(Usage usage, bytes metrics)
