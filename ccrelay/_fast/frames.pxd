"""AWS's frames as C sees them: check sums, base64, numbers, the members of the JSON inside."""

from libc.stdint cimport uint32_t

cdef extern from "frames.h" nogil:
    ctypedef struct FrameMember:
        const char* name
        Py_ssize_t name_len
        const char* value
        Py_ssize_t value_len

    void frames_begin()                # once in each module that uses them
    int frames_use_simd(int wanted)
    uint32_t frames_crc(uint32_t crc, const char* p, size_t n)
    Py_ssize_t frames_unbase64(char* out, const char* p, Py_ssize_t n)
    Py_ssize_t frames_base64(char* out, const char* p, Py_ssize_t n)
    const char* frames_member(const char* p, const char* end, FrameMember* m, int* whole)
    const char* frames_find(const char* p, Py_ssize_t n, const char* text, Py_ssize_t len)

cdef enum:
    PRELUDE = 12                       # two lengths and their check sum
    FRAME_MIN = 16                     # neither headers nor payload
    TYPE_MAX = 64                      # bytes of an event's type; the longest known has 19


cdef inline uint32_t number(const char* p) noexcept:
    """Four bytes, most significant first."""
    cdef const unsigned char* u = <const unsigned char*>p
    return <uint32_t>u[0] << 24 | <uint32_t>u[1] << 16 | <uint32_t>u[2] << 8 | u[3]


cdef inline void put_number(char* p, uint32_t value) noexcept:
    """The same, written."""
    p[0] = <char>(value >> 24)
    p[1] = <char>(value >> 16)
    p[2] = <char>(value >> 8)
    p[3] = <char>value
