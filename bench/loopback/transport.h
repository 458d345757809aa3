/* transport.h - recv(2)/send(2) semantics for plain TCP and TLS 1.3 alike (part of upstream.c).
 *
 * Without -DTLS only the plain half is compiled.
 */
#ifndef BENCH_TRANSPORT_H
#define BENCH_TRANSPORT_H

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

typedef struct {
    int fd;
    int more_in; /* OpenSSL may hold decrypted bytes that epoll does not see */
#ifdef TLS
    SSL *ssl; /* NULL: plain TCP */
#endif
} wire_t;

#ifdef TLS
static SSL_CTX *g_tls_ctx;

static int alpn_http11(SSL *ssl, const unsigned char **out, unsigned char *outlen,
        const unsigned char *in, unsigned int inlen, void *arg) {
    (void)ssl;
    (void)arg;
    static const unsigned char ours[] = "\x08http/1.1";
    int r = SSL_select_next_proto((unsigned char **)out, outlen, ours, sizeof ours - 1, in, inlen);
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The cipher order is the server's, so that every peer does the same crypto; AES-128-GCM first, as
 * large providers do where AES has hardware. */
static int tls_init(const char *cert, const char *key) {
    static const unsigned char session_id[] = "upstream";
    g_tls_ctx = SSL_CTX_new(TLS_server_method());
    if (!g_tls_ctx)
        return -1;
    SSL_CTX_set_min_proto_version(g_tls_ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(g_tls_ctx,
            "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
    SSL_CTX_set_options(g_tls_ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(g_tls_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(g_tls_ctx, 1); /* several records per recv(2) */
    SSL_CTX_set_default_read_buffer_len(g_tls_ctx, 64 * 1024);
    SSL_CTX_set_session_id_context(g_tls_ctx, session_id, sizeof session_id - 1);
    SSL_CTX_set_alpn_select_cb(g_tls_ctx, alpn_http11, NULL);
    if (SSL_CTX_use_certificate_chain_file(g_tls_ctx, cert) != 1)
        return -1;
    return SSL_CTX_use_PrivateKey_file(g_tls_ctx, key, SSL_FILETYPE_PEM) == 1 ? 0 : -1;
}

static int tls_attach(wire_t *w) {
    w->ssl = SSL_new(g_tls_ctx);
    if (!w->ssl)
        return -1;
    SSL_set_accept_state(w->ssl);
    return SSL_set_fd(w->ssl, w->fd) == 1 ? 0 : -1;
}

/* Reads records until p is full or the socket is empty. The handshake runs in here; its one flight
 * always fits an empty socket buffer, so WANT_WRITE counts as a failure. */
static ssize_t tls_recv(wire_t *w, char *p, size_t n) {
    size_t got = 0, part;
    w->more_in = 0;
    while (got < n) {
        ERR_clear_error();
        if (SSL_read_ex(w->ssl, p + got, n - got, &part)) {
            got += part;
            continue;
        }
        int why = SSL_get_error(w->ssl, 0);
        if (got) {
            w->more_in = why != SSL_ERROR_WANT_READ;
            return got;
        }
        if (why == SSL_ERROR_ZERO_RETURN)
            return 0;
        errno = why == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
        return -1;
    }
    w->more_in = 1;
    return got;
}

static ssize_t tls_send(wire_t *w, const char *p, size_t n) {
    size_t part;
    ERR_clear_error();
    if (SSL_write_ex(w->ssl, p, n, &part))
        return part;
    errno = SSL_get_error(w->ssl, 0) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}
#endif

static ssize_t wire_recv(wire_t *w, char *p, size_t n) {
#ifdef TLS
    if (w->ssl)
        return tls_recv(w, p, n);
#endif
    return recv(w->fd, p, n, 0);
}

static ssize_t wire_send(wire_t *w, const char *p, size_t n) {
#ifdef TLS
    if (w->ssl)
        return tls_send(w, p, n);
#endif
    return send(w->fd, p, n, MSG_NOSIGNAL);
}

static void wire_end(wire_t *w) {
#ifdef TLS
    if (w->ssl)
        SSL_shutdown(w->ssl);
#endif
    shutdown(w->fd, SHUT_WR);
}

static void wire_close(wire_t *w) {
    close(w->fd);
#ifdef TLS
    SSL_free(w->ssl);
    w->ssl = NULL;
#endif
}

#endif
