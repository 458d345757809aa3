# cython: language_level=3
"""What connections call, and their limits. See handlers.pxd."""

from ccrelay._fast.body cimport BodyLimits
from ccrelay._fast.conn cimport Conn


cdef class DownstreamLimits:
    """Bounds and time limits of client connections. Sizes in bytes, times in seconds.

    `body_rate_min`: bytes per second; 0: none. `body_slow_s`: how far a body may be behind.
    """

    def __init__(
        self, *, head_bytes_max, fields_max, BodyLimits body,
        head_s, body_idle_s, keepalive_s, write_stall_s, wait_s, body_rate_min=0, body_slow_s=60,
    ):
        self.head_bytes_max = head_bytes_max
        self.fields_max = fields_max
        self.body = body
        self.head_s = head_s
        self.body_idle_s = body_idle_s
        self.keepalive_s = keepalive_s
        self.write_stall_s = write_stall_s
        self.wait_s = wait_s
        self.body_rate_min = body_rate_min
        self.body_slow_s = body_slow_s


cdef class UpstreamLimits:
    """Time limits of one provider's connections, seconds; `event_bytes_max` in bytes."""

    def __init__(self, *, first_byte_s, idle_s, total_s, pool_idle_s, event_bytes_max):
        self.first_byte_s = first_byte_s
        self.idle_s = idle_s
        self.total_s = total_s
        self.pool_idle_s = pool_idle_s
        self.event_bytes_max = event_bytes_max


cdef class RequestHandler:
    """Answers one request; see handlers.pxd. Each method is a no-op here."""

    cpdef object on_model(self):
        pass

    cpdef object on_body(self):
        pass

    cpdef object on_bad_body(self, int fault):
        pass

    cpdef object on_slow_body(self):
        pass

    cpdef object on_body_stalls(self):
        pass

    cpdef object on_wait(self):
        pass

    cpdef object on_client_left(self):
        pass


cdef class ConnectionPool:
    """Base class of pools; see handlers.pxd."""

    cpdef object give(self, Conn upstream):
        pass

    cpdef object on_idle_closed(self, Conn upstream):
        pass
