# cython: language_level=3
"""An outgoing request as pieces for `writev`, without joining or copying.

    head | body up to the splice | splice | body after it

For a body still arriving, the pieces end at what has arrived.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from posix.uio cimport iovec, writev

from ccrelay._fast.body cimport RequestBody
from ccrelay._fast.conn cimport TLS_STEP, Conn

cdef extern from "sock.h" nogil:
    int cc_would_block(int e)
    int errno

cdef enum:
    STEPS_PER_TURN = 16        # of TLS_STEP: 2 MB are sealed in about a millisecond


@cython.final
@cython.no_gc            # it holds no reference cycle
cdef class Outgoing:
    """What of a request has been sent, and what can be sent next."""

    cdef void begin(self, bytes head, RequestBody body, bytes own) noexcept:
        """Start a request: its head, and the client's body, or `own` in its place."""
        self.head = head
        self.body = body
        self.own = own
        self.splice = None
        self.head_at = self.splice_at = 0
        self.at = self.splice_from = self.splice_to = 0
        self.done = False

    cdef void splice_at_span(self, bytes value, int64_t start, int64_t end) noexcept:
        """Replace the body's bytes start .. end by `value`."""
        self.splice = value
        self.splice_from = start
        self.splice_to = end

    cdef Py_ssize_t gather(self, iovec* parts, int* count) noexcept:
        """Fill in the parts that can be sent now, at most PARTS_MAX; return their total size."""
        cdef Py_ssize_t total = 0, n
        cdef int k = 0
        cdef const char* data
        cdef int64_t base, end, at = self.at
        n = PyBytes_GET_SIZE(self.head) - self.head_at
        if n > 0:
            total = _part(&parts[k], PyBytes_AS_STRING(self.head) + self.head_at, n)
            k += 1
        if self.own is not None:
            data = PyBytes_AS_STRING(self.own)
            base = 0
            end = PyBytes_GET_SIZE(self.own)
        else:
            data = self.body.data
            base = self.body.base
            end = base + self.body.size
        if self.splice is not None:
            if at < self.splice_from:
                n = <Py_ssize_t>((end if end < self.splice_from else self.splice_from) - at)
                if n > 0:
                    total += _part(&parts[k], data + (at - base), n)
                    k += 1
                    at += n
            if at < self.splice_from or end < self.splice_to:
                count[0] = k           # the replaced value has not arrived completely: wait for it
                return total
            n = PyBytes_GET_SIZE(self.splice) - self.splice_at
            total += _part(&parts[k], PyBytes_AS_STRING(self.splice) + self.splice_at, n)
            k += 1
            at = self.splice_to
        if end > at:
            total += _part(&parts[k], data + (at - base), <Py_ssize_t>(end - at))
            k += 1
        count[0] = k
        return total

    cdef int push(self, Conn conn) except -2:
        """Send what is available. 0: all; 1: the kernel's buffer is full; -1: lost."""
        cdef iovec parts[PARTS_MAX]
        cdef Py_ssize_t total, done, first, second
        cdef int count = 0, steps = 0
        while True:
            if conn.backlog():
                return 1                    # TLS: flush the encrypted bytes first
            if steps == STEPS_PER_TURN:
                conn.want_write()           # the others are served before the rest is sealed
                return 1
            total = self.gather(parts, &count)
            if total == 0:
                return 0
            if conn.tls is None:
                done = writev(conn.fd, parts, count)
                if done < 0 and not cc_would_block(errno):
                    return -1
                if done > 0:
                    self.advance(done)
                if done < total:
                    conn.want_write()
                    return 1
            else:
                # A step at a time: what is sealed while the kernel is full waits in a copy.
                first = min(<Py_ssize_t>parts[0].iov_len, TLS_STEP)
                second = 0
                if count > 1 and first == <Py_ssize_t>parts[0].iov_len:
                    second = min(<Py_ssize_t>parts[1].iov_len, TLS_STEP)
                if conn.send(
                    <const char*>parts[0].iov_base, first,
                    <const char*>parts[1].iov_base if second else NULL, second,
                ) < 0:
                    return -1
                self.advance(first + second)
                steps += 1

    cdef void advance(self, Py_ssize_t n) noexcept:
        """Advance by n bytes of the gathered parts."""
        cdef Py_ssize_t step = min(n, PyBytes_GET_SIZE(self.head) - self.head_at)
        self.head_at += step
        n -= step
        if self.splice is not None and n > 0:
            if self.at < self.splice_from:
                step = min(n, <Py_ssize_t>(self.splice_from - self.at))
                self.at += step
                n -= step
            if self.at == self.splice_from and n > 0:
                step = min(n, PyBytes_GET_SIZE(self.splice) - self.splice_at)
                self.splice_at += step
                n -= step
                if self.splice_at == PyBytes_GET_SIZE(self.splice):
                    self.at = self.splice_to
                    self.splice = None
        self.at += n

    cdef bint waits_for_client(self) noexcept:
        """Whether all that has arrived was sent, and more is to arrive."""
        return self.own is None and self.at >= self.body.base + self.body.size

    cdef bint finished(self) noexcept:
        """Whether everything was sent; if so, marks it done and drops its references."""
        if self.done:
            return True
        if self.head_at < PyBytes_GET_SIZE(self.head) or self.splice is not None:
            return False
        if self.own is not None:
            self.done = self.at >= PyBytes_GET_SIZE(self.own)
        else:
            self.done = self.body.complete and self.at >= self.body.total
        if self.done:
            self.head = b""
            self.head_at = 0
            self.own = None
        return self.done

    cdef void clear(self) noexcept:
        """Forget the request."""
        self.begin(b"", None, None)


cdef inline Py_ssize_t _part(iovec* part, const char* p, Py_ssize_t n) noexcept:
    part.iov_base = <void*>p
    part.iov_len = n
    return n
