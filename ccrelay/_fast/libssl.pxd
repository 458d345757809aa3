"""TLS between a socket and the protocol: sealed bytes in, plain bytes out, and the other way."""


cdef enum State:
    OPEN = 0       # the session goes on
    ENDED = 1      # close_notify has come
    BROKEN = 2     # what came is not what the peer may send


cdef class Room:
    # Buffers that the connections of one worker share.
    cdef char* plain                   # what the last `unseal` gave
    cdef size_t plain_cap
    cdef char* joined                  # a small request: head and body, for one record
    cdef void* sealed                  # what libssl wants sent; a cc_bytes of libssl.h
    cdef void* owner                   # the connection whose bytes these are


cdef class Tls:
    # One session after its handshake. Which of the two it runs through, its owner does not see.
    cdef Room room
    cdef object session                # Python's SSLObject: it owns the SSL

    # Decrypt n bytes into room.plain; returns how many. *state: a State. Room for n is needed.
    cdef size_t unseal(self, const char* p, size_t n, int* state) except? 0
    # Encrypt n bytes behind what is sealed already. -1: the session is broken.
    cdef int seal(self, const char* p, size_t n) except -2
    # What is sealed and not taken yet; valid until the next call.
    cdef const char* take(self, size_t* n) except? NULL
    cdef int goodbye(self) except -1   # seal a close_notify


cdef Tls attached(object session, object incoming, object outgoing, object native, Room room)
