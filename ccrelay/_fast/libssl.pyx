# cython: language_level=3
"""TLS for one connection, in one of two ways.

`Direct` calls the functions of the libssl that Python's `_ssl` has loaded, found by name with
dlsym: no Python objects, no exceptions, one copy less each way. `ThroughPython` runs the same
session with CPython's `ssl` over its two memory BIOs, and is for places where the first way has not
been tried or does not pass its examination: `reason` tells which.

The handshake is Python's in both. Which SSL belongs to an SSLObject tells the library itself, see
libssl.h; `attached` has it proven for each connection before the pointer is used.
"""

cimport cython
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

cdef extern from "libssl.h":
    int CC_LIBSSL_TRIED
    ctypedef struct Bytes "cc_bytes":
        char* data
        size_t size, cap
    ctypedef struct Library "cc_library":
        unsigned long OpenSSL_version_num() noexcept
        void* SSL_get_rbio(const void* ssl) noexcept
        void* SSL_get_wbio(const void* ssl) noexcept
        size_t BIO_ctrl_pending(void* bio) noexcept
    Library cc_ssl
    size_t cc_births
    void* cc_newborn
    const char* cc_find(const char* path, Library* lib) noexcept
    int cc_adopt(const Library* lib) noexcept
    int cc_set_stage(void* ssl) noexcept
    void cc_enter(const char* p, size_t n, Bytes* out) noexcept
    void cc_leave(int failed) noexcept
    size_t cc_unseal(
        void* ssl, const char* p, size_t n, char* into, size_t room, Bytes* out, int* state
    ) noexcept
    int cc_seal(void* ssl, const char* p, size_t n, Bytes* out) noexcept
    void cc_goodbye(void* ssl, Bytes* out) noexcept

cdef enum:
    RECORD_MAX = 16384         # plaintext of one record, RFC 8446 section 5.1
    SEALED_MAX = 18432         # the same encrypted, under TLS 1.2; RFC 5246 section 6.2.3
    SEALED_CAP = 147456        # a step of the writer with its records' headers and tags
    # A read of a connection, and what may be left from before it: a part of a record inside the
    # library, and what came with the handshake's last flight.
    PLAIN_MORE = 65536
    PY_WANT_READ = 2           # errno of ssl.SSLWantReadError
    PY_ZERO_RETURN = 6         # errno of ssl.SSLZeroReturnError


@cython.final
@cython.no_gc
cdef class Room:
    def __cinit__(self, size_t read_bytes):
        self.plain_cap = read_bytes + PLAIN_MORE
        self.plain = <char*>malloc(self.plain_cap)
        self.joined = <char*>malloc(RECORD_MAX)
        self.sealed = calloc(1, sizeof(Bytes))
        if self.plain == NULL or self.joined == NULL or self.sealed == NULL:
            raise MemoryError
        # libssl.h lets it grow; this is enough for what the writer seals at once.
        (<Bytes*>self.sealed).data = <char*>malloc(SEALED_CAP)
        (<Bytes*>self.sealed).cap = SEALED_CAP
        if (<Bytes*>self.sealed).data == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.plain)
        free(self.joined)
        if self.sealed != NULL:
            free((<Bytes*>self.sealed).data)
        free(self.sealed)


@cython.no_gc
cdef class Tls:
    cdef size_t unseal(self, const char* p, size_t n, int* state) except? 0:
        raise NotImplementedError

    cdef int seal(self, const char* p, size_t n) except -2:
        raise NotImplementedError

    cdef const char* take(self, size_t* n) except? NULL:
        raise NotImplementedError

    cdef int goodbye(self) except -1:
        raise NotImplementedError


@cython.final
@cython.no_gc
cdef class Direct(Tls):
    """Through libssl's own functions."""

    cdef void* ssl
    cdef bytes early           # came with the handshake's last flight: tickets, hardly ever data

    cdef Bytes* _sealed(self) noexcept:
        # The buffer is every connection's: what another one may have left in it is never ours.
        cdef Room room = self.room
        cdef Bytes* sealed = <Bytes*>room.sealed
        if room.owner != <void*>self:
            room.owner = <void*>self
            sealed.size = 0
        return sealed

    cdef size_t unseal(self, const char* p, size_t n, int* state) except? 0:
        cdef Room room = self.room
        cdef Bytes* sealed = self._sealed()
        cdef bytes early = self.early
        cdef size_t filled = 0
        if early is not None:
            self.early = None
            filled = cc_unseal(
                self.ssl, PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early),
                room.plain, room.plain_cap, sealed, state,
            )
            if state[0] != OPEN:
                return filled
        return filled + cc_unseal(
            self.ssl, p, n, room.plain + filled, room.plain_cap - filled, sealed, state
        )

    cdef int seal(self, const char* p, size_t n) except -2:
        return cc_seal(self.ssl, p, n, self._sealed())

    cdef const char* take(self, size_t* n) except? NULL:
        cdef Bytes* sealed = self._sealed()
        n[0] = sealed.size
        sealed.size = 0
        return sealed.data

    cdef int goodbye(self) except -1:
        cc_goodbye(self.ssl, self._sealed())
        return 0


@cython.final
@cython.no_gc
cdef class ThroughPython(Tls):
    """Through CPython's `ssl`.

    Records are counted on the way in, because asking the library for data that it does not have
    costs an exception.
    """

    cdef object read, write, incoming, outgoing
    cdef bytes taken
    cdef size_t record_left            # bytes of the current record still to come
    cdef int record_head               # bytes of its header seen
    cdef unsigned char record_len[2]
    cdef int records                   # complete ones not read yet

    cdef int begin(self, incoming, outgoing) except -1:
        cdef bytes early
        # SSLObject's methods are Python functions around the C object's: two calls saved per read.
        inner = getattr(self.session, "_sslobj", None) or self.session
        self.read = inner.read
        self.write = inner.write
        self.incoming = incoming
        self.outgoing = outgoing
        # What came together with the handshake's last flight counts, too.
        early = incoming.read()
        self._count(<const unsigned char*>PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early))
        incoming.write(early)
        return 0

    cdef void _count(self, const unsigned char* p, size_t n) noexcept:
        # A TLS record: type (1), version (2), length (2), fragment. RFC 8446 section 5.1.
        cdef size_t step
        while n > 0:
            if self.record_left:
                step = n if n < self.record_left else self.record_left
                self.record_left -= step
                p += step
                n -= step
                if self.record_left == 0:
                    self.records += 1
                continue
            if self.record_head >= 3:
                self.record_len[self.record_head - 3] = p[0]
            self.record_head += 1
            p += 1
            n -= 1
            if self.record_head == 5:
                self.record_head = 0
                self.record_left = (self.record_len[0] << 8) | self.record_len[1]
                if self.record_left == 0 or self.record_left > SEALED_MAX:
                    self.record_left = 0      # no such record: the library will say so
                    self.records += 1

    cdef size_t unseal(self, const char* p, size_t n, int* state) except? 0:
        cdef Room room = self.room
        cdef size_t filled = 0
        cdef Py_ssize_t got
        self._count(<const unsigned char*>p, n)
        self.incoming.write(PyMemoryView_FromMemory(<char*>p, n, PyBUF_READ))
        while self.records > 0:
            try:
                got = self.read(
                    room.plain_cap - filled,
                    PyMemoryView_FromMemory(
                        room.plain + filled, room.plain_cap - filled, PyBUF_WRITE
                    ),
                )
            except OSError as exc:
                # tickets or a key update: they are records, and give no data
                if exc.errno == PY_WANT_READ:
                    self.records = 0
                else:
                    state[0] = ENDED if exc.errno == PY_ZERO_RETURN else BROKEN
                break
            if got == 0:
                state[0] = ENDED
                break
            self.records -= 1
            filled += got
        return filled

    cdef int seal(self, const char* p, size_t n) except -2:
        try:
            self.write(PyMemoryView_FromMemory(<char*>p, n, PyBUF_READ))
        except OSError:
            return -1
        return 0

    cdef const char* take(self, size_t* n) except? NULL:
        self.taken = self.outgoing.read() if self.outgoing.pending else b""
        n[0] = PyBytes_GET_SIZE(self.taken)
        return PyBytes_AS_STRING(self.taken)

    cdef int goodbye(self) except -1:
        try:
            self.session.unwrap()
        except OSError:
            pass                  # wants the peer's close_notify, which we do not wait for
        return 0


# ---- which way

cdef bint _adopted = False            # the library calls us; only once per process
cdef bint _python_only = False
cdef object _reason = None            # None: not examined yet


@cython.final
@cython.no_gc
cdef class Native:
    """The SSL of an SSLObject, kept alive by it. Opaque; for `Conn.attach_tls`."""

    cdef void* ssl
    cdef object session


def reason() -> str:
    """Why connections run through Python's `ssl`; empty when they do not."""
    global _reason
    if _python_only:
        return "switched off"
    if _reason is None:
        import _ssl
        import ssl
        _reason = examine(getattr(_ssl, "__file__", None), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return _reason


def available() -> bool:
    """Whether connections made from now on call libssl's functions directly."""
    return not reason()


def use(direct: bool) -> None:
    """Let connections made from now on run through Python's `ssl`, or not; for tests."""
    global _python_only
    _python_only = not direct


def examine(path: str | None, context: "ssl.SSLContext") -> str:
    """Try the first way from end to end, as far as it can be done without a peer.

    Args:
        path: file of the extension `_ssl`, or None when it is part of the interpreter.
        context: what makes the SSLObjects for the trial; any client's.

    Returns:
        What stands against it, or nothing.
    """
    global _adopted
    cdef Library found
    cdef const char* lacks
    cdef bytes name
    import ssl
    if not CC_LIBSSL_TRIED:
        return "not tried with this kind of system or Python"
    if path is None:
        return "_ssl is part of the interpreter"
    if not ssl.OPENSSL_VERSION.startswith("OpenSSL 3."):
        return f"not tried with {ssl.OPENSSL_VERSION}"
    name = path.encode()
    memset(&found, 0, sizeof(found))
    lacks = cc_find(PyBytes_AS_STRING(name), &found)
    if lacks != NULL:
        return f"not found: {lacks.decode()}"
    if found.OpenSSL_version_num() != ssl.OPENSSL_VERSION_NUMBER:
        return "the library found is another than Python's"
    if not _adopted:
        if cc_adopt(&found) < 0:
            return "the library takes no callbacks"
        _adopted = True
    return _trial(context) or _trial(context)


cdef str _trial(object context):
    """The pointer is the right one and the BIO works: a hello goes out, and no answer is there."""
    import ssl
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        session, native = _captured(
            lambda: context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        )
    except (OSError, ValueError) as error:
        return f"no SSLObject is made: {error}"
    if native is None:
        return "the SSL of an SSLObject is not known"
    if not _is_between(native, incoming, outgoing):
        return "the SSL found is not the SSLObject's"
    cdef Room room = Room(RECORD_MAX)
    cdef Bytes* sealed = <Bytes*>room.sealed
    if cc_set_stage((<Native>native).ssl) < 0:
        return "the library makes no BIO"
    cc_enter(NULL, 0, sealed)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError:
        return "no handshake begins over our BIO"
    finally:
        cc_leave(1)
    # A handshake record with a ClientHello: RFC 8446 sections 4 and 5.1.
    if outgoing.pending or sealed.size < 6 or sealed.data[0] != 22:
        return "nothing went out over our BIO"
    return "" if sealed.data[5] == 1 else "no hello went out over our BIO"


def capture(make: "Callable[[], ssl.SSLObject]") -> "tuple[ssl.SSLObject, Native | None]":
    """Make an SSLObject, and remember its SSL where that is known and can be used.

    Args:
        make: makes one new SSLObject and returns it.
    """
    return _captured(make) if not reason() else (make(), None)


cdef tuple _captured(object make):
    cdef size_t before = cc_births
    cdef Native native
    session = make()
    # More than one: the garbage collector has run code that makes SSLObjects, too. Then it is not
    # known which of them is ours. None any more: it was not ours.
    if cc_births - before != 1 or cc_newborn == NULL:
        return session, None
    native = Native()
    native.ssl = cc_newborn
    native.session = session
    return session, native


cdef bint _is_between(Native native, object incoming, object outgoing) except -1:
    """Whether the SSL reads from and writes to these two, which are empty: what Python puts into
    them must show in the SSL's own BIOs."""
    cdef int k
    for k, bio in enumerate((incoming, outgoing)):
        if _pending(native, k) != 0:
            return False
        bio.write(b"\0")
        if _pending(native, k) != 1:
            bio.read()
            return False
        bio.read()
    return True


cdef size_t _pending(Native native, int k) noexcept:
    return cc_ssl.BIO_ctrl_pending(
        cc_ssl.SSL_get_rbio(native.ssl) if k == 0 else cc_ssl.SSL_get_wbio(native.ssl)
    )


cdef Tls attached(object session, object incoming, object outgoing, object native, Room room):
    """The session between socket and protocol. `native` is of `capture`, for this session."""
    cdef Direct direct
    cdef ThroughPython through
    if isinstance(native, Native) and (<Native>native).session is session:
        early = incoming.read()
        if outgoing.pending == 0 and _is_between(native, incoming, outgoing):
            direct = Direct()
            direct.room = room
            direct.session = session
            direct.ssl = (<Native>native).ssl
            direct.early = early or None
            room.owner = NULL              # an earlier one may have had the new one's address
            if cc_set_stage(direct.ssl) == 0:
                return direct
        incoming.write(early)
    through = ThroughPython()
    through.room = room
    through.session = session
    through.begin(incoming, outgoing)
    return through
