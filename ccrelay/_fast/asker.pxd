"""Who asks, as far as a request's head tells: session, agent, project, trace. The contract.

Spans of the head, so that a record of an exchange costs no objects. What is not usable is absent.
"""

from ccrelay._fast.http1 cimport Head


cdef struct Span:
    const char* p                      # into Head.buf
    Py_ssize_t n                       # 0: absent


cdef struct Asker:
    Span session                       # as ccrelay.wire.session has it
    Span agent                         # a sub-agent's id
    Span project                       # x-ccrelay-project
    Span trace                         # traceparent, W3C Trace Context


cdef void read_asker(Head head, Asker* asker) noexcept         # of None: all absent

cpdef tuple texts_of(Head head)
