/* upstream.c - mock Anthropic Messages upstream for measurements.
 *
 * HTTP/1.1 keep-alive, one epoll thread, no dependencies; TLS 1.3 on a second port with -DTLS.
 *   cc -O2 -msse4.2 -o upstream upstream.c                          (plain only)
 *   cc -O2 -msse4.2 -DTLS -o upstream upstream.c -lssl -lcrypto     (plain and TLS)
 *   ./upstream -p port [-d "n=200,b=60,d=1000"] [-T TLS port --cert chain.pem --key key.pem]
 *   ./upstream -v                                                   (says "plain" or "tls")
 *
 * How a request is answered stands in its header X-Mock: SPEC (letters: answer.h); -d is for
 * requests without one. A request whose key says "overloaded" is answered with 529, but for every
 * 500th (SPARED_EVERY). GET /counters is answered with how often that happened, GET anything else
 * with 200 "ok". SIGTERM ends it.
 *
 * Every event of a stream is one HTTP chunk (and one write when d>0) and carries
 * "[T:<19 digit ns>:<8 digit seq>]", deltas "[D:...]" inside their text so that it survives
 * re-serialisation. ns is CLOCK_MONOTONIC just before write(2); over TLS just before encryption, so
 * that the latency of an event holds our cost of sealing it too. message_stop carries
 * "[E:<SSE bytes in all>:<CRC32C of all before it>]".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>

#include "conn.h"

#define HEAD_BYTES_MAX (64 * 1024)
#define BODY_BYTES_MAX (32u * 1024 * 1024 + 65536)
#define KEPT_OUT_BYTES_MAX 16384 /* an idle connection gives back a larger buffer */
#define BURST_WRITES 16          /* of an unpaced stream, before the others get their turn */
#define SPARED_EVERY 500         /* an overloaded key's request is answered: else the relay's circuit
                                    breaker would open (ccrelay's at 1,000 failures in a row, at most)
                                    and keep the next ones away from the 529 */

static volatile sig_atomic_t g_stop;
static spec_t g_default;
static conn_t g_plain, g_tls; /* the listeners */
static int g_spare = -1;      /* a descriptor to give up when there are no others */
static char g_read[256 * 1024];
static uint64_t g_requests, g_overloaded, g_spared;

/* ---- answering ---- */

static void process_input(conn_t *c, const char *p, size_t n);

static void answer_done(conn_t *c) {
    g_requests++;
    if (c->want_close) {
        wire_end(&c->wire);
        conn_close(c);
        return;
    }
    c->state = READING_HEAD;
    if (c->out.cap > KEPT_OUT_BYTES_MAX)
        buffer_free(&c->out);
    if (c->in.len) { /* pipelined */
        buffer_t early = c->in;
        c->in = (buffer_t){0};
        process_input(c, early.data, early.len);
        buffer_free(&early);
    }
}

static void pump_message(conn_t *c) {
    if (!c->started) {
        c->started = 1;
        if (c->wants_counters)
            put_counters(&c->out, g_overloaded, g_spared);
        else if (c->is_get)
            buffer_text(&c->out, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        else if (c->is_refused)
            buffer_text(&c->out, OVERLOADED);
        else if (c->spec.c >= 0 && c->spec.c != (int64_t)c->body_crc)
            buffer_text(&c->out, "HTTP/1.1 500 Damaged\r\nContent-Length: 0\r\n\r\n");
        else
            put_message(&c->out, c->spec.r);
        if (flush(c))
            return;
    }
    answer_done(c);
}

/* The first three events go together, and so do the last three. */
static void put_due_events(conn_t *c) {
    stream_t *st = &c->stream;
    put_next_event(&c->out, st, &c->spec);
    while (st->seq < 3 || (st->seq >= st->total - 2 && st->seq < st->total))
        put_next_event(&c->out, st, &c->spec);
}

static void pump_paced_stream(conn_t *c) {
    stream_t *st = &c->stream;
    int blocked = 0;
    int64_t now = now_ns();
    while (st->seq < st->total && c->due <= now && !blocked) {
        put_due_events(c);
        c->due += c->spec.d * 1000;
        blocked = flush(c);
        if (blocked < 0)
            return;
    }
    if (st->seq < st->total && !blocked) {
        timer_set(c, c->due);
        return;
    }
    timer_clear(c); /* when blocked, EPOLLOUT brings us back */
    if (!blocked)
        answer_done(c);
}

static void pump_fast_stream(conn_t *c) {
    stream_t *st = &c->stream;
    for (int burst = 0; st->seq < st->total && burst < BURST_WRITES; burst++) {
        for (int64_t k = 0; k < c->spec.k && st->seq < st->total; k++)
            put_next_event(&c->out, st, &c->spec);
        if (flush(c))
            return;
    }
    if (st->seq == st->total)
        answer_done(c);
    else
        make_ready(c);
}

/* Takes an answer as far as time and socket allow. */
static void pump(conn_t *c) {
    if (c->dead || c->state != ANSWERING || flush(c))
        return;
    if (!c->streaming) {
        pump_message(c);
        return;
    }
    if (!c->started) { /* the head leaves with the first event */
        c->started = 1;
        buffer_text(&c->out, STREAM_HEAD);
    }
    if (c->spec.d > 0)
        pump_paced_stream(c);
    else
        pump_fast_stream(c);
}

/* Whether to answer with 529: the key says so, and it is not the one in many that is spared. */
static int refuses(const conn_t *c) {
    if (!c->has_overloaded_key || c->is_get)
        return 0;
    if ((g_overloaded + g_spared + 1) % SPARED_EVERY == 0) {
        g_spared++;
        return 0;
    }
    g_overloaded++;
    return 1;
}

static void request_complete(conn_t *c) {
    spec_t *sp = &c->spec;
    c->is_refused = refuses(c);
    if (sp->s < 0)
        sp->s = c->body.len && (memmem(c->body.data, c->body.len, "\"stream\":true", 13) ||
                                memmem(c->body.data, c->body.len, "\"stream\": true", 14));
    buffer_free(&c->body);
    c->state = ANSWERING;
    c->started = 0;
    c->streaming = sp->s == 1 && !c->is_get && !c->is_refused &&
                   (sp->c < 0 || sp->c == (int64_t)c->body_crc);
    c->stream = (stream_t){.total = sp->n + EXTRA_EVENTS, .crc = CRC_START};
    int64_t wait = sp->f * 1000;
    if (c->streaming && sp->d > 0 && sp->j)
        wait += (int64_t)(drand48() * sp->d * 1000);
    c->due = now_ns() + wait;
    if (wait > 0)
        timer_set(c, c->due);
    else
        pump(c);
}

/* ---- reading a request ---- */

static int is_header(const char *line, size_t len, const char *name) {
    return len == strlen(name) && strncasecmp(line, name, len) == 0;
}

/* h..end are the lines without the empty one. 0, or -1 when the request is refused. */
static int parse_head(conn_t *c, const char *h, const char *end) {
    const char *p = memchr(h, '\n', end - h);
    int chunked = 0;
    if (!p)
        return -1;
    c->spec = g_default;
    c->is_get = strncmp(h, "GET ", 4) == 0;
    c->wants_counters = strncmp(h, "GET /counters ", 14) == 0;
    c->want_close = c->has_overloaded_key = 0;
    c->body_left = c->body_seen = 0;
    c->body_crc = CRC_START;
    for (p++; p < end;) {
        const char *line_end = memchr(p, '\n', end - p);
        const char *v = line_end ? memchr(p, ':', line_end - p) : NULL;
        if (!v)
            break;
        size_t len = v++ - p;
        while (v < line_end && *v == ' ')
            v++;
        if (is_header(p, len, "content-length"))
            c->body_left = strtoll(v, NULL, 10);
        else if (is_header(p, len, "transfer-encoding"))
            chunked = memmem(v, line_end - v, "chunked", 7) != NULL;
        else if (is_header(p, len, "connection"))
            c->want_close = strncasecmp(v, "close", 5) == 0;
        else if (is_header(p, len, "x-mock"))
            spec_parse(&c->spec, v, line_end);
        else if (is_header(p, len, "x-api-key") || is_header(p, len, "authorization"))
            c->has_overloaded_key = memmem(v, line_end - v, "overloaded", 10) != NULL;
        p = line_end + 1;
    }
    c->keep_body = c->spec.s < 0;
    c->state = chunked ? READING_CHUNKS : READING_LENGTH;
    c->chunk_state = CHUNK_SIZE;
    c->line_len = 0;
    return c->body_left < 0 || c->body_left > (int64_t)BODY_BYTES_MAX ? -1 : 0;
}

static int body_add(conn_t *c, const char *p, size_t n) {
    c->body_seen += n;
    if (c->body_seen > BODY_BYTES_MAX)
        return -1;
    if (c->spec.c >= 0)
        c->body_crc = crc32c(c->body_crc, p, n);
    if (c->keep_body)
        buffer_add(&c->body, p, n);
    return 0;
}

/* The parsers below return how many bytes they used, or -1 when the request is refused. */

static ssize_t read_head(conn_t *c, const char *p, size_t n) {
    size_t before = c->in.len;
    const char *h = p;
    size_t len = n;
    if (before) {
        buffer_add(&c->in, p, n);
        h = c->in.data;
        len = c->in.len;
    }
    const char *end = memmem(h, len, "\r\n\r\n", 4);
    if (!end) {
        if (len > HEAD_BYTES_MAX)
            return -1;
        if (!before)
            buffer_add(&c->in, p, n);
        return n;
    }
    if (parse_head(c, h, end + 2) < 0)
        return -1;
    size_t used = end + 4 - h - before;
    buffer_free(&c->in);
    if (c->state == READING_LENGTH && c->body_left == 0)
        request_complete(c);
    return used;
}

static ssize_t read_length(conn_t *c, const char *p, size_t n) {
    size_t part = n < (size_t)c->body_left ? n : (size_t)c->body_left;
    if (body_add(c, p, part) < 0)
        return -1;
    c->body_left -= part;
    if (c->body_left == 0)
        request_complete(c);
    return part;
}

static ssize_t read_chunk_line(conn_t *c, char byte) {
    if (byte != '\n') {
        if (byte != '\r' && c->line_len < (int)sizeof c->line - 1)
            c->line[c->line_len++] = byte;
        return 1;
    }
    c->line[c->line_len] = 0;
    int empty = c->line_len == 0;
    c->line_len = 0;
    if (c->chunk_state == CHUNK_END) {
        c->chunk_state = CHUNK_SIZE;
    } else if (c->chunk_state == CHUNK_SIZE) {
        c->chunk_left = strtoll(c->line, NULL, 16);
        if (c->chunk_left < 0 || c->chunk_left > (int64_t)BODY_BYTES_MAX)
            return -1;
        c->chunk_state = c->chunk_left ? CHUNK_DATA : TRAILER;
    } else if (empty) {
        request_complete(c);
    }
    return 1;
}

static ssize_t read_chunks(conn_t *c, const char *p, size_t n) {
    if (c->chunk_state != CHUNK_DATA)
        return read_chunk_line(c, *p);
    size_t part = n < (size_t)c->chunk_left ? n : (size_t)c->chunk_left;
    if (body_add(c, p, part) < 0)
        return -1;
    c->chunk_left -= part;
    if (!c->chunk_left)
        c->chunk_state = CHUNK_END;
    return part;
}

static void process_input(conn_t *c, const char *p, size_t n) {
    while (n && !c->dead) {
        ssize_t used = -1;
        switch (c->state) {
        case ANSWERING: buffer_add(&c->in, p, n); return;
        case READING_HEAD: used = read_head(c, p, n); break;
        case READING_LENGTH: used = read_length(c, p, n); break;
        case READING_CHUNKS: used = read_chunks(c, p, n); break;
        }
        if (used < 0) {
            conn_close(c);
            return;
        }
        p += used;
        n -= used;
    }
}

/* ---- the loop ---- */

static int listen_on(conn_t *l, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET,
            .sin_port = htons(port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = l};
    int one = 1;
    l->wire.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(l->wire.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l->wire.fd, (void *)&a, sizeof a) || listen(l->wire.fd, 4096)) {
        perror("upstream: bind or listen");
        return -1;
    }
    return epoll_ctl(g_epoll, EPOLL_CTL_ADD, l->wire.fd, &e);
}

/* Out of descriptors: hang up on the client, which else waits in the backlog and keeps epoll busy. */
static void refuse(conn_t *l) {
    close(g_spare);
    int fd = accept4(l->wire.fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    g_spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(conn_t *l) {
    int one = 1;
    for (int k = 0; k < 256; k++) {
        int fd = accept4(l->wire.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EMFILE) {
            refuse(l);
            continue;
        }
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn_t *c = calloc(1, sizeof *c);
        c->wire.fd = fd;
        c->heap_ix = -1;
        c->registered = EPOLLIN | EPOLLRDHUP;
        struct epoll_event e = {.events = c->registered, .data.ptr = c};
        epoll_ctl(g_epoll, EPOLL_CTL_ADD, fd, &e);
#ifdef TLS
        if (l == &g_tls && tls_attach(&c->wire) < 0)
            conn_close(c);
#endif
    }
}

static void on_input(conn_t *c) {
    ssize_t n = wire_recv(&c->wire, g_read, sizeof g_read);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_close(c);
        return;
    }
    if (n > 0)
        process_input(c, g_read, n);
    if (!c->dead && c->wire.more_in)
        make_ready(c); /* the rest in the next turn, after the others and the timers */
}

static void on_event(conn_t *c, uint32_t events) {
    if (c->dead)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        conn_close(c);
        return;
    }
    if (events & EPOLLIN)
        on_input(c);
    else if (events & EPOLLRDHUP)
        conn_close(c);
    if (!c->dead && (events & EPOLLOUT))
        pump(c);
}

static void run_timers(void) {
    int64_t now = g_heap_len ? now_ns() : 0;
    while (g_heap_len && g_heap[0]->due <= now) {
        conn_t *c = g_heap[0];
        timer_clear(c);
        pump(c);
    }
}

static void run_ready(void) {
    conn_t *c = g_ready, *next;
    for (g_ready = NULL; c; c = next) {
        next = c->next;
        c->in_ready = 0;
        if (c->dead) {
            bury(c);
            continue;
        }
        if (c->wire.more_in)
            on_input(c);
        pump(c);
    }
}

static void free_dead(void) {
    for (conn_t *c = g_dead, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    g_dead = NULL;
}

static void turn(void) {
    static struct epoll_event events[512];
    int64_t wait = g_ready ? 0 : NS_PER_S;
    if (g_heap_len && wait) {
        int64_t due_in = g_heap[0]->due - now_ns();
        wait = due_in < 0 ? 0 : due_in < wait ? due_in : wait;
    }
    struct timespec timeout = {wait / NS_PER_S, wait % NS_PER_S};
    int n = epoll_pwait2(g_epoll, events, 512, &timeout, NULL);
    for (int i = 0; i < n; i++) {
        conn_t *c = events[i].data.ptr;
        if (c == &g_plain || c == &g_tls)
            on_accept(c);
        else
            on_event(c, events[i].events);
    }
    run_timers();
    run_ready();
    free_dead();
}

static void on_term(int signal_number) {
    (void)signal_number;
    g_stop = 1;
}

static int listen_with_tls(int port, const char *cert, const char *key) {
#ifdef TLS
    if (tls_init(cert, key) < 0) {
        ERR_print_errors_fp(stderr);
        return -1;
    }
    return listen_on(&g_tls, port);
#else
    (void)port, (void)cert, (void)key;
    fprintf(stderr, "upstream: built without -DTLS\n");
    return -1;
#endif
}

static void say_totals(void) {
    fprintf(stderr, "upstream: %lu requests, %lu events\n", (unsigned long)g_requests,
            (unsigned long)g_events);
#ifdef TLS
    if (g_tls_ctx)
        fprintf(stderr, "upstream: %ld TLS handshakes, %ld resumed\n",
                SSL_CTX_sess_accept_good(g_tls_ctx), SSL_CTX_sess_hits(g_tls_ctx));
#endif
}

static int say_version(void) {
#ifdef TLS
    puts("tls");
#else
    puts("plain");
#endif
    return 0;
}

int main(int argc, char **argv) {
    static const struct option longs[] = {
            {"cert", required_argument, NULL, 'C'}, {"key", required_argument, NULL, 'K'}, {0}};
    int port = 0, tls_port = 0, option;
    const char *cert = NULL, *key = NULL;
    g_default = SPEC_DEFAULT;
    while ((option = getopt_long(argc, argv, "p:d:T:v", longs, NULL)) != -1)
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'd': spec_parse(&g_default, optarg, optarg + strlen(optarg)); break;
        case 'T': tls_port = atoi(optarg); break;
        case 'C': cert = optarg; break;
        case 'K': key = optarg; break;
        case 'v': return say_version();
        default: return 2;
        }
    if (!port || (tls_port && (!cert || !key))) {
        fprintf(stderr, "usage: upstream -p port [-d spec] [-T port --cert file --key file]\n");
        return 2;
    }
    settle_in();
    fill_init();
    signal(SIGTERM, on_term);
    signal(SIGINT, on_term);
    g_epoll = epoll_create1(EPOLL_CLOEXEC);
    g_spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (listen_on(&g_plain, port) < 0 || (tls_port && listen_with_tls(tls_port, cert, key) < 0))
        return 1;
    while (!g_stop)
        turn();
    say_totals();
    return 0;
}
