# cython: language_level=3
"""A client's connection while a request body arrives: who waits for it, when to read on, its pace.

What becomes of the body's bytes is `body.pyx`.
"""

from libc.stdint cimport int64_t

from ccrelay._fast.body cimport NO_ROOM, SLOT_MODEL, SLOT_STREAM, WINDOW_BYTES, RequestBody
from ccrelay._fast.body_pace cimport (
    PROMPT_BYTES, pace_add, pace_again, pace_begin, pace_due, pace_is_prompt, pace_is_slow,
    pace_stalls,
)
from ccrelay._fast.client_conn cimport ClientConn
from ccrelay._fast.handlers cimport DownstreamLimits, RequestHandler
from ccrelay._fast.memory_account cimport Share


cdef class ClientBody(ClientConn):
    """A client connection and the body of its request."""

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

    cpdef bint flows(self):
        """Whether a target may be held for the body: it is here, or comes fast enough."""
        cdef RequestBody body = self.body
        cdef int64_t seen
        if body.complete:
            return True
        if body.total < 0:
            return False                   # it is sent with its length
        seen = body.base + body.size
        if body.windowed:
            return seen >= PROMPT_BYTES    # there is no room to wait for all of it
        return pace_is_prompt(&self.pace, self.reactor.now, seen)

    cpdef int64_t body_elements(self):
        """`MemberScan.elements` of what has arrived; -1: it was not scanned."""
        return self.body.scan.elements if self.body.scan is not None else -1

    cpdef bytes body_piece(self, Py_ssize_t at, Py_ssize_t n):
        """At most n bytes of a body that is kept whole, copied, from an offset on."""
        return self.body.piece(at, n)

    cpdef bytes body_bytes(self):
        """The complete body, copied."""
        return self.body.whole()

    # ---- what the exchange asks for

    cpdef object await_model(self):
        """Have `exchange.on_model()` called when `model` is known or the body is complete."""
        self.wants_model = True

    cpdef object await_body(self):
        """Have `exchange.on_body()` called when the body is complete."""
        self.wants_body = True
        self.wants_flow = False

    cpdef object await_flow(self):
        """Have `exchange.on_body()` called when `flows` holds."""
        self.wants_body = self.wants_flow = True

    # ---- bytes

    cdef bint direct_room(self, char** p, Py_ssize_t* n) noexcept:
        if self.phase != BODY or self.exchange is None:
            return False
        return self.body.direct_room(p, n)

    cdef void on_direct(self, Py_ssize_t n) except *:
        self.body.direct_taken(n)
        self.body_arrived(n)

    cdef int64_t body_bytes_held(self) noexcept:
        return self.body.cap

    cdef void move_body(self, Share share) noexcept:
        self.body.share = share

    cdef void body_arrived(self, Py_ssize_t n) except *:
        """More of the body is here: fail, wait for room, or notify the waiting side."""
        cdef RequestBody body = self.body
        cdef RequestHandler exchange = self.exchange
        pace_add(
            &self.pace, self.reactor.now, n, self.limits.body_rate_min, self.limits.body_slow_s
        )
        if body.complete and not body.fault:
            self.phase = WAITING
            self.set_deadline(self.reactor.now + self.limits.wait_s)
        if exchange is None:
            return
        if body.fault:
            exchange.on_bad_body(body.fault)
            return
        if body.window_full():
            if (self.wants_body and not self.wants_flow) or (
                self.wants_model and not body.model_ready()
            ):
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
            if body.complete or (self.wants_flow and self.flows()):
                self.wants_body = self.wants_flow = False
                exchange.on_body()
        elif self.source is not None:
            self.source.on_peer_more()

    cdef void consumed(self, int64_t upto) except *:
        """The upstream has taken the body up to there."""
        self.body.consumed(upto)
        if self.read_stopped and self.body.size < WINDOW_BYTES // 2:
            self.read_stopped = False
            pace_again(
                &self.pace, self.reactor.now, self.body_seen(), self.limits.body_slow_s
            )
            self.start_reading()
            self._watch_body()

    cdef void _watch_body(self) except *:
        cdef double due = pace_due(&self.pace, self.limits.body_idle_s, self.limits.body_rate_min)
        self.set_deadline(due if due > self.reactor.now else self.reactor.now + 0.1)

    # ---- its pace

    cdef void begin_pace(self) except *:
        """A head has come without the whole body."""
        pace_begin(&self.pace, self.reactor.now, self.limits.body_slow_s)
        self._watch_body()

    cdef void body_due(self) except *:
        """Look at how the body arrives."""
        cdef double now = self.reactor.now
        cdef DownstreamLimits limits = self.limits
        if self.read_stopped or not self.reading:
            pace_again(&self.pace, now, self.body_seen(), limits.body_slow_s)
        elif pace_is_slow(&self.pace, now, limits.body_idle_s, limits.body_rate_min):
            if self.exchange is not None:
                self.exchange.on_slow_body()
            else:
                self.on_end(0)
            return
        elif pace_stalls(&self.pace, now, self.body_seen()) and self.exchange is not None:
            self.exchange.on_body_stalls()
        if self.fd >= 0 and self.phase == BODY:
            self._watch_body()
