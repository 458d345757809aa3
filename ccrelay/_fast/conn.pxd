"""A socket under the event loop: shared read buffer, direct send, flow control, deadlines, TLS."""

from libc.stdint cimport int64_t

from ccrelay._fast.libssl cimport Room, Tls
from ccrelay._fast.memory_account cimport Arena, MemoryAccount, Share


cdef enum:
    READ_BYTES = 262144      # one recv at most; large bodies gain by more than nginx reads
    TLS_STEP = 131072        # plaintext sealed before the socket gets to see it


cdef class Reactor:
    # What all connections of a worker share.
    cdef readonly object loop
    cdef object add_reader, remove_reader, add_writer, remove_writer
    cdef object on_crash               # called with an exception that escaped a callback
    cdef char* rbuf                    # what recv fills; valid until the callback returns
    cdef Room tls_room                 # None until there is a TLS connection
    cdef public double now             # monotonic seconds, read at each callback
    cdef readonly Arena arena
    cdef readonly MemoryAccount account
    cdef readonly int64_t connections
    cdef Conn timers                   # intrusive list of connections with a deadline
    cdef double sweep_at
    cdef object sweep_handle, sweep_cb
    cdef set unread                    # connections that are not read and have to be looked after
    cdef object look_handle, look_cb
    cdef object turns                  # connections whose turn comes, in order
    cdef bint turns_come
    cdef double turns_took             # since the last rest, seconds

    cpdef double clock(self)
    cdef double tick(self) noexcept
    cdef void watch(self, Conn conn, double deadline) except *
    cdef void unwatch(self, Conn conn) noexcept
    cdef void look_after(self, Conn conn) except *
    cdef void defer(self, Conn conn) except *


cdef class Conn:
    cdef readonly Reactor reactor
    cdef readonly int fd               # -1: closed
    cdef bint reading, writing
    cdef readonly Share share          # the client its memory is charged to, or None
    cdef bint sheds                    # closed rather than queue beyond the share
    cdef char* out                     # bytes the kernel would not take yet; NULL most of the time
    cdef Py_ssize_t out_at, out_end, out_cap
    cdef double deadline               # 0: none
    cdef double progress_at            # last time the kernel took queued bytes
    cdef Conn timer_prev, timer_next
    cdef Tls tls                       # None without TLS

    cdef void attach(self, Reactor reactor, int fd) except *
    cpdef bint is_closed(self)
    cdef void start_reading(self) except *
    cdef void stop_reading(self) except *
    cdef int send(self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n) except -2
    cdef Py_ssize_t backlog(self) noexcept
    cdef void set_deadline(self, double at) except *
    cdef void close(self, bint reset) except *

    # filled in by downstream and upstream
    cdef void on_bytes(self, char* p, Py_ssize_t n) except *
    cdef void on_end(self, int error) except *      # 0: clean end of input
    cdef void on_drained(self) except *
    cdef void on_deadline(self) except *
    cdef void on_turn(self) except *                # `Reactor.defer`
    cdef void on_closed(self) noexcept              # give back what is held
    cdef Py_ssize_t read_room(self) noexcept        # bytes that one read may bring
    # where a large body wants its bytes
    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept
    cdef bint expects_more(self) noexcept  # False: what the next write tells is soon enough
    cdef void on_direct(self, Py_ssize_t n) except *
    cdef void on_peer_more(self) except *           # the other side has more of the body for us
    cdef void on_peer_drained(self) except *        # the other side can take bytes again
    cdef void want_write(self) except *

    cdef int _send_plain(
        self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n
    ) except -2
    cdef int _send_tls(
        self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n
    ) except -2
    cdef int _queue(self, const char* p, Py_ssize_t n) except -2
    cdef void charge_queue_to(self, Share share) noexcept
    cdef void _free_queue(self) noexcept
    cdef void _read_tls(self, Py_ssize_t n) except *
    cdef int _flush_tls(self) except -2
