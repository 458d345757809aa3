/* What conn.pyx needs beyond POSIX, for Linux and macOS. Python ignores SIGPIPE. */
#ifndef CCRELAY_SOCK_H
#define CCRELAY_SOCK_H
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* What of a peer's address names one client: all of an IPv4 address, the first 64 bits of an IPv6
   one, since whoever has one address of such a network has them all. */
static inline int cc_client_of(const struct sockaddr_storage *peer, char client[8]) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)peer;
    if (peer->ss_family == AF_INET) {
        memcpy(client, &((const struct sockaddr_in *)peer)->sin_addr, 4);
        return 4;
    }
    if (peer->ss_family != AF_INET6) return 0;
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        memcpy(client, (const char *)&six->sin6_addr + 12, 4);
        return 4;
    }
    memcpy(client, &six->sin6_addr, 8);
    return 8;
}

/* Accept one connection: non-blocking, close-on-exec, TCP_NODELAY. On failure -1 and errno.
   `client`, *n: who it is, by its address. */
static inline int cc_accept(int listener, char client[8], int *n) {
    struct sockaddr_storage peer;
    socklen_t size = sizeof peer;
    int one = 1, fd;
    peer.ss_family = AF_UNSPEC;
#if defined(__linux__)
    fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -1;
#else
    fd = accept(listener, (struct sockaddr *)&peer, &size);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
#if defined(SO_NOSIGPIPE)
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &one, sizeof one);
#endif
#endif
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *n = cc_client_of(&peer, client);
    return fd;
}

/* Close with a reset, so that the peer cannot take a truncated stream for a complete one. */
static inline void cc_reset(int fd) {
    struct linger l = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(fd);
}

/* Whether the socket is done for, e.g. by a reset. Leaves the error for the next recv. POLLHUP: a
   send has met the error already and taken it. */
static inline int cc_failed(int fd) {
    struct pollfd p = {fd, 0, 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

/* The same, or the peer will send no more than what waits to be read (Linux only). */
static inline int cc_left(int fd) {
#if defined(POLLRDHUP)
    struct pollfd p = {fd, POLLRDHUP, 0};
    return poll(&p, 1, 0) > 0;
#else
    return cc_failed(fd);
#endif
}

static inline double cc_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int cc_would_block(int e) { return e == EAGAIN || e == EWOULDBLOCK || e == EINTR; }
#endif
