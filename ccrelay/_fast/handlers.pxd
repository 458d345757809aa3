"""Base classes of what connections call, and the limits of connections."""

from ccrelay._fast.body cimport BodyLimits
from ccrelay._fast.conn cimport Conn


cdef class DownstreamLimits:
    # What one worker asks of its clients; times in seconds.
    cdef public Py_ssize_t head_bytes_max
    cdef public int fields_max
    cdef public double head_s, body_idle_s, keepalive_s, write_stall_s, wait_s
    cdef public double body_rate_min, body_slow_s
    cdef BodyLimits body


cdef class UpstreamLimits:
    cdef public double first_byte_s, idle_s, total_s, pool_idle_s
    cdef public int event_bytes_max


cdef class RequestHandler:
    # Answers one request: base class of exchanges. Called by its client connection.
    cpdef object on_model(self)        # `model` is known, or the body is complete
    cpdef object on_body(self)         # the body that was awaited is complete
    cpdef object on_bad_body(self, int fault)      # a BodyFault
    cpdef object on_slow_body(self)    # the client stopped sending its body, or nearly
    cpdef object on_body_stalls(self)  # it comes too slowly to hold a target for it
    cpdef object on_wait(self)         # the time of `wake_in` has passed
    cpdef object on_client_left(self)


cdef class ConnectionPool:
    # Keeps idle connections: base class of pools.
    cpdef object give(self, Conn upstream)             # it may serve another exchange
    cpdef object on_idle_closed(self, Conn upstream)
