# cython: language_level=3
"""The provider's side of an exchange.

    idle --send_request--> sending --last byte--> awaiting head --head--> body --end--> idle

The exchange (Python) is called up when the head is there (`on_head`, which answers with `forward`
or `collect`), when the response is whole (`on_done`), or when the upstream is lost (`on_lost`). In
between, bytes go from the shared read buffer to the client; chunks are walked for end and payload.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from ccrelay._fast.body cimport NO_ROOM, SLOT_MODEL
from ccrelay._fast.body_framing cimport (
    B_CHUNKED, B_CLOSE, B_LENGTH, B_NONE, PIECES_MAX, begin_body, body_is_over, take_payload,
)
from ccrelay._fast.buffer cimport (
    Buffer, buffer_add, buffer_add_unmarked, buffer_free, buffer_take,
)
from ccrelay._fast.conn cimport Conn, Reactor
from ccrelay._fast.downstream cimport Downstream
from ccrelay._fast.early_head cimport take_head
from ccrelay._fast.handlers cimport ConnectionPool, RequestHandler, UpstreamLimits
from ccrelay._fast.head_writer cimport CHUNKED, CLOSE, KEEP, RequestPlan, write_response
from ccrelay._fast.http1 cimport Head, Piece
from ccrelay._fast.outgoing cimport Outgoing
from ccrelay._fast.response_writer cimport ResponseWriter
from ccrelay._fast.sse cimport CONTENT, FAILED
from ccrelay._fast.taps cimport ANSWER, Taps

cdef enum:
    COLLECT_S = 10                 # between two pieces of an error's body
    HOLD_MAX = 262144              # message_start with a long container list still fits
    STOPPED_S = 2                  # between message_stop and the end of the response

cdef bytes LAST_CHUNK = b"0\r\n\r\n"


cdef class ExchangeHandler(RequestHandler):
    """Base class of exchanges; see upstream.pxd. Each method is a no-op here."""

    cpdef object on_head(self, Upstream upstream): pass
    cpdef object on_held_error(self, Upstream upstream): pass
    cpdef object on_commit(self, Upstream upstream): pass
    cpdef object on_unfinished(self, Upstream upstream): pass
    cpdef object on_collected(self, Upstream upstream, bytes body): pass
    cpdef object on_done(self, Upstream upstream): pass
    cpdef object on_lost(self, Upstream upstream, int reason): pass


cdef class Upstream(Conn):
    """One connection to a provider.

    Args:
        reactor: the worker's reactor.
        fd: a connected, non-blocking descriptor; ownership passes here.
        pool: told by `on_idle_closed(upstream)` when a pooled connection ends.
        limits: time limits.
    """

    def __init__(self, Reactor reactor, int fd, ConnectionPool pool, UpstreamLimits limits):
        self.attach(reactor, fd)
        self.request = Outgoing()
        self.taps = Taps()
        self.writer = ResponseWriter()
        self.pool = pool
        self.limits = limits

    def __dealloc__(self):
        self._release()

    # ---- what the exchange asks for

    cpdef object send_request(
        self, ExchangeHandler exchange, Downstream down, RequestPlan plan, bytes model=None,
        bytes body=None, bytes path=b"/v1/messages", bytes lines=b"",
    ):
        """Start an attempt: the client's head rewritten by `plan`, its body with `model`, raw JSON,
        in place of its own. `body` replaces the body; `path`: path and query, of our making;
        `lines`: ready header lines, of names that the plan drops."""
        cdef int64_t length, start, end
        cdef Outgoing out = self.request
        cdef double now = self.reactor.now
        self._clear()
        self.exchange = exchange
        self.down = down
        self.charge_queue_to(down.share)
        self.uses += 1
        self.started_at = self.sent_at = now
        out.begin(b"", down.body, body)
        length = down.body.total if body is None else PyBytes_GET_SIZE(body)
        if body is None and model is not None:
            start, end = down.body.scan.span(SLOT_MODEL)
            out.splice_at_span(model, start, end)
            length += PyBytes_GET_SIZE(model) - (end - start)
        if length < 0:
            raise ValueError("a chunked body has to be complete before it is sent")
        if length == 0 and down.head.content_length < 0:
            length = -1                     # no body, and nothing said of one
        self.is_head = down.head.method_len == 4 and memcmp(down.head.buf, b"HEAD", 4) == 0
        out.head = plan.write(down.head, length, False, path, lines)
        down.source = self
        down.pending_head = None            # of an attempt that failed
        self._arm(now + self.limits.first_byte_s)
        self.start_reading()
        if self._pump() < 0:
            self._lost(RESET)

    cpdef object expect(self, int expected, Py_ssize_t whole_max=0):
        """Believe the body by what it carries (a `taps.Expected`); before `forward`, in HOLD.

        `whole_max`: collect a JSON answer whole, up to so many bytes; 0: forward it.
        """
        self.wants_whole = whole_max > 0
        self.taps.expect(expected, whole_max)

    cpdef object decode(self, object decoder, bint for_client):
        """Undo the body's content coding for the taps, and for a client that does not accept it.
        Call it behind `expect`. `decoder`: see `Taps.decode_with`."""
        self.taps.decode_with(decoder, for_client)

    cpdef object encode(self, object encoder):
        """What goes to the client passes through `encoder.encode(data)`; the taps see it as it was.

        For one response; its `forward` names CHUNKED or CLOSE. ValueError of the encoder: the
        upstream is lost as GARBAGE.
        """
        self.writer.encode_with(encoder)

    cpdef object forward(
        self, int mode, int framing, bint with_head, bytes extra=b"", bint repairs=False,
        bytes media_type=b"",
    ):
        """Let the response through.

        Args:
            mode: FORWARD, or HOLD until the body has proved itself.
            framing: http1.Framing of what goes downstream; not KEEP where it is decoded or encoded.
            with_head: False when a head was sent early.
            extra: ready header lines to add.
            repairs: a stream that ends without message_stop gets an error event.
            media_type: replaces the response's Content-Type.
        """
        cdef Downstream down = self.down
        cdef bint plain = self.taps.decodes_for_client
        self.mode = mode
        self.writer.framing = framing
        self.repairs = repairs
        if with_head:
            if framing == CLOSE or not down.body.complete:
                down.keep_alive = False
            down.pending_head = write_response(
                self.head, framing, 0, down.keep_alive, extra, plain, media_type
            )
        if mode == FORWARD:
            self.committed = True

    cpdef object collect(self, Py_ssize_t limit):
        """Keep the whole body, at most `limit` bytes, for `exchange.on_collected`."""
        self.mode = COLLECT
        self.taps.keep(limit)
        buffer_free(&self.held)
        if self.limits.idle_s > COLLECT_S:
            self._arm(self.head_seen_at + COLLECT_S)

    cpdef object drop(self):
        """Abort the attempt: the connection is closed."""
        self._release()
        self.exchange = None
        self.down = None
        self.close(True)

    cpdef object park(self):
        """Wait in the pool."""
        if self.uses == 0:
            self.uses = 1                   # it may go stale like one that was used
        self.exchange = None
        self.down = None
        self.set_deadline(self.reactor.now + self.limits.pool_idle_s)
        self.start_reading()

    cpdef object retire(self):
        """Close politely; for pooled connections."""
        if self.fd >= 0:
            self.close(False)

    cpdef bint is_event_stream(self):
        return self.taps.sse is not None

    cpdef bint may_insert(self):
        """Whether a foreign event could go downstream now without breaking an event or a chunk."""
        cdef Taps taps = self.taps
        if self.body.kind == B_LENGTH or (taps.encoded and not taps.decodes_for_client):
            return False
        if self.mode == HOLD:               # nothing of the body has gone yet
            return taps.sse is not None or taps.declared
        if taps.sse is None or taps.sse.stopped or not taps.sse.at_boundary:
            return False
        if self.writer.framing == KEEP and self.body.kind == B_CHUNKED:
            return self.body.walker.between
        return True

    # ---- the request

    cdef int _pump(self) except -2:
        """Send what there is of the request. -1: the upstream is gone."""
        cdef Outgoing out = self.request
        cdef Downstream down = self.down
        cdef int64_t before = out.at
        cdef int result
        if out.done or self.fd < 0:
            return 0
        result = out.push(self)
        if result < 0:
            return -1
        if out.at != before:
            self.sent_at = self.reactor.now
            down.consumed(out.at)
        if result == 0 and out.finished():
            self.sent_at = self.reactor.now
            if self.mode == UNDECIDED:
                self._arm(self.sent_at + self.limits.first_byte_s)
            elif self.committed and self.taps.sse is not None:
                down.body.drop()
        return 0

    cdef void on_peer_more(self) except *:
        if self._pump() < 0 and self.fd >= 0:
            self._upload_broken()

    cdef void on_drained(self) except *:
        if self.exchange is not None and self._pump() < 0:
            self._upload_broken()

    def _upload_broken(self):
        # The provider may have answered (413, 401) before it closed its reading side.
        self.request.done = self.spoiled = True
        self.start_reading()
        if self.fd >= 0 and self.head is None:
            self._readable()
            if self.fd >= 0 and self.exchange is not None and self.head is None:
                self._lost(RESET)

    cdef bint expects_more(self) noexcept: return self.exchange is not None

    cdef void on_peer_drained(self) except *:
        if self.fd >= 0:
            self.start_reading()

    # ---- the response

    cdef void on_bytes(self, char* p, Py_ssize_t n) except *:
        cdef Py_ssize_t used
        cdef bint is_garbage = False
        cdef Head head
        if self.exchange is None:
            self._idle_ended()              # nobody asked: the next response could not be trusted
            return
        self.bytes_in += n
        self.any_byte = True
        while self.head is None:
            head = take_head(&self.early, p, n, &used, &is_garbage)
            if is_garbage:
                self._lost(GARBAGE)
            if head is None:
                self._charge()
                return
            p += used
            n -= used
            if head.status >= 200:
                self._take_head(head)
                if self.fd < 0 or self.head is None:
                    return
            elif n == 0:                    # 100, 103: hop by hop to us
                return
        self._body(p, n)

    def _take_head(self, Head head):
        self.head = head
        self.head_seen_at = self.reactor.now
        begin_body(&self.body, head, self.is_head)
        self.taps.begin(head, self.limits.event_bytes_max, self.head_seen_at)
        self._arm(self.head_seen_at + self.limits.idle_s)
        self.exchange.on_head(self)

    cpdef bint keeps_framing(self):
        """Whether the body can go downstream in the framing it came in."""
        return self.body.kind != B_CLOSE

    cdef void _body(self, char* p, Py_ssize_t n) except *:
        cdef Piece pieces[PIECES_MAX]
        cdef Py_ssize_t used
        cdef int count, k
        if body_is_over(&self.body):
            self._response_done(n == 0)
            return
        while n > 0 and self.fd >= 0:
            used = take_payload(&self.body, p, n, pieces, &count)
            for k in range(count):
                self.taps.feed(p + pieces[k].at, pieces[k].size, self.reactor.now)
            if self.body.walker.fault:
                self._lost(GARBAGE)
                return
            self._pass_on(p, used, pieces, count)
            if self.fd < 0 or self.exchange is None or not self._charge():
                return
            if body_is_over(&self.body):
                self._response_done(used == n)
                return
            p += used
            n -= used

    cdef void _pass_on(self, const char* p, Py_ssize_t n, const Piece* pieces, int count) except *:
        """What `taps` have seen goes downstream in its framing, is held, or is kept."""
        cdef Taps taps = self.taps
        cdef Buffer made = Buffer(NULL, 0, 0)
        if self.mode == COLLECT:
            if taps.overflow and self.head.status < 400 and taps.kind != ANSWER:
                self._response_done(False)  # enough of what is no answer
            elif taps.overflow:
                self._lost(TOO_BIG)
            return
        try:
            # JSON that is collected may give an encoder of events nothing to send.
            if self.writer.put(taps, &self.body, &made, p, n, pieces, count) or (
                self.mode == HOLD and self.wants_whole and taps.sse is None
            ):
                self._emit(self.writer.data, self.writer.size)
        finally:
            buffer_free(&made)
        if self.writer.failed:
            self._lost(GARBAGE)
        if self.exchange is None or self.fd < 0:
            return
        if self.mode == HOLD and taps.verdict() == FAILED:
            self.exchange.on_held_error(self)
            return
        if self.mode != HOLD and taps.sse is not None and taps.sse.stopped \
                and self.stopped_at == 0:
            self.stopped_at = self.reactor.now
            self._arm(self.stopped_at + STOPPED_S)
        if taps.decodes_for_client and taps.broken:
            self._lost(GARBAGE)             # behind the last event it does no harm

    cdef bint _charge(self) except -1:
        """Charge what is held of the response to its client. False: there is no room for it."""
        cdef int64_t more = self.early.buffer.cap + self.held.cap - self.holds
        more += self.taps.held() + self.writer.held()
        if more > 0 and not self.share.take(more):
            self.exchange.on_bad_body(<int>NO_ROOM)
            return False
        self.holds += max(more, 0)
        return True

    cdef void _emit(self, const char* p, Py_ssize_t n) except *:
        """Bytes in their final framing: downstream now, or held."""
        cdef Downstream down = self.down
        cdef int verdict = self.taps.verdict()
        if self.mode == FORWARD:
            if n and down.forward(p, n) > 0:
                self.stop_reading()         # until the client has taken what it has
        elif self.mode == HOLD:
            if verdict == FAILED or (verdict != CONTENT and self.held.size + n <= HOLD_MAX):
                buffer_add(&self.held, p, n)
            elif self.wants_whole and self.taps.sse is None:
                buffer_free(&self.held)     # the taps have it
                self.mode = COLLECT
            else:
                self._commit(p, n)

    cpdef object release(self):
        """Let go what is held: the response is this one."""
        self._commit(NULL, 0)

    cdef void _commit(self, const char* p, Py_ssize_t n) except *:
        cdef Buffer held = buffer_take(&self.held)
        cdef Downstream down = self.down
        self.mode = FORWARD
        self.committed = True
        if self.exchange is not None:
            self.exchange.on_commit(self)
        if self.request.done and self.taps.sse is not None:
            down.body.drop()
        try:
            if down.started:                # the mark would stand inside the client's stream
                n = buffer_add_unmarked(&held, p, n)
            if held.size and down.forward(held.data, held.size) > 0:
                self.stop_reading()
            if n and down.fd >= 0 and self.mode == FORWARD and self.down is not None:
                if down.forward(p, n) > 0:
                    self.stop_reading()
        finally:
            buffer_free(&held)
        self.forwarded_at = self.reactor.tick()

    cdef void _response_done(self, bint clean) except *:
        """The last byte is here. `clean`: nothing came behind it."""
        cdef ExchangeHandler exchange = self.exchange
        cdef Downstream down = self.down
        cdef bint reusable, chunked
        if exchange is None or down is None:
            return
        self.taps.end()
        if self.mode == HOLD and self.taps.verdict() != CONTENT:
            exchange.on_held_error(self)    # it ended without content
        if self.exchange is exchange and self.mode == HOLD:
            self._commit(NULL, 0)           # what there was is the answer
        if self.exchange is not exchange:
            return
        if self.mode == FORWARD and self.taps.is_unfinished():
            if self.taps.decodes_for_client and self.taps.is_cut():
                self._lost(CLOSED)          # the coding hid that it is cut
                return
            exchange.on_unfinished(self)
            if self.exchange is None:
                return
        chunked = self.writer.framing == CHUNKED
        if self.mode == FORWARD and (chunked or down.pending_head is not None):
            # The end of the chunks, or a head without a body.
            down.forward(PyBytes_AS_STRING(LAST_CHUNK), 5 if chunked else 0)
            if self.exchange is None:
                return
        reusable = (
            clean and not self.spoiled and self.head.keep_alive and self.body.kind != B_CLOSE
            and self.request.done and self.fd >= 0 and self.backlog() == 0
        )
        if self.mode == COLLECT:
            down.source = None
            exchange.on_collected(self, self.taps.take_kept())
        else:
            exchange.on_done(self)
            if self.mode == FORWARD and down.fd >= 0 and down.source is self:
                down.complete()
        if self.exchange is exchange:       # not given on to another attempt meanwhile
            self._settle(reusable)

    def _settle(self, bint reusable):
        self._clear()
        self.exchange = None
        self.down = None
        if reusable and self.fd >= 0:
            self.park()
            self.pool.give(self)
        else:
            self.close(False)

    # ---- ends

    cdef void on_end(self, int error) except *:
        if self.exchange is None:
            self._idle_ended()
            return
        if error == 0 and self.head is not None and self.body.kind == B_CLOSE:
            if self.mode != UNDECIDED and not (self.mode == FORWARD and self.taps.is_cut()):
                if self.writer.framing == CLOSE and self.mode != COLLECT:
                    self.down.keep_alive = False
                self._response_done(False)
                return
        self._lost(<int>RESET if error else <int>CLOSED)

    cdef bint _may_end(self) noexcept:
        """Whether the response can be ended without the provider: its last event has come."""
        if self.stopped_at == 0 or self.mode != FORWARD:
            return False
        if self.writer.framing == KEEP:
            if self.body.kind != B_CHUNKED or not self.body.walker.between:
                return False
            self.writer.framing = CHUNKED
        return True

    def _idle_ended(self):
        if self.fd >= 0:
            self.close(False)
            self.pool.on_idle_closed(self)

    cdef void _lost(self, int reason) except *:
        cdef ExchangeHandler exchange = self.exchange
        if exchange is None:
            return
        if self._may_end():
            self._response_done(False)
            return
        if self.down is not None and self.down.source is self:
            self.down.source = None
        self.close(True)
        self.exchange = None
        exchange.on_lost(self, reason)
        self._release()
        self.down = None

    cdef void _arm(self, double limit) except *:
        cdef double total = self.started_at + self.limits.total_s
        self.set_deadline(limit if limit < total else total)

    cdef void on_deadline(self) except *:
        cdef double now = self.reactor.now
        cdef double limit = self.limits.idle_s
        if self.exchange is None:
            self._idle_ended()
        elif now >= self.started_at + self.limits.total_s:
            self._lost(TOTAL)
        elif self.stopped_at and now >= self.stopped_at + STOPPED_S:
            self._lost(IDLE)
        elif not self.request.done or self.head is None:
            # The client is still sending, the provider has stopped reading, or it thinks.
            if not self.request.done and self.request.waits_for_client():
                self.sent_at = now
            if now >= self.sent_at + self.limits.first_byte_s:
                self._lost(NO_FIRST_BYTE)
            else:
                self._arm(self.sent_at + self.limits.first_byte_s)
        else:
            if not self.reading:
                self.taps.life_at = now     # paused for the client's sake
            if self.mode == COLLECT and self.limits.idle_s > COLLECT_S:
                limit = COLLECT_S           # others may answer meanwhile
            if now >= self.taps.life_at + limit:
                self._lost(IDLE)
            else:
                self._arm(self.taps.life_at + limit)

    cdef void _clear(self) noexcept:
        """Forget the previous exchange."""
        self._release()
        self.request.clear()
        self.committed = self.any_byte = self.repairs = self.is_head = self.spoiled = False
        self.head = None
        self.mode = UNDECIDED
        self.writer.begin()
        self.body.kind = B_NONE
        self.wants_whole = False
        self.bytes_in = self.stopped_at = self.head_seen_at = self.forwarded_at = 0
        self.taps.clear()

    cdef void _release(self) noexcept:
        if self.holds and self.share is not None:
            self.share.give(self.holds)
        self.holds = 0
        buffer_free(&self.early.buffer)
        buffer_free(&self.held)
        self.early.scanned = 0
