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

from ccrelay._fast.body cimport RequestBody
from ccrelay._fast.buffer cimport Buffer, buffer_free
from ccrelay._fast.client_body cimport BODY, IDLE, LINGERING, WAITING, ClientBody
from ccrelay._fast.client_conn cimport NO_MEMORY, PIPELINE_BYTES_MAX, REQUESTS_PER_TURN
from ccrelay._fast.conn cimport READ_BYTES, Reactor
from ccrelay._fast.handlers cimport RequestHandler
from ccrelay._fast.heads cimport without_identity
from ccrelay._fast.http1 cimport (
    F_API_KEY, F_AUTHORIZATION, F_CONTENT_ENCODING, F_HOST, F_ORIGIN, F_REFERER, F_SEC_FETCH_SITE,
    F_X_API_KEY, HEAD_TOO_LARGE, Head, head_end, read_request,
)

cdef extern from "sock.h" nogil:
    double cc_now()
    int c_shutdown "shutdown"(int fd, int how)
    int SHUT_WR

cdef enum:
    HEAD_READ_MIN = 1024           # of a head that is nearly over its limit
    SHOWN_MAX = 1024               # credentials longer than this are checked each time

# After an answer that came before the whole request: an upload is read on, so that the close does
# not reset the answer away (nginx's lingering_time and lingering_timeout).
cdef double LINGER_S = 30.0
cdef double TURN_S = 0.001         # of the requests of one read, then the others are served
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

    cpdef object on_exhausted(self, int error):
        pass

    cpdef object on_turned_away(self):
        pass


cdef class Downstream(ClientBody):
    """One client connection."""

    cdef void open(
        self, Reactor reactor, int fd, bytes address, ConnectionHandler handler,
        DownstreamLimits limits,
    ) except *:
        """Begin to serve an accepted socket of a client at `address`."""
        self.attach(reactor, fd)
        self.join(reactor, address)
        self.handler = handler
        self.limits = limits
        self.body = RequestBody(reactor.arena, limits.body)
        self.body.share = self.share
        self.keep_alive = True
        self.set_deadline(reactor.now + limits.head_s)
        self.start_reading()

    # ---- what the exchange reads

    cpdef object recall(self):
        """The memo, if this request shows the same credentials, Host and Origin as the last one.

        Otherwise the memo is forgotten; the relay checks again and leaves a new one.
        """
        cdef char shown[SHOWN_MAX]
        cdef int ids[5]
        cdef int k, at
        cdef Py_ssize_t n = 0, size
        cdef Head head = self.head
        ids[0], ids[1], ids[2], ids[3] = F_AUTHORIZATION, F_X_API_KEY, F_HOST, F_ORIGIN
        ids[4] = F_API_KEY
        for k in range(head.count):
            if head.fields[k].id in (F_AUTHORIZATION, F_X_API_KEY, F_API_KEY):
                if head.find(head.fields[k].id) != k:
                    return self._forget()      # a second one: the relay refuses it
            elif head.fields[k].id == F_SEC_FETCH_SITE or head.fields[k].id == F_REFERER:
                return self._forget()          # of a browser: checked each time
        for k in range(5):
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

    cpdef object pause(self):
        """Read no more until `answer`, and keep nothing of the body: the request is refused."""
        if self.fd >= 0:
            self.stop_reading()
            self.body.reset()

    # ---- what the exchange asks for

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
        self.set_deadline(
            self.reactor.now + (self.limits.keepalive_s if self.admitted else self.limits.head_s)
        )
        if not self.resuming:
            if self.ahead.size:
                self.wait_turn()
            else:
                self.start_reading()

    cdef void on_turn(self) except *:
        cdef Buffer ahead
        self.resuming = False
        if self.phase == IDLE:
            ahead = self.take_ahead()
            try:
                self._process(ahead.data, ahead.size)
            finally:
                buffer_free(&ahead)
        if not (self.resuming or self.jammed or self.read_stopped):
            self.start_reading()

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

    cdef Py_ssize_t read_room(self) noexcept:
        # What comes behind a request is kept: so no more is read than may be.
        cdef int64_t room = PIPELINE_BYTES_MAX
        if self.phase == BODY:
            if self.body.left > room:
                room = self.body.left
        elif self.phase == WAITING:
            room -= self.ahead.size
        elif self.phase == IDLE:
            room = self.limits.head_bytes_max - self.ahead.size
            if self.admitted and room < PIPELINE_BYTES_MAX:
                room = PIPELINE_BYTES_MAX
        if room < HEAD_READ_MIN:
            room = HEAD_READ_MIN
        return <Py_ssize_t>room if room < READ_BYTES else <Py_ssize_t>READ_BYTES

    cdef void on_bytes(self, char* p, Py_ssize_t n) except *:
        if self.phase == LINGERING:
            if self.reactor.now >= self.linger_until:
                self._gone(False)
            elif not self.closing:
                self.set_deadline(min(self.reactor.now + LINGER_IDLE_S, self.linger_until))
            return
        self._process(p, n)

    cdef void _process(self, char* p, Py_ssize_t n) except *:
        cdef double ends_at = self.reactor.now + TURN_S
        cdef int begun = 0
        cdef Py_ssize_t used
        while n > 0 and self.fd >= 0:
            if self.phase == IDLE and not self.resuming and not self.jammed:
                if begun and (
                    not self.admitted or begun >= REQUESTS_PER_TURN or cc_now() >= ends_at
                ):
                    self.wait_turn()
                    continue
                begun += 1
                used = self._read_head(p, n)
            elif self.phase == BODY:
                used = self.body.take(p, n)
                self.body_arrived(used)
            elif self.phase == LINGERING:
                return
            else:
                used = n
                if not self.keep_ahead(p, n):
                    self.peer_gone()         # it was told to wait, and there is no room to
                    return
                if self.ahead.size >= PIPELINE_BYTES_MAX and not self.resuming:
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
            if not self.keep_ahead(p, n):
                self._refuse(NO_MEMORY)
                return 0
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
                if not self.keep_ahead(p, n):
                    self._refuse(NO_MEMORY)
                    return 0
                self.set_deadline(self.reactor.now + self.limits.head_s)
            self.ahead_scanned = size
            return 0
        head = read_request(data, end, self.limits.fields_max, &fault)
        if before:
            self.drop_ahead()
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
            self.set_deadline(self.reactor.now + self.limits.wait_s)
        else:
            self.begin_pace()
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
        self.last_out_at = self.reactor.now
        self.keep_alive = head.keep_alive
        if head.path_len > 7 and memcmp(head.buf + head.target, b"/v1/v1/", 7) == 0:
            # of a client whose base URL ends in /v1
            head.target += 3
            head.target_len -= 3
            head.path_len -= 3
        if head.find(F_CONTENT_ENCODING) >= 0:
            head.count = without_identity(<uint8_t*>head.buf, head.fields, head.count)
        self.body.begin(head)

    cdef void _refuse(self, int fault) except *:
        self.keep_alive = False
        self.phase = BODY                # what follows is not read as a request
        self.body.complete = False
        self.handler.on_refused(self, fault)

    cdef void _reset_request(self) noexcept:
        self.body.reset()
        self.read_stopped = self.wants_model = self.wants_body = self.wants_flow = False
        self.head = None
        self.pending_head = None

    # ---- time

    cdef void on_deadline(self) except *:
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
            self.body_due()
        elif self.exchange is not None:
            self.exchange.on_wait()
