"""Fields that `Connection` names are for one hop (RFC 9110 7.6.1): they are marked, once per head.

A name in Connection is looked up among the sorted names of the fields, so that neither long lists
nor many fields cost more than their bytes, times eight.
"""

from libc.stdint cimport uint8_t, uint16_t

from ccrelay._fast.cursor cimport Cursor, lower
from ccrelay._fast.grammar cimport next_item
from ccrelay._fast.http1 cimport F_CONNECTION, F_OTHER, Field

cdef enum:
    SORTED_MAX = 256         # fields of a head


cdef inline int order(
    const uint8_t* p, Py_ssize_t n, const uint8_t* q, Py_ssize_t m
) noexcept:
    """Of two names: by length, then as in a dictionary, in lower case. Below, above or 0."""
    cdef Py_ssize_t i
    if n != m:
        return -1 if n < m else 1
    for i in range(n):
        if lower(p[i]) != lower(q[i]):
            return -1 if lower(p[i]) < lower(q[i]) else 1
    return 0


cdef inline int lowest(
    const uint8_t* data, const Field* fields, const uint16_t* sorted_, int count,
    const uint8_t* name, Py_ssize_t size,
) noexcept:
    """Place of the first of the sorted fields whose name is not below this one."""
    cdef int low = 0, high = count, middle
    cdef const Field* field
    while low < high:
        middle = (low + high) // 2
        field = &fields[sorted_[middle]]
        if order(data + field.name, field.name_len, name, size) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline void hold_back_nominated(const uint8_t* data, Field* fields, int count) noexcept:
    """Mark the fields that Connection names.

    Fields with a FieldId are not among them: either they are dropped anyway or the message cannot
    be read without them (content-type, content-encoding), so that naming them is ignored.
    """
    cdef uint16_t sorted_[SORTED_MAX]
    cdef const uint8_t* item
    cdef Py_ssize_t size
    cdef Cursor c
    cdef int i, k, place, kept = 0
    for i in range(count):
        if fields[i].id != F_OTHER:
            continue
        place = lowest(data, fields, sorted_, kept, data + fields[i].name, fields[i].name_len)
        for k in range(kept, place, -1):
            sorted_[k] = sorted_[k - 1]
        sorted_[place] = i
        kept += 1
    for i in range(count):
        if fields[i].id != F_CONNECTION:
            continue
        c = Cursor(data + fields[i].value, 0, fields[i].value_len)
        while next_item(&c, &item, &size):
            place = lowest(data, fields, sorted_, kept, item, size)
            while place < kept and not fields[sorted_[place]].held_back and order(
                data + fields[sorted_[place]].name, fields[sorted_[place]].name_len, item, size
            ) == 0:
                fields[sorted_[place]].held_back = 1
                place += 1
