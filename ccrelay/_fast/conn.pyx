# cython: language_level=3
"""A socket under the event loop, without a transport.

`loop.add_reader` tells when to read; everything else is ours: one buffer per worker that `recv(2)`
fills, `send(2)` on the spot, an output queue only while the kernel's buffer is full, one intrusive
list of deadlines per worker instead of a timer per connection.

TLS is bytes in, bytes out (libssl.pyx): the socket, its queue and its flow control stay ours.
"""

from libc.errno cimport errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove
from posix.uio cimport iovec, writev

from ccrelay._fast.libssl cimport ENDED, OPEN, Room, attached
from ccrelay._fast.memory_account cimport Arena, MemoryAccount, Share

from collections import deque

cdef extern from "sock.h" nogil:
    void cc_reset(int fd)
    double cc_now()
    int cc_would_block(int e)
    int cc_failed(int fd)
    int cc_left(int fd)
    ssize_t c_recv "recv"(int fd, void* p, size_t n, int flags)
    ssize_t c_send "send"(int fd, const void* p, size_t n, int flags)
    int c_close "close"(int fd)
    int ECONNABORTED
    int EPROTO

cdef enum:
    SWEEP_MIN_MS = 50          # deadlines are kept to within this
    TURNS_MAX = 4              # full reads of one connection before the others get their turn
    LOOKS_PER_TURN = 256       # a system call each
    TLS_RECORD = 16384

cdef double LOOK_S = 0.25      # between two looks at a connection that is not read
cdef double TURN_S = 0.001     # of what waits its turn, or is due, in one turn of the loop
cdef double REST_S = 0.002     # after such a turn: who pipelines has a third of a worker, no more


cdef class Reactor:
    """The event loop's side of all connections of one worker.

    Args:
        loop: a running or idle asyncio loop (uvloop in production).
        on_crash: called with (exception, connection) when a callback raised and it was closed.
    """

    def __init__(self, loop, on_crash):
        self.loop = loop
        self.on_crash = on_crash
        self.add_reader = loop.add_reader
        self.remove_reader = loop.remove_reader
        self.add_writer = loop.add_writer
        self.remove_writer = loop.remove_writer
        self.arena = Arena()
        self.account = MemoryAccount()
        self.rbuf = <char*>malloc(READ_BYTES)
        if self.rbuf == NULL:
            raise MemoryError
        self.now = cc_now()
        self.sweep_cb = self._sweep
        self.look_cb = self._look
        self.unread = set()
        self.turns = deque()

    def __dealloc__(self):
        free(self.rbuf)

    cpdef double clock(self):
        """Monotonic seconds, fresh."""
        return self.tick()

    cdef double tick(self) noexcept:
        self.now = cc_now()
        return self.now

    cdef void watch(self, Conn conn, double deadline) except *:
        if conn.deadline == 0:
            conn.timer_prev = None
            conn.timer_next = self.timers
            if self.timers is not None:
                self.timers.timer_prev = conn
            self.timers = conn
        conn.deadline = deadline
        if self.sweep_handle is None or deadline < self.sweep_at - 0.001 * SWEEP_MIN_MS:
            self._schedule(deadline)

    cdef void unwatch(self, Conn conn) noexcept:
        if conn.deadline == 0:
            return
        conn.deadline = 0
        if conn.timer_prev is not None:
            conn.timer_prev.timer_next = conn.timer_next
        else:
            self.timers = conn.timer_next
        if conn.timer_next is not None:
            conn.timer_next.timer_prev = conn.timer_prev
        conn.timer_prev = None
        conn.timer_next = None

    def _schedule(self, double at):
        cdef double delay = at - self.now
        if self.sweep_handle is not None:
            self.sweep_handle.cancel()
        if delay < 0.001 * SWEEP_MIN_MS:
            delay = 0.001 * SWEEP_MIN_MS
        self.sweep_at = self.now + delay
        self.sweep_handle = self.loop.call_later(delay, self.sweep_cb)

    def _sweep(self):
        cdef Conn conn = self.timers
        cdef Conn following
        cdef double now = self.tick()
        cdef double nearest = 0, ends_at
        cdef list due = None
        self.sweep_handle = None
        while conn is not None:
            following = conn.timer_next
            if conn.deadline <= now:
                if due is None:
                    due = []
                due.append(conn)
            elif nearest == 0 or conn.deadline < nearest:
                nearest = conn.deadline
            conn = following
        if nearest:
            self._schedule(nearest)
        if due is not None:
            ends_at = self.tick() + TURN_S
            for conn in due:
                # an earlier one may have closed or moved this one
                if conn.deadline and conn.deadline <= now and conn.fd >= 0:
                    self.unwatch(conn)
                    try:
                        conn.on_deadline()
                    except BaseException as exc:
                        conn._crashed(exc)
                    if self.tick() >= ends_at:
                        self._sweep_again()     # thousands may be due at once
                        return

    def _sweep_again(self):
        if self.sweep_handle is not None:
            self.sweep_handle.cancel()
        self.sweep_at = self.now
        self.sweep_handle = self.loop.call_soon(self.sweep_cb)

    # ---- turns

    cdef void defer(self, Conn conn) except *:
        """Have `on_turn` called in a later turn of the loop.

        Those that wait are called in order, for TURN_S together, then after REST_S again: however
        many connections have more to be done at once, the others do not wait for it, and the worker
        is not busy with it alone.
        """
        self.turns.append(conn)
        if not self.turns_come:
            self.turns_come = True
            self.loop.call_soon(self._take_turns)

    def _take_turns(self):
        cdef Conn conn
        cdef double began_at = self.tick()
        cdef Py_ssize_t left = len(self.turns)      # who comes meanwhile has another turn
        while left > 0 and self.turns and self.now < began_at + TURN_S:
            left -= 1
            conn = self.turns.popleft()
            if conn.fd >= 0:
                try:
                    conn.on_turn()
                except BaseException as exc:
                    conn._crashed(exc)
            self.tick()
        self.turns_took += self.now - began_at
        self.turns_come = len(self.turns) > 0
        if self.turns_come:
            if self.turns_took < TURN_S:
                self.loop.call_soon(self._take_turns)
            else:
                self.turns_took = 0
                self.loop.call_later(REST_S, self._take_turns)

    cdef void look_after(self, Conn conn) except *:
        """Have `on_end` called when the peer leaves, as long as the connection is not read.

        The loop does not poll its descriptor meanwhile, and there is nothing to send.
        """
        self.unread.add(conn)
        if self.look_handle is None:
            self.look_handle = self.loop.call_later(LOOK_S, self.look_cb)

    def _look(self, list rest=None):
        cdef Conn conn
        cdef list all_of_them = list(self.unread) if rest is None else rest
        self.look_handle = None
        self.tick()
        rest = all_of_them[LOOKS_PER_TURN:]
        for conn in all_of_them[:LOOKS_PER_TURN]:
            if conn.reading or conn.fd < 0:
                self.unread.discard(conn)
            elif cc_left(conn.fd):
                try:
                    conn.on_end(0)
                except BaseException as exc:
                    conn._crashed(exc)
        if rest:
            self.look_handle = self.loop.call_soon(self.look_cb, rest)
        elif self.unread:
            self.look_handle = self.loop.call_later(LOOK_S, self.look_cb)

    def stop(self) -> None:
        for handle in (self.sweep_handle, self.look_handle):
            if handle is not None:
                handle.cancel()
        self.sweep_handle = self.look_handle = None
        self.unread.clear()
        self.turns.clear()


cdef class Conn:
    """One socket. Subclasses say what its bytes mean."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            c_close(self.fd)
        free(self.out)

    cdef void attach(self, Reactor reactor, int fd) except *:
        self.reactor = reactor
        self.fd = fd
        reactor.connections += 1

    def attach_tls(self, tls, incoming, outgoing, native=None):
        """Put a finished TLS session between the socket and the protocol.

        Args:
            tls: Python's SSLObject, its handshake done.
            incoming, outgoing: its MemoryBIOs; what is in `incoming` came from the socket.
            native: of `libssl.capture`, or None.
        """
        if self.reactor.tls_room is None:
            self.reactor.tls_room = Room(READ_BYTES)
        self.tls = attached(tls, incoming, outgoing, native, self.reactor.tls_room)

    cpdef bint is_closed(self):
        return self.fd < 0

    @property
    def queued(self) -> int:
        """Bytes waiting for the kernel."""
        return self.out_end - self.out_at

    # ---- reading

    cdef void start_reading(self) except *:
        if not self.reading and self.fd >= 0:
            self.reading = True
            self.reactor.add_reader(self.fd, self._readable)

    cdef void stop_reading(self) except *:
        if self.reading:
            self.reading = False
            self.reactor.remove_reader(self.fd)

    def _readable(self):
        cdef Reactor reactor = self.reactor
        cdef char* p
        cdef Py_ssize_t room, n
        cdef int turn = 0
        if self.fd < 0:
            return
        reactor.tick()
        try:
            while True:
                if self.tls is None and self.direct_room(&p, &room):
                    n = c_recv(self.fd, p, room, 0)
                    if n > 0:
                        self.on_direct(n)
                else:
                    room = self.read_room()
                    n = c_recv(self.fd, reactor.rbuf, room, 0)
                    if n > 0:
                        if self.tls is None:
                            self.on_bytes(reactor.rbuf, n)
                        else:
                            self._read_tls(n)
                if n <= 0:
                    break
                turn += 1
                if not self.reading or self.fd < 0:
                    return
                # libuv tells of a reset once, even if data came with it, and then polls no more:
                # read on until recv tells.
                if n < room or turn >= TURNS_MAX:
                    if not (self.expects_more() and cc_failed(self.fd)):
                        return
            if n == 0:
                # Over TLS a clean end is close_notify; without it anybody could have cut it.
                self.on_end(<int>ECONNABORTED if self.tls is not None else 0)
            elif not cc_would_block(errno):
                self.on_end(errno)
        except BaseException as exc:
            self._crashed(exc)

    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept:
        return False

    cdef Py_ssize_t read_room(self) noexcept:
        return READ_BYTES

    cdef bint expects_more(self) noexcept:
        return True

    cdef void on_direct(self, Py_ssize_t n) except *:
        pass

    def _crashed(self, exc):
        # The outermost shell of every callback: a defect closes one connection, not the worker.
        self.close(True)
        self.reactor.on_crash(exc, self)

    # ---- writing

    cdef Py_ssize_t backlog(self) noexcept:
        return self.out_end - self.out_at

    cdef int send(self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n) except -2:
        """Send two pieces at once. 0: the kernel took all; 1: the rest waits; -1: the peer left."""
        if self.fd < 0:
            return -1
        if self.tls is not None:
            return self._send_tls(head, head_n, p, n)
        return self._send_plain(head, head_n, p, n)

    cdef int _send_plain(
        self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n
    ) except -2:
        cdef iovec parts[2]
        cdef Py_ssize_t done
        if self.out_end > self.out_at:      # order: nothing overtakes what waits
            if (head_n and self._queue(head, head_n) < 0) or (n and self._queue(p, n) < 0):
                return -1
            return 1
        if head_n and n:
            parts[0].iov_base, parts[0].iov_len = <void*>head, head_n
            parts[1].iov_base, parts[1].iov_len = <void*>p, n
            done = writev(self.fd, parts, 2)
        elif head_n:
            done = c_send(self.fd, head, head_n, 0)
        else:
            done = c_send(self.fd, p, n, 0)
        if done < 0:
            if not cc_would_block(errno):
                return -1
            done = 0
        if done == head_n + n:
            return 0
        if done >= head_n:
            return -1 if self._queue(p + (done - head_n), n - (done - head_n)) < 0 else 1
        if self._queue(head + done, head_n - done) < 0 or (n and self._queue(p, n) < 0):
            return -1
        return 1

    cdef int _queue(self, const char* p, Py_ssize_t n) except -2:
        cdef Py_ssize_t need, cap
        cdef char* grown
        if self.out_at and self.out_end + n > self.out_cap:
            memmove(self.out, self.out + self.out_at, self.out_end - self.out_at)
            self.out_end -= self.out_at
            self.out_at = 0
        need = self.out_end + n
        if need > self.out_cap:
            cap = self.out_cap * 2
            if cap < need:
                cap = need
            if self.share is not None and not self.share.take(cap - self.out_cap):
                if self.sheds:
                    return -1
                self.share.put(cap - self.out_cap)
            grown = <char*>realloc(self.out, cap)
            if grown == NULL:
                if self.share is not None:
                    self.share.give(cap - self.out_cap)
                return -1
            self.out = grown
            self.out_cap = cap
        memcpy(self.out + self.out_end, p, n)
        self.out_end = need
        if not self.writing:
            self.progress_at = self.reactor.now
            self.want_write()
        return 0

    cdef void want_write(self) except *:
        """Have `on_drained` called when the kernel takes bytes again."""
        if not self.writing and self.fd >= 0:
            self.writing = True
            self.reactor.add_writer(self.fd, self._writable)

    def _writable(self):
        cdef Py_ssize_t done
        if self.fd < 0:
            return
        self.progress_at = self.reactor.tick()
        try:
            if self.out_end > self.out_at:
                done = c_send(self.fd, self.out + self.out_at, self.out_end - self.out_at, 0)
                if done < 0:
                    if not cc_would_block(errno):
                        self.on_end(errno)
                    return
                self.out_at += done
                if self.out_at < self.out_end:
                    return
                self._free_queue()   # lazily taken, given back at once: idle streams own no buffer
            self.writing = False
            self.reactor.remove_writer(self.fd)
            self.on_drained()
        except BaseException as exc:
            self._crashed(exc)

    cdef void charge_queue_to(self, Share share) noexcept:
        """From now on, and for what waits already."""
        if self.out_cap:
            if self.share is not None:
                self.share.give(self.out_cap)
            share.put(self.out_cap)
        self.share = share

    cdef void _free_queue(self) noexcept:
        if self.out_cap and self.share is not None:
            self.share.give(self.out_cap)
        free(self.out)
        self.out = NULL
        self.out_at = self.out_end = self.out_cap = 0

    # ---- TLS

    cdef int _send_tls(
        self, const char* head, Py_ssize_t head_n, const char* p, Py_ssize_t n
    ) except -2:
        cdef char* joined = self.reactor.tls_room.joined
        cdef Py_ssize_t step
        if head_n and n and head_n + n <= TLS_RECORD:
            # one record, one packet: a small request leaves together
            memcpy(joined, head, head_n)
            memcpy(joined + head_n, p, n)
            head = joined
            head_n += n
            n = 0
        if head_n and self.tls.seal(head, head_n) < 0:
            return -1
        while n > 0:
            step = n if n < TLS_STEP else TLS_STEP
            if self.tls.seal(p, step) < 0:
                return -1
            p += step
            n -= step
            if n > 0 and self._flush_tls() < 0:
                return -1
        return self._flush_tls()

    cdef int _flush_tls(self) except -2:
        cdef size_t n
        cdef const char* sealed = self.tls.take(&n)
        if n == 0:
            return 1 if self.out_end > self.out_at else 0
        return self._send_plain(NULL, 0, sealed, n)

    cdef void _read_tls(self, Py_ssize_t n) except *:
        cdef Reactor reactor = self.reactor
        cdef int state = OPEN
        # all of it before anything is done with it: what that leads to may read and write, too
        cdef size_t filled = self.tls.unseal(reactor.rbuf, n, &state)
        self._flush_tls()             # an answer to a key update, an alert
        if filled:
            self.on_bytes(reactor.tls_room.plain, filled)
        if state != OPEN and self.fd >= 0:
            self.on_end(0 if state == ENDED else EPROTO)

    # ---- time and end

    cdef void set_deadline(self, double at) except *:
        if at == 0:
            self.reactor.unwatch(self)
        elif self.fd >= 0:
            self.reactor.watch(self, at)

    cdef void close(self, bint reset) except *:
        """Close now. `reset`: let the peer see that the bytes so far are not all."""
        cdef int fd = self.fd
        if fd < 0:
            return
        if self.tls is not None and not reset:
            self.tls.goodbye()
            self._flush_tls()
        self.reactor.unwatch(self)
        if self.reading:
            self.reading = False
            self.reactor.remove_reader(fd)
        if self.writing:
            self.writing = False
            self.reactor.remove_writer(fd)
        self.fd = -1
        self.reactor.connections -= 1
        self._free_queue()
        self.on_closed()
        self.tls = None
        if reset:
            cc_reset(fd)
        else:
            c_close(fd)

    cdef void on_bytes(self, char* p, Py_ssize_t n) except *:
        raise NotImplementedError

    cdef void on_end(self, int error) except *:
        raise NotImplementedError

    cdef void on_turn(self) except *: pass
    cdef void on_closed(self) noexcept: pass

    cdef void on_drained(self) except *:
        pass

    cdef void on_deadline(self) except *:
        pass

    cdef void on_peer_more(self) except *: pass
    cdef void on_peer_drained(self) except *: pass
