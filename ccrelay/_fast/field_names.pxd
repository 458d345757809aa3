"""Field names: the FieldId of each, and the families of names that share one. The contract.

What is done with a field follows from its id (`head_writer`), so that a family is one entry there.
"""

from libc.stdint cimport uint8_t

from ccrelay._fast.cursor cimport Cursor

cdef extern from *:
    """
    /* Letters, digits and '-': a name of these is looked up as it stands. */
    static const unsigned char ccrelay_plain_name[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    };
    """
    const uint8_t* PLAIN "ccrelay_plain_name"


# The FieldId of a name of letters, digits and '-'; case does not matter.
cdef int field_id(const uint8_t* p, Py_ssize_t n) noexcept

# The FieldId of any other token: F_ALIAS if with '-' for its other characters it is a known name.
cdef int odd_field_id(const uint8_t* p, Py_ssize_t n) noexcept


cdef inline void skip_plain(Cursor* c) noexcept:
    """Skip letters, digits and '-'."""
    cdef const uint8_t* p = c.data
    cdef Py_ssize_t at = c.at, size = c.size
    while at < size and PLAIN[p[at]]:
        at += 1
    c.at = at


cdef inline uint8_t folded(uint8_t byte) noexcept:
    """A byte of a name as names are compared: in lower case, and '-' for any punctuation."""
    return byte | 32 if PLAIN[byte] else c"-"
