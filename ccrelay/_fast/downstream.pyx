# cython: language_level=3
"""The client's side of an exchange.

    IDLE --head--> BODY --last byte--> WAITING --answered--> IDLE
                     |
                     +--answered early--> LINGERING --> closed

The relay (Python) is called up at most three times here: `handler.on_request` when a head is
complete (with `model` if it came in the same read), `exchange.on_model` or `exchange.on_body` if it
asked to wait for them. What becomes of the body's bytes is `body.pyx`.
"""

from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from libc.stdint cimport int64_t, uint8_t

from ccrelay._fast.body cimport (
    NO_ROOM, SLOT_MODEL, SLOT_STREAM, WINDOW_BYTES, RequestBody,
)
from ccrelay._fast.buffer cimport Buffer, buffer_add, buffer_free, buffer_take
from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.heads cimport without_identity
from ccrelay._fast.http1 cimport (
    F_AUTHORIZATION, F_CONTENT_ENCODING, F_HOST, F_ORIGIN, F_REFERER, F_SEC_FETCH_SITE, F_X_API_KEY,
    HEAD_TOO_LARGE, Head, head_end, read_request,
)

cdef extern from "sock.h" nogil:
    int c_shutdown "shutdown"(int fd, int how)
    int SHUT_WR

cdef enum:
    PIPELINE_BYTES_MAX = 65536     # requests ahead of their turn; more is left in the kernel
    SHOWN_MAX = 1024               # credentials longer than this are checked each time

# After an answer that came before the whole request: an upload is read on, so that the close does
# not reset the answer away (nginx's lingering_time and lingering_timeout).
cdef double LINGER_S = 30.0
cdef double LINGER_IDLE_S = 5.0
cdef bytes CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


cdef class ConnectionHandler:
    """Admits requests; see downstream.pxd."""

    cpdef object on_request(self, Downstream down):
        pass

    cpdef object on_refused(self, Downstream down, int fault):
        pass

    cpdef object on_slow(self, Downstream down):
        pass

    cpdef object on_gone(self, Downstream down):
        pass


cdef class Downstream(Conn):
    """One client connection."""

    def __dealloc__(self):
        buffer_free(&self.ahead)

    cdef void open(
        self, Reactor reactor, int fd, ConnectionHandler handler, DownstreamLimits limits
    ) except *:
        """Begin to serve an accepted socket."""
        self.attach(reactor, fd)
        self.handler = handler
        self.limits = limits
        self.body = RequestBody(reactor.arena, limits.body)
        self.keep_alive = True
        self.set_deadline(reactor.now + limits.head_s)
        self.start_reading()

    # ---- what the exchange reads

    cpdef bytes model(self):
        """The raw JSON of the top-level `model`, or None while it has not been seen."""
        return self.body.slot(SLOT_MODEL)

    cpdef bint stream_flag(self):
        """True when `"stream": true` has been seen."""
        return self.body.slot(SLOT_STREAM) == b"true"

    cpdef bint body_complete(self):
        return self.body.complete

    cpdef int body_fault(self):
        """BodyFault of what has arrived."""
        return self.body.fault

    cpdef int64_t body_seen(self):
        """Body bytes received so far."""
        return self.body.base + self.body.size

    cpdef bint can_replay(self):
        """Whether the body is kept whole, so that it can be sent again."""
        return not self.body.windowed

    cpdef bint length_known(self):
        """False while a chunked body is still coming."""
        return self.body.total >= 0

    cpdef bytes body_bytes(self):
        """The complete body, copied."""
        return self.body.whole()

    cpdef object recall(self):
        """The memo, if this request shows the same credentials, Host and Origin as the last one.

        Otherwise the memo is forgotten; the relay checks again and leaves a new one.
        """
        cdef char shown[SHOWN_MAX]
        cdef int ids[4]
        cdef int k, at
        cdef Py_ssize_t n = 0, size
        cdef Head head = self.head
        ids[0], ids[1], ids[2], ids[3] = F_AUTHORIZATION, F_X_API_KEY, F_HOST, F_ORIGIN
        for k in range(head.count):
            if head.fields[k].id == F_AUTHORIZATION or head.fields[k].id == F_X_API_KEY:
                if head.find(head.fields[k].id) != k:
                    return self._forget()      # a second one: the relay refuses it
            elif head.fields[k].id == F_SEC_FETCH_SITE or head.fields[k].id == F_REFERER:
                return self._forget()          # of a browser: checked each time
        for k in range(4):
            at = head.find(ids[k])
            size = head.fields[at].value_len if at >= 0 else 0
            if n + size + 3 > SHOWN_MAX:
                return self._forget()
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

    cdef object _forget(self):
        # What the relay finds out now is not about `shown`: the next request must not recall it.
        self.memo = self.shown = None

    cpdef object hold(self):
        """Read no more until `answer`, and keep nothing of the body: the request is refused."""
        if self.fd >= 0:
            self.stop_reading()
            self.body.reset()

    # ---- what the exchange asks for

    cpdef object await_model(self):
        """Have `exchange.on_model()` called when `model` is known or the body is complete."""
        self.wants_model = True

    cpdef object await_body(self):
        """Have `exchange.on_body()` called when the body is complete."""
        self.wants_body = True

    cpdef object wake_in(self, double seconds):
        """Have `exchange.on_wait()` called after that many seconds, if the request is complete."""
        if self.phase == WAITING:
            self.set_deadline(self.reactor.now + seconds)

    cpdef double stalled_for(self):
        """Seconds for which the client has taken no byte although some wait; 0 when none wait."""
        if self.out_end == self.out_at:
            return 0.0
        return self.reactor.now - self.progress_at

    cpdef object answer(self, bytes data, bint keep_alive):
        """Send a whole response made here, and end the exchange."""
        if self.fd < 0:
            return
        self.keep_alive = self.keep_alive and keep_alive
        self.pending_head = None           # of an upstream that is not the answer any more
        self.started = True
        self.bytes_out += PyBytes_GET_SIZE(data)
        if self.send(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), NULL, 0) < 0:
            self.peer_gone()
        else:
            self.complete()

    cpdef object begin(self, bytes head):
        """Send a response head now, ahead of the upstream's (an early 200)."""
        if self.fd < 0:
            return
        self.started = True
        self.pending_head = None           # of an attempt that failed
        self.last_out_at = self.reactor.now
        self.bytes_out += PyBytes_GET_SIZE(head)
        if self.send(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), NULL, 0) < 0:
            self.peer_gone()

    cpdef bint flush_head(self):
        """Send the held response head now. True when there was one."""
        if self.pending_head is None:
            return False
        self.forward(NULL, 0)
        return True

    cpdef bint write(self, bytes data):
        """Send response bytes made here (a ping, an error event). False: the client is gone."""
        if self.fd < 0 or self.forward(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0:
            return False
        return True

    cpdef object finish(self):
        """The response is whole."""
        if self.fd >= 0:
            self.complete()

    cpdef object cut(self):
        """Break the response off, so that the client cannot take it for complete."""
        if self.fd < 0:
            return
        # What came before the cut still arrives; the missing last chunk tells the client. Where the
        # end of the connection is the end of the body, only a reset tells.
        self.resets = self.head is not None and self.head.minor == 0
        self.exchange = None
        self.source = None
        self._reset_request()
        self._close_when_sent()

    cdef void _close_when_sent(self) except *:
        if self.backlog():
            self.closing = True
            self.phase = LINGERING
            self.linger_until = self.reactor.now + self.limits.write_stall_s
            self.set_deadline(self.linger_until)
        else:
            self._gone(self.resets)

    cdef void _gone(self, bint reset) except *:
        self.close(reset)
        self.handler.on_gone(self)
        self._reset_request()              # the body's memory goes back now, not with the object

    def abort_idle(self) -> None:
        """Close a connection that carries no exchange."""
        if self.fd >= 0 and self.exchange is None and not self.closing:
            self._gone(False)

    cpdef object abort(self):
        """Close at once with a reset."""
        if self.fd >= 0:
            self.exchange = None
            self.source = None
            self._gone(True)

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
            self._gone(self.resets)
        elif self.source is not None:
            self.source.on_peer_drained()
        elif self.phase == IDLE and self.jammed:
            self._unjam()
        elif self.phase == LINGERING:
            c_shutdown(self.fd, SHUT_WR)

    cdef void complete(self) except *:
        """The response is with the kernel or queued: on to the next request, or to the close."""
        self.exchange = None
        self.source = None
        if self.pending_head is not None:
            self.forward(NULL, 0)
            if self.fd < 0:
                return
        if self.phase == BODY and not self.body.complete:
            # answered before the body was here: an immediate close would reset the answer away
            self._reset_request()
            self.phase = LINGERING
            self.linger_until = self.reactor.now + LINGER_S
            self.set_deadline(self.reactor.now + LINGER_IDLE_S)
            self.start_reading()
            if not self.backlog():
                c_shutdown(self.fd, SHUT_WR)
            return
        self._reset_request()
        if not self.keep_alive:
            self._close_when_sent()
            return
        self.phase = IDLE
        if self.backlog():
            # The next request waits until this answer is with the kernel: who pipelines without
            # reading gets no queue.
            self.jammed = True
            self.stop_reading()
            self.set_deadline(self.reactor.now + self.limits.write_stall_s)
        else:
            self._unjam()

    cdef void _unjam(self) except *:
        self.jammed = False
        self.start_reading()
        self.set_deadline(self.reactor.now + self.limits.keepalive_s)
        if self.ahead.size and not self.resuming:
            self.resuming = True
            self.reactor.loop.call_soon(self._resume)

    def _resume(self):
        cdef Buffer ahead
        self.resuming = False
        if self.fd < 0 or self.phase != IDLE:
            return
        self.reactor.tick()
        ahead = buffer_take(&self.ahead)
        self.ahead_scanned = 0
        try:
            self._process(ahead.data, ahead.size)
        except BaseException as exc:
            self._crashed(exc)
        finally:
            buffer_free(&ahead)

    cdef void peer_gone(self) except *:
        cdef RequestHandler exchange = self.exchange
        if self.fd < 0:
            return
        self.exchange = None
        self.source = None
        self.close(exchange is not None)
        self.handler.on_gone(self)
        if exchange is not None:
            exchange.on_client_left()
        self._reset_request()

    # ---- request bytes

    cdef void on_end(self, int error) except *:
        self.peer_gone()

    cdef void on_bytes(self, char* p, Py_ssize_t n) except *:
        self.heard_at = self.reactor.now
        if self.phase == LINGERING:
            if self.heard_at >= self.linger_until:
                self._gone(False)
            elif not self.closing:
                self.set_deadline(min(self.heard_at + LINGER_IDLE_S, self.linger_until))
            return
        self._process(p, n)

    cdef void _process(self, char* p, Py_ssize_t n) except *:
        cdef Py_ssize_t used
        while n > 0 and self.fd >= 0:
            if self.phase == IDLE and not self.resuming and not self.jammed:
                used = self._read_head(p, n)
            elif self.phase == BODY:
                used = self.body.take(p, n)
                self._body_arrived()
            elif self.phase == LINGERING:
                return
            else:
                used = n
                buffer_add(&self.ahead, p, n)
                if self.ahead.size > PIPELINE_BYTES_MAX:
                    self.stop_reading()
                    self.reactor.look_after(self)
            if used <= 0:
                return
            p += used
            n -= used

    cdef Py_ssize_t _read_head(self, char* p, Py_ssize_t n) except -2:
        """Bytes of p used, 0 when more are needed or the connection is done for."""
        cdef Py_ssize_t end, before = self.ahead.size
        cdef char* data = p
        cdef Py_ssize_t size = n
        cdef int fault = 0
        cdef Head head
        if before:
            buffer_add(&self.ahead, p, n)
            data = self.ahead.data
            size = self.ahead.size
        else:
            self.received_at = self.reactor.now
        end = head_end(data, size, self.ahead_scanned)
        if end == 0 or end > self.limits.head_bytes_max:
            if end or size > self.limits.head_bytes_max:
                self._refuse(HEAD_TOO_LARGE)
                return 0
            if before == 0:
                buffer_add(&self.ahead, p, n)
                self.set_deadline(self.reactor.now + self.limits.head_s)
            self.ahead_scanned = size
            return 0
        head = read_request(data, end, self.limits.fields_max, &fault)
        if before:
            buffer_free(&self.ahead)
            self.ahead_scanned = 0
        if head is None:
            self._refuse(fault)
            return 0
        self._begin_request(head)
        # The first body bytes are looked at before the relay is asked: usually they hold the model.
        end -= before
        if end < n and not self.body.complete:
            end += self.body.take(p + end, n - end)
        if self.body.complete:
            self.phase = WAITING
        self.set_deadline(
            self.reactor.now
            + (self.limits.wait_s if self.phase == WAITING else self.limits.body_idle_s)
        )
        self.handler.on_request(self)
        if self.fd < 0:
            return 0
        if head.expects_continue and self.phase == BODY and self.exchange is not None:
            self.send(PyBytes_AS_STRING(CONTINUE), PyBytes_GET_SIZE(CONTINUE), NULL, 0)
        return end

    cdef void _begin_request(self, Head head) except *:
        self.head = head
        self.phase = BODY
        self.started = False
        self.bytes_out = 0
        self.heard_at = self.last_out_at = self.reactor.now
        self.keep_alive = head.keep_alive
        if head.path_len > 7 and memcmp(head.buf + head.target, b"/v1/v1/", 7) == 0:
            # of a client whose base URL ends in /v1
            head.target += 3
            head.target_len -= 3
            head.path_len -= 3
        if head.find(F_CONTENT_ENCODING) >= 0:
            head.count = without_identity(<uint8_t*>head.buf, head.fields, head.count)
        self.body.begin(head)

    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept:
        if self.phase != BODY or self.exchange is None:
            return False
        return self.body.direct_room(p, n)

    cdef void on_direct(self, Py_ssize_t n) except *:
        self.heard_at = self.reactor.now
        self.body.direct_taken(n)
        self._body_arrived()

    cdef void _body_arrived(self) except *:
        """More of the body is here: fail, wait for room, or pass it on to whoever waits for it."""
        cdef RequestBody body = self.body
        cdef RequestHandler exchange = self.exchange
        if body.complete and not body.fault:
            self.phase = WAITING
            self.set_deadline(self.reactor.now + self.limits.wait_s)
        if exchange is None:
            return
        if body.fault:
            exchange.on_bad_body(body.fault)
            return
        if body.window_full():
            if self.wants_body or (self.wants_model and not body.model_ready()):
                # no route and no room: it cannot be kept until its model, or its end, turns up
                exchange.on_bad_body(<int>NO_ROOM)
                return
            self.read_stopped = True
            self.stop_reading()
            self.reactor.look_after(self)
        if self.wants_model:
            if body.complete or body.model_ready():
                self.wants_model = False
                exchange.on_model()
        elif self.wants_body:
            if body.complete:
                self.wants_body = False
                exchange.on_body()
        elif self.source is not None:
            self.source.on_peer_more()

    cdef void consumed(self, int64_t upto) except *:
        """The upstream has taken the body up to there."""
        self.body.consumed(upto)
        if self.read_stopped and self.body.size < WINDOW_BYTES // 2:
            self.read_stopped = False
            self.heard_at = self.reactor.now
            self.start_reading()

    cdef void _refuse(self, int fault) except *:
        self.keep_alive = False
        self.phase = BODY                # what follows is not read as a request
        self.body.complete = False
        self.handler.on_refused(self, fault)

    cdef void _reset_request(self) noexcept:
        self.body.reset()
        self.read_stopped = self.wants_model = self.wants_body = False
        self.head = None
        self.pending_head = None

    # ---- time

    cdef void on_deadline(self) except *:
        cdef double now = self.reactor.now
        cdef double limit
        if self.phase == IDLE:
            if self.ahead.size and not self.resuming and not self.jammed:
                self.keep_alive = False
                self.phase = BODY
                self.handler.on_slow(self)
            else:
                self._gone(self.jammed)
        elif self.phase == LINGERING:
            self._gone(self.closing)
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
