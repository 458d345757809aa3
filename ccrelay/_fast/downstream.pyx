# cython: language_level=3
"""The client's side of an exchange.

    IDLE --head--> BODY --last byte--> WAITING --answered--> IDLE
                     \--answered early--> LINGERING --> closed

The relay (Python) is called up at most three times here: `handler.on_request` when a head is complete (with
`model` if it came in the same read), `exchange.on_model` or `exchange.on_body` if it asked to wait for them.
Body bytes are kept until the upstream's answer is committed, so that another attempt can send them again;
when the worker's memory for that is spent, a body passes through a window instead and cannot be re-sent.
"""

cimport cython
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from ccrelay._fast.conn cimport READ_BYTES, Conn, Reactor
from ccrelay._fast.http1 cimport (
    F_AUTHORIZATION, F_CONTENT_ENCODING, F_HOST, F_ORIGIN, F_X_API_KEY, HEAD_TOO_LARGE, Head, Piece, Walker, head_end, read_request, walk,
)
from ccrelay._fast.json cimport COMPLETE, INVALID, MemberKeys, MemberScan

from ccrelay._fast.json import MemberKeys as _MemberKeys, MemberScan as _MemberScan

cdef extern from "sock.h" nogil:
    int cc_accept(int listener)
    int errno

cdef enum:
    PIPELINE_BYTES_MAX = 65536     # requests ahead of their turn; more is left in the kernel
    WINDOW_BYTES = 262144          # of a body that is not kept
    DIRECT_MIN = 32768             # rest of a body for which recv into place pays
    LINGER_BYTES_MAX = 1048576     # thrown away before a close, so that the answer is not reset away
    ACCEPTS_PER_TURN = 64
    SHOWN_MAX = 1024               # credentials longer than this are checked each time
    SLOT_MODEL = 0
    SLOT_STREAM = 1
    SLOT_MAX_TOKENS = 2
    SLOT_METADATA = 3
    SLOT_THINKING = 4

cdef double LINGER_S = 2.0
cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


cdef class DownstreamLimits:
    """Bounds and time limits of client connections. Sizes in bytes, times in seconds."""

    def __init__(
        self, *, head_bytes_max, fields_max, body_bytes_max, replay_bytes_max,
        head_s, body_idle_s, keepalive_s, write_stall_s, wait_s,
    ):
        self.head_bytes_max = head_bytes_max
        self.fields_max = fields_max
        self.body_bytes_max = body_bytes_max
        self.replay_bytes_max = replay_bytes_max
        self.head_s = head_s
        self.body_idle_s = body_idle_s
        self.keepalive_s = keepalive_s
        self.write_stall_s = write_stall_s
        self.wait_s = wait_s
        self.keys = _MemberKeys(["model", "stream", "max_tokens", "metadata", "thinking"])


@cython.final
cdef class Listener:
    """Accepts connections of one listening socket.

    Args:
        reactor: the worker's reactor.
        fd: a listening, non-blocking descriptor; stays the caller's.
        handler: gets on_request, on_refused, on_gone; see `Downstream`.
        limits: the bounds of every connection.
    """

    cdef readonly Reactor reactor
    cdef int fd
    cdef object handler
    cdef DownstreamLimits limits
    cdef bint running
    cdef public int64_t connections_max

    def __init__(self, Reactor reactor, int fd, handler, DownstreamLimits limits):
        self.reactor = reactor
        self.fd = fd
        self.handler = handler
        self.limits = limits

    def start(self) -> None:
        """Begin to accept."""
        if not self.running:
            self.running = True
            self.reactor.loop.add_reader(self.fd, self._acceptable)

    def stop(self) -> None:
        """Leave new connections in the kernel's queue."""
        if self.running:
            self.running = False
            self.reactor.loop.remove_reader(self.fd)

    def _pause(self) -> None:
        # Out of descriptors (or at the limit): leave the rest in the queue and look again shortly.
        self.stop()
        self.reactor.loop.call_later(0.1, self.start)

    def _acceptable(self):
        cdef int fd, k
        cdef Downstream down
        self.reactor.tick()
        for k in range(ACCEPTS_PER_TURN):
            if self.connections_max and self.reactor.connections >= self.connections_max:
                self._pause()
                return
            fd = cc_accept(self.fd)
            if fd < 0:
                if errno in (23, 24, 12, 105):     # ENFILE, EMFILE, ENOMEM, ENOBUFS
                    self._pause()
                return
            down = Downstream.__new__(Downstream)
            down.attach(self.reactor, fd)
            down.handler = self.handler
            down.limits = self.limits
            down.keep_alive = True
            self.handler.connections.add(down)
            down.set_deadline(self.reactor.now + self.limits.head_s)
            down.start_reading()


@cython.final
cdef class Downstream(Conn):
    """One client connection."""

    def __dealloc__(self):
        free(self.inbuf)
        if self.body != NULL:
            self.reactor.arena.give(self.body, self.body_cap)

    # ---- what the exchange reads

    def model(self):
        """The raw JSON of the top-level `model`, or None while it has not been seen."""
        return self._slot(SLOT_MODEL)

    def stream_flag(self) -> bool:
        """True when `"stream": true` has been seen."""
        return self._slot(SLOT_STREAM) == b"true"

    def metadata(self):
        """The raw JSON of `metadata`, or None."""
        return self._slot(SLOT_METADATA)

    cdef bytes _slot(self, int slot):
        return self.scan.value(slot) if self.scan is not None and self.scan.ready(slot) else None

    @property
    def body_seen(self) -> int:
        """Body bytes received so far."""
        return self.body_base + self.body_len

    @property
    def can_replay(self) -> bool:
        """Whether the body's first byte is still here."""
        return self.body_base == 0 and not self.windowed

    @property
    def replay_room(self) -> bool:
        """Whether the body is kept whole."""
        return not self.windowed

    def body_bytes(self) -> bytes:
        """The complete body, copied."""
        return PyBytes_FromStringAndSize(self.body, self.body_len) if self.body_len else b""

    def recall(self):
        """The memo, if this request shows the same credentials, Host and Origin as the last one.

        Otherwise the memo is forgotten; the relay checks again and leaves a new one.
        """
        cdef char shown[SHOWN_MAX]
        cdef int ids[4]
        cdef int k, at
        cdef Py_ssize_t n = 0, size
        cdef Head head = self.head
        ids[0], ids[1], ids[2], ids[3] = F_AUTHORIZATION, F_X_API_KEY, F_HOST, F_ORIGIN
        for k in range(4):
            at = head.find(ids[k])
            size = head.fields[at].value_len if at >= 0 else 0
            if n + size + 3 > SHOWN_MAX:
                self.memo = None
                return None
            shown[n] = at >= 0
            shown[n + 1] = <char>(size & 255)
            shown[n + 2] = <char>(size >> 8)
            if size:
                memcpy(shown + n + 3, head.buf + head.fields[at].value, size)
            n += size + 3
        if (
            self.shown is not None
            and PyBytes_GET_SIZE(self.shown) == n
            and memcmp(PyBytes_AS_STRING(self.shown), shown, n) == 0
        ):
            return self.memo
        self.shown = PyBytes_FromStringAndSize(shown, n)
        self.memo = None
        return None

    # ---- what the exchange asks for

    def await_model(self) -> None:
        """Have `exchange.on_model()` called when `model` is known or the body is complete."""
        self.wants_model = True

    def await_body(self) -> None:
        """Have `exchange.on_body()` called when the body is complete."""
        self.wants_body = True

    def wake_in(self, double seconds) -> None:
        """Have `exchange.on_wait()` called after that many seconds, once the request is complete."""
        if self.phase == WAITING:
            self.set_deadline(self.reactor.now + seconds)

    @property
    def stalled_for(self) -> float:
        """Seconds for which the client has taken no byte although some wait; 0 when none wait."""
        if self.out_end == self.out_at:
            return 0.0
        return self.reactor.now - self.progress_at

    def answer(self, bytes data, bint keep_alive) -> None:
        """Send a whole response made here, and end the exchange."""
        if self.fd < 0:
            return
        self.keep_alive = self.keep_alive and keep_alive
        self.started = True
        self.bytes_out += PyBytes_GET_SIZE(data)
        if self.send(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), NULL, 0) < 0:
            self.peer_gone()
        else:
            self.complete()

    def begin(self, bytes head) -> None:
        """Send a response head now, ahead of the upstream's (an early 200)."""
        if self.fd < 0:
            return
        self.started = True
        self.last_out_at = self.reactor.now
        self.bytes_out += PyBytes_GET_SIZE(head)
        if self.send(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), NULL, 0) < 0:
            self.peer_gone()

    def flush_head(self) -> bool:
        """Send the held response head now. True when there was one."""
        if self.pending_head is None:
            return False
        self.forward(NULL, 0)
        return True

    def write(self, bytes data) -> bool:
        """Send response bytes made here (a ping, an error event). False: the client is gone."""
        if self.fd < 0 or self.forward(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0:
            return False
        return True

    def finish(self) -> None:
        """The response is whole."""
        if self.fd >= 0:
            self.complete()

    def cut(self) -> None:
        """Break the response off, so that the client cannot take it for complete."""
        if self.fd < 0:
            return
        # What came before the cut still arrives; the missing last chunk tells the client.
        self.exchange = None
        self.source = None
        self._reset_request()
        self._close_when_sent()

    cdef void _close_when_sent(self) except *:
        if self.backlog():
            self.closing = True
            self.phase = LINGERING
            self.body_left = LINGER_BYTES_MAX
            self.set_deadline(self.reactor.now + self.limits.write_stall_s)
        else:
            self.close(False)
            self.handler.on_gone(self)

    def abort_idle(self) -> None:
        """Close a connection that carries no exchange."""
        if self.fd >= 0 and self.exchange is None and not self.closing:
            self.close(False)
            self.handler.on_gone(self)

    def abort(self) -> None:
        """Close at once with a reset."""
        if self.fd >= 0:
            self.exchange = None
            self.source = None
            self.close(True)
            self.handler.on_gone(self)

    # ---- response bytes

    cdef int forward(self, const char* p, Py_ssize_t n) except -2:
        cdef int result
        cdef bytes head = self.pending_head
        self.last_out_at = self.reactor.now
        if head is None:
            self.bytes_out += n
            result = self.send(NULL, 0, p, n)
        else:
            self.pending_head = None
            self.started = True
            self.bytes_out += n + PyBytes_GET_SIZE(head)
            result = self.send(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), p, n)
        if result < 0:
            self.peer_gone()
        return result

    cdef void on_drained(self) except *:
        if self.closing:
            self.close(False)
            self.handler.on_gone(self)
        elif self.source is not None:
            self.source.on_peer_drained()

    cdef void complete(self) except *:
        """The response is with the kernel or queued: on to the next request, or to the close."""
        self.exchange = None
        self.source = None
        if self.pending_head is not None:
            self.forward(NULL, 0)
            if self.fd < 0:
                return
        if not self.body_complete and self.phase == BODY:
            # answered before the body was here: an immediate close would reset the answer away
            self._reset_request()
            self.phase = LINGERING
            self.body_left = LINGER_BYTES_MAX
            self.set_deadline(self.reactor.now + LINGER_S)
            self.start_reading()
            return
        self._reset_request()
        if not self.keep_alive:
            self._close_when_sent()
            return
        self.phase = IDLE
        self.start_reading()
        self.set_deadline(self.reactor.now + self.limits.keepalive_s)
        if self.in_len and not self.resuming:
            self.resuming = True
            self.reactor.loop.call_soon(self._resume)

    def _resume(self):
        cdef char* p = self.inbuf
        cdef Py_ssize_t n = self.in_len
        self.resuming = False
        if self.fd < 0 or self.phase != IDLE or n == 0:
            return
        self.reactor.tick()
        self.inbuf = NULL
        self.in_len = self.in_cap = self.in_scanned = 0
        try:
            self._process(p, n)
        except BaseException as exc:
            self._crashed(exc)
        finally:
            free(p)

    cdef void peer_gone(self) except *:
        cdef object exchange = self.exchange
        if self.fd < 0:
            return
        self.exchange = None
        self.source = None
        self.close(True)
        self.handler.on_gone(self)
        if exchange is not None:
            exchange.on_client_left()

    # ---- request bytes

    cdef void on_end(self, int error) except *:
        self.peer_gone()

    cdef void on_bytes(self, char* p, Py_ssize_t n) except *:
        self.heard_at = self.reactor.now
        if self.phase == LINGERING:
            self.body_left -= n
            if self.body_left <= 0:
                self.close(False)
                self.handler.on_gone(self)
            return
        self._process(p, n)

    cdef void _process(self, char* p, Py_ssize_t n) except *:
        cdef Py_ssize_t used
        while n > 0 and self.fd >= 0:
            if self.phase == IDLE and not self.resuming:
                used = self._read_head(p, n)
            elif self.phase == BODY:
                used = self._read_body(p, n)
            elif self.phase == LINGERING:
                return
            else:
                used = n
                if not self._keep(p, n):
                    return
                if self.in_len > PIPELINE_BYTES_MAX:
                    self.stop_reading()
            if used <= 0:
                return
            p += used
            n -= used

    cdef bint _keep(self, const char* p, Py_ssize_t n) except -1:
        cdef Py_ssize_t cap
        cdef char* grown
        if self.in_len + n > self.in_cap:
            cap = 2048
            while cap < self.in_len + n:
                cap *= 2
            grown = <char*>realloc(self.inbuf, cap)
            if grown == NULL:
                raise MemoryError
            self.inbuf = grown
            self.in_cap = cap
        memcpy(self.inbuf + self.in_len, p, n)
        self.in_len += n
        return True

    cdef Py_ssize_t _read_head(self, char* p, Py_ssize_t n) except -2:
        """Bytes of p used, 0 when more are needed or the connection is done for."""
        cdef Py_ssize_t end, before = self.in_len
        cdef char* data = p
        cdef Py_ssize_t size = n
        cdef int fault = 0
        cdef Head head
        if before:
            if not self._keep(p, n):
                return 0
            data = self.inbuf
            size = self.in_len
        else:
            self.received_at = self.reactor.now
        end = head_end(data, size, self.in_scanned)
        if end == 0 or end > self.limits.head_bytes_max:
            if end or size > self.limits.head_bytes_max:
                self._refuse(HEAD_TOO_LARGE)
                return 0
            if before == 0:
                self._keep(p, n)
                self.set_deadline(self.reactor.now + self.limits.head_s)
            self.in_scanned = size
            return 0
        head = read_request(data, end, self.limits.fields_max, &fault)
        if before:
            free(self.inbuf)
            self.inbuf = NULL
            self.in_len = self.in_cap = self.in_scanned = 0
        if head is None:
            self._refuse(fault)
            return 0
        self._begin_request(head)
        # The first body bytes are looked at before the relay is asked: usually they hold the model.
        end -= before
        if end < n and self.phase == BODY and self.fd >= 0:
            self.in_request = True
            end += self._read_body(p + end, n - end)
            self.in_request = False
        if self.phase == BODY and self.body_total == 0:
            self.body_complete = True
            self.phase = WAITING
        self.set_deadline(
            self.reactor.now + (self.limits.wait_s if self.phase == WAITING else self.limits.body_idle_s)
        )
        self.handler.on_request(self)
        if self.fd < 0:
            return 0
        if head.expects_continue and self.phase == BODY and self.exchange is not None:
            self.send(PyBytes_AS_STRING(CONTINUE), PyBytes_GET_SIZE(CONTINUE), NULL, 0)
        return end

    def _begin_request(self, Head head):
        cdef DownstreamLimits limits = self.limits
        self.head = head
        self.phase = BODY
        self.started = False
        self.bytes_out = 0
        self.heard_at = self.last_out_at = self.reactor.now
        self.keep_alive = head.keep_alive
        self.body_chunked = head.chunked
        self.body_left = head.content_length if head.content_length > 0 else 0
        self.body_total = -1 if head.chunked else self.body_left
        if self.body_left > limits.body_bytes_max:
            return                       # the relay refuses it: nothing is kept
        if self.body_left > WINDOW_BYTES and (
            self.reactor.arena.out + self.body_left > limits.replay_bytes_max
        ):
            self.windowed = True
        if (
            head.method_len == 4
            and head.path_len >= 12
            and memcmp(head.buf, b"POST", 4) == 0
            and memcmp(head.buf + head.target, b"/v1/messages", 12) == 0
            and head.find(F_CONTENT_ENCODING) < 0
            and (head.path_len == 12 or (
                head.path_len == 25 and memcmp(head.buf + head.target, b"/v1/messages/count_tokens", 25) == 0
            ))
        ):
            if self.scan is None:
                self.scan = _MemberScan(limits.keys, 1024)
        else:
            self.scan = None

    cdef bint _body_room(self, Py_ssize_t n) except -1:
        """Make room for n more body bytes."""
        cdef Py_ssize_t want, cap = 0
        cdef char* fresh
        if self.body_len + n <= self.body_cap:
            return True
        if self.body_chunked:
            want = self.body_len + n
            if self.body_cap and want < self.body_cap * 2:
                want = self.body_cap * 2
        elif self.windowed:
            want = WINDOW_BYTES + READ_BYTES
            if self.body_len + n > want:
                want = self.body_len + n
        else:
            want = self.body_total
        fresh = self.reactor.arena.take(want, &cap)
        if fresh == NULL:
            raise MemoryError
        if self.body != NULL:
            memcpy(fresh, self.body, self.body_len)
            self.reactor.arena.give(self.body, self.body_cap)
        self.body = fresh
        self.body_cap = cap
        return True

    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept:
        cdef Py_ssize_t room
        if self.phase != BODY or self.body_chunked or self.windowed or self.body_left < DIRECT_MIN:
            return False
        if self.body == NULL or self.exchange is None:
            return False
        room = self.body_cap - self.body_len
        if room > self.body_left:
            room = self.body_left
        if room > READ_BYTES:
            room = READ_BYTES
        if room < DIRECT_MIN:
            return False
        p[0] = self.body + self.body_len
        n[0] = room
        return True

    cdef void on_direct(self, Py_ssize_t n) except *:
        self.heard_at = self.reactor.now
        self.body_left -= n
        self.body_len += n
        self._body_arrived(self.body + self.body_len - n, n)

    cdef Py_ssize_t _read_body(self, char* p, Py_ssize_t n) except -2:
        cdef Py_ssize_t used
        cdef Piece pieces[64]
        cdef int count = 0, k
        if not self.body_chunked:
            used = n if n < self.body_left else <Py_ssize_t>self.body_left
            if self.body_total > self.limits.body_bytes_max:
                return n                 # refused already or about to be
            self._body_room(used)
            memcpy(self.body + self.body_len, p, used)
            self.body_len += used
            self.body_left -= used
            self._body_arrived(self.body + self.body_len - used, used)
            return used
        used = walk(&self.walker, p, n, pieces, 64, &count)
        for k in range(count):
            if self.body_len + pieces[k].size > self.limits.body_bytes_max:
                self._fail_body(TOO_LONG)
                return n
            if self.reactor.arena.out + pieces[k].size > self.limits.replay_bytes_max:
                self._fail_body(NO_ROOM)
                return n
            self._body_room(pieces[k].size)
            memcpy(self.body + self.body_len, p + pieces[k].at, pieces[k].size)
            self.body_len += pieces[k].size
            if self.scan is not None and not self.body_fault:
                self.scan.feed(self.body + self.body_len - pieces[k].size, pieces[k].size)
        if self.walker.fault:
            self._fail_body(BAD_FRAMING)
            return n
        if self.walker.done:
            self.body_total = self.body_len
        if count or self.walker.done:
            self._body_arrived(NULL, 0)
        return used if used else n

    cdef void _body_arrived(self, const char* p, Py_ssize_t n) except *:
        if self.scan is not None:
            if n:
                self.scan.feed(p, n)
            if self.scan.state == INVALID:
                self._fail_body(NOT_JSON)
                return
            if self.scan.slots[SLOT_MODEL].seen > 1:
                self._fail_body(SECOND_MODEL)
                return
        if self.body_total >= 0 and self.body_base + self.body_len >= self.body_total:
            if self.scan is not None and self.scan.state != COMPLETE:
                self._fail_body(NOT_JSON)
                return
            self.body_complete = True
            self.phase = WAITING
            if not self.in_request:
                self.set_deadline(self.reactor.now + self.limits.wait_s)
        elif self.windowed and self.body_len >= WINDOW_BYTES:
            self.read_stopped = True
            self.stop_reading()
            if self.source is None and not self.in_request and self.wants_model:
                # no route and no room: it cannot be kept until its model turns up
                self._fail_body(NO_ROOM)
                return
        if not self.in_request:
            self._tell()

    cdef void _tell(self) except *:
        """Pass on what has arrived to whoever waits for it."""
        cdef object exchange = self.exchange
        if exchange is None:
            return
        if self.wants_model:
            if self.body_complete or (self.scan is not None and self.scan.ready(SLOT_MODEL)):
                self.wants_model = False
                exchange.on_model()
        elif self.wants_body:
            if self.body_complete:
                self.wants_body = False
                exchange.on_body()
        elif self.source is not None:
            self.source.on_peer_more()

    cdef void consumed(self, int64_t upto) except *:
        """The upstream has taken the body up to there; a window makes room."""
        cdef Py_ssize_t gone
        if not self.windowed:
            return
        gone = <Py_ssize_t>(upto - self.body_base)
        if gone <= 0:
            return
        memmove(self.body, self.body + gone, self.body_len - gone)
        self.body_len -= gone
        self.body_base += gone
        if self.read_stopped and self.body_len < WINDOW_BYTES // 2:
            self.read_stopped = False
            self.heard_at = self.reactor.now
            self.start_reading()

    cdef void drop_body(self) noexcept:
        """No attempt will need the body again."""
        if self.body != NULL and self.body_complete:
            self.reactor.arena.give(self.body, self.body_cap)
            self.body = NULL
            self.body_cap = 0
            self.body_base += self.body_len
            self.body_len = 0
            self.windowed = True
            self.scan = None

    cdef void _fail_body(self, int fault) except *:
        self.body_fault = fault
        if self.in_request:
            return
        if self.exchange is not None:
            self.exchange.on_bad_body(fault)

    cdef void _refuse(self, int fault) except *:
        self.keep_alive = False
        self.phase = BODY                # what follows is not read as a request
        self.body_complete = False
        self.handler.on_refused(self, fault)

    cdef void _reset_request(self) noexcept:
        if self.body != NULL:
            self.reactor.arena.give(self.body, self.body_cap)
            self.body = NULL
        self.body_len = self.body_cap = 0
        self.body_base = self.body_left = self.body_total = 0
        self.body_complete = self.body_chunked = self.windowed = self.read_stopped = False
        self.body_fault = FINE
        self.wants_model = self.wants_body = False
        self.head = None
        self.pending_head = None
        memset(&self.walker, 0, sizeof(Walker))
        if self.scan is not None:
            self.scan.reset()

    # ---- time

    cdef void on_deadline(self) except *:
        cdef double now = self.reactor.now
        cdef double limit
        if self.phase == IDLE:
            if self.in_len and not self.resuming:
                self.keep_alive = False
                self.phase = BODY
                self.handler.on_slow(self)
            else:
                self.close(False)
                self.handler.on_gone(self)
        elif self.phase == LINGERING:
            self.close(False)
            self.handler.on_gone(self)
        elif self.phase == BODY:
            limit = self.heard_at + self.limits.body_idle_s
            if self.reading and now >= limit:
                if self.exchange is not None:
                    self.exchange.on_slow_body()
                else:
                    self.peer_gone()
            else:
                self.set_deadline(limit if limit > now else now + self.limits.body_idle_s)
        elif self.exchange is not None:
            self.exchange.on_wait()
