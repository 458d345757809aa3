/* loadgen.c - load generator and latency meter for relays of LLM requests (pairs with upstream.c).
 *
 *   cc -O2 -msse4.2 -o loadgen loadgen.c -lm
 *   ./loadgen -p PORT [-m closed|stream] [-C connections] [-n requests] [-w warm-up requests]
 *             [-t max seconds] [-B body bytes] [-s "n=200,b=60,d=1000"] [-k key] [-P pid] [-A] [-V]
 *   closed: the next request of a connection follows when its answer ended; n requests in all
 *   stream: n streams in all; latency of an event = moment of recv(2) - stamp put in by upstream.c
 *   -s: what the mock upstream shall answer (letters: answer.h), sent as X-Mock
 *   -A: all connections begin a request at the same instant, and again when all answers have ended;
 *       warm up with -w at least -C, so that every connection is open then
 *   -P: CPU and memory of this process and its descendants are measured
 *   -V: the mock upstream checks the CRC of each request body (costs it time: not for measuring)
 * Only ever connects to 127.0.0.1. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "body.h"
#include "common.h"
#include "histogram.h"
#include "proctree.h"

#define PER_SOURCE 8000 /* connections per source address (127.0.0.1, .2, ...): beyond half of the
                           ports of one, connect(2) searches for milliseconds */
#define RAMP_FROM 1000  /* connections; so many are opened in steps of RAMP_STEP per ms */
#define RAMP_STEP 64
#define SAMPLED_FROM 500 /* connections; memory is sampled each second from here on */

enum { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE };

typedef struct {
    int fd, busy, connecting, warm_up;
    uint32_t registered; /* epoll events */
    int64_t started_at;
    size_t sent;

    /* the answer's framing */
    int state, status, close_after;
    char head[8192], line[32];
    int head_len, line_len;
    int64_t left;

    /* its content */
    int64_t bytes, next_seq, deltas, first_at;
    uint32_t crc, promised_crc;
    int promised, out_of_order, has_end, wrong_bytes, wrong_crc;
    buffer_t carry; /* an unfinished event */
} conn_t;

typedef struct {
    long http, conn, reconnects, order, count, bytes, crc, no_end, incomplete;
} errors_t;

static int o_port, o_conns = 1, o_pid, o_verify, o_at_once;
static int64_t o_n = 1000, o_warm_up;
static double o_seconds = 30;
static size_t o_body = 2048;
static const char *o_mode = "closed", *o_spec = "n=20", *o_key = "bench-relay-token";

static int g_stream, g_epoll;
static int64_t g_promised_deltas = -1, g_promised_bytes = -1;
enum { SESSIONS = 16 };
static buffer_t g_requests[SESSIONS]; /* connections are dealt out to so many conversations */
static struct sockaddr_in g_address;
static conn_t *g_conns;
static int *g_idle, g_idle_len;
static char g_read[256 * 1024];

static histogram_t g_latency, g_first, g_event;
static errors_t g_errors;
static int g_bad_status; /* of the first answer that was not 200 */
static int64_t g_begun, g_done, g_measured, g_events;

/* ---- connections ---- */

static void watch(conn_t *c, uint32_t events, int operation) {
    if (operation == EPOLL_CTL_MOD && c->registered == events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(g_epoll, operation, c->fd, &e);
    c->registered = events;
}

static void rest(conn_t *c) {
    c->busy = 0;
    g_idle[g_idle_len++] = c - g_conns;
}

static void fail(conn_t *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->connecting = 0;
    if (!c->busy)
        return;
    g_errors.conn++;
    g_done++;
    if (g_stream)
        g_errors.incomplete++;
    rest(c);
}

static int dial(conn_t *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("loadgen: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (o_conns > PER_SOURCE) {
        in_addr_t from = INADDR_LOOPBACK + (c - g_conns) / PER_SOURCE;
        struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (void *)&source, sizeof source))
            perror("loadgen: bind");
    }
    c->connecting = 1;
    if (connect(c->fd, (void *)&g_address, sizeof g_address) && errno != EINPROGRESS)
        return -1;
    watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
    return 0;
}

static void send_request(conn_t *c) {
    const buffer_t *request = &g_requests[(c - g_conns) % SESSIONS];
    while (c->sent < request->len) {
        ssize_t n = send(c->fd, request->data + c->sent, request->len - c->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            c->sent += n;
        } else if (errno == EAGAIN) {
            watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        } else if (errno != EINTR) {
            fail(c);
            return;
        }
    }
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

static void begin(conn_t *c) {
    c->busy = 1;
    c->warm_up = g_begun++ < o_warm_up;
    c->started_at = now_ns();
    c->sent = 0;
    c->state = HEAD;
    c->head_len = c->close_after = 0;
    c->bytes = c->next_seq = c->deltas = c->first_at = 0;
    c->crc = CRC_START;
    c->promised = c->out_of_order = c->has_end = c->wrong_bytes = c->wrong_crc = 0;
    c->carry.len = 0;
    if (c->fd < 0 && dial(c) < 0)
        fail(c);
    else if (!c->connecting)
        send_request(c);
}

/* ---- the answer's content ---- */

static int64_t digits(const char *p, int n) {
    int64_t v = 0;
    while (n--)
        v = v * 10 + (*p++ - '0');
    return v;
}

static void one_event(conn_t *c, const char *event, size_t n, int64_t now) {
    const char *end = event + n, *mark = memmem(event, n, "[D:", 3);
    c->bytes += n;
    if (mark)
        c->deltas++;
    else
        mark = memmem(event, n, "[T:", 3);
    if (mark && mark + 32 <= end) {
        int64_t seq = digits(mark + 23, 8);
        if (seq != c->next_seq)
            c->out_of_order = 1;
        c->next_seq = seq + 1;
        if (!c->warm_up) {
            histogram_add(&g_event, now - digits(mark + 3, 19));
            g_events++;
        }
    }
    mark = memmem(event, n, "[E:", 3);
    if (mark && mark + 25 <= end) {
        c->has_end = 1;
        c->wrong_bytes = digits(mark + 3, 12) != c->bytes;
        c->wrong_crc = strtoul(mark + 16, NULL, 16) != c->crc;
    }
    c->crc = crc32c(c->crc, event, n);
}

static void split_events(conn_t *c, const char *p, size_t n, int64_t now) {
    if (!c->first_at) {
        c->first_at = now;
        if (!c->warm_up)
            histogram_add(&g_first, now - c->started_at);
    }
    while (n) {
        if (c->carry.len) { /* finish the unfinished event */
            size_t before = c->carry.len, from = before - 1;
            buffer_add(&c->carry, p, n);
            const char *start = c->carry.data;
            const char *end = memmem(start + from, c->carry.len - from, "\n\n", 2);
            if (!end)
                return;
            size_t size = end + 2 - start;
            one_event(c, start, size, now);
            c->carry.len = 0;
            p += size - before;
            n -= size - before;
            continue;
        }
        const char *end = memmem(p, n, "\n\n", 2);
        if (!end) {
            buffer_add(&c->carry, p, n);
            return;
        }
        size_t size = end + 2 - p;
        one_event(c, p, size, now);
        p += size;
        n -= size;
    }
}

static void content(conn_t *c, const char *p, size_t n, int64_t now) {
    if (g_stream && c->status == 200) {
        split_events(c, p, n, now);
        return;
    }
    c->bytes += n;
    c->crc = crc32c(c->crc, p, n);
}

static void check_stream(const conn_t *c) {
    g_errors.order += c->out_of_order;
    g_errors.count += g_promised_deltas >= 0 && c->deltas != g_promised_deltas;
    g_errors.no_end += !c->has_end;
    g_errors.bytes += c->wrong_bytes;
    g_errors.crc += c->wrong_crc;
}

static void check_message(const conn_t *c) {
    g_errors.bytes += g_promised_bytes >= 0 && c->bytes != g_promised_bytes;
    g_errors.no_end += !c->promised;
    g_errors.crc += c->promised && c->crc != c->promised_crc;
}

static void answer_end(conn_t *c, int64_t now) {
    g_done++;
    if (c->status != 200) {
        g_errors.http++;
        if (!g_bad_status)
            g_bad_status = c->status;
    } else if (g_stream) {
        check_stream(c);
    } else {
        check_message(c);
    }
    if (!c->warm_up) {
        histogram_add(&g_latency, now - c->started_at);
        g_measured++;
    }
    if (c->close_after) {
        close(c->fd);
        c->fd = -1;
        g_errors.reconnects++;
    }
    rest(c);
}

/* ---- the answer's framing; each reader returns how many bytes it used ---- */

static size_t read_head(conn_t *c, const char *p, size_t n, int64_t now) {
    size_t room = sizeof c->head - 1 - c->head_len, part = n < room ? n : room;
    memcpy(c->head + c->head_len, p, part);
    c->head_len += part;
    c->head[c->head_len] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        if (part < n)
            fail(c);
        return n;
    }
    size_t extra = c->head + c->head_len - (end + 4);
    end[2] = 0;
    c->status = atoi(c->head + 9);
    c->head_len = c->line_len = 0;
    if (c->status == 100)
        return part - extra;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    char *crc = strcasestr(c->head, "\r\nx-mock-crc32c:");
    c->close_after = strcasestr(c->head, "\r\nconnection: close") != NULL;
    c->promised = crc != NULL;
    c->promised_crc = crc ? strtoul(crc + 16, NULL, 16) : 0;
    if (strcasestr(c->head, "\r\ntransfer-encoding:")) {
        c->state = CHUNK_SIZE;
    } else if (length) {
        c->state = LENGTH;
        c->left = strtoll(length + 17, NULL, 10);
        if (!c->left)
            answer_end(c, now);
    } else {
        c->state = UNTIL_CLOSE;
        c->close_after = 1;
    }
    return part - extra;
}

static size_t read_content(conn_t *c, const char *p, size_t n, int64_t now) {
    size_t part = n < (size_t)c->left ? n : (size_t)c->left;
    content(c, p, part, now);
    c->left -= part;
    if (c->left)
        return part;
    if (c->state == LENGTH)
        answer_end(c, now);
    else
        c->state = CHUNK_END;
    return part;
}

static size_t read_line(conn_t *c, char byte, int64_t now) {
    if (byte != '\n') {
        if (byte != '\r' && c->line_len < (int)sizeof c->line - 1)
            c->line[c->line_len++] = byte;
        return 1;
    }
    int empty = c->line_len == 0;
    c->line[c->line_len] = 0;
    c->line_len = 0;
    if (c->state == CHUNK_END) {
        c->state = CHUNK_SIZE;
    } else if (c->state == CHUNK_SIZE) {
        c->left = strtoll(c->line, NULL, 16);
        c->state = c->left ? CHUNK_DATA : TRAILER;
    } else if (empty) {
        answer_end(c, now);
    }
    return 1;
}

static void feed(conn_t *c, const char *p, size_t n, int64_t now) {
    while (n && c->busy) {
        size_t used;
        switch (c->state) {
        case HEAD: used = read_head(c, p, n, now); break;
        case LENGTH:
        case CHUNK_DATA: used = read_content(c, p, n, now); break;
        case UNTIL_CLOSE:
            content(c, p, n, now);
            used = n;
            break;
        default: used = read_line(c, *p, now); break;
        }
        p += used;
        n -= used;
    }
}

static void on_closed(conn_t *c, int64_t now) {
    if (c->busy && c->state == UNTIL_CLOSE) {
        answer_end(c, now);
        return;
    }
    if (!c->busy)
        g_errors.reconnects++;
    fail(c);
}

static void on_event(conn_t *c, uint32_t events) {
    if (c->fd < 0)
        return;
    if (c->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int failed = 0;
        socklen_t len = sizeof failed;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &len);
        if (failed) {
            fail(c);
            return;
        }
        c->connecting = 0;
        send_request(c);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(c->fd, g_read, sizeof g_read, 0);
        int64_t now = now_ns();
        if (n > 0) {
            feed(c, g_read, n, now);
        } else if (n == 0 || errno != EAGAIN) {
            on_closed(c, now);
            return;
        }
    }
    if (c->fd >= 0 && c->busy && (events & EPOLLOUT))
        send_request(c);
}

/* ---- the run ---- */

typedef struct {
    int64_t total, issued, began_at, limit_at, ended_at, sample_at;
    int measuring;
    usage_t before, after;
    long peak_leaf_kb; /* the highest of the samples */
} run_t;

static void start_measuring(run_t *r) {
    r->measuring = 1;
    r->before = usage_of(o_pid, 1);
    r->began_at = now_ns();
    r->limit_at = r->began_at + (int64_t)(o_seconds * NS_PER_S);
}

/* Starts what may start; the warm-up drains first, so that nothing straddles the mark.
 * Returns how long to wait at most, ns. */
static int64_t issue(run_t *r) {
    if (o_at_once && g_idle_len < o_conns)
        return NS_PER_S / 5;
    int64_t until = r->measuring ? r->total : o_warm_up;
    for (int step = 0; g_idle_len && r->issued < until; step++) {
        if (o_conns > RAMP_FROM && step == RAMP_STEP)
            return NS_PER_S / 1000;
        r->issued++;
        begin(&g_conns[g_idle[--g_idle_len]]);
    }
    return NS_PER_S / 5;
}

static void sample_memory(run_t *r) {
    if (!o_pid || !g_stream || o_conns < SAMPLED_FROM || r->ended_at < r->sample_at)
        return;
    usage_t u = usage_of(o_pid, 0);
    if (u.leaf_rss_kb > r->peak_leaf_kb)
        r->peak_leaf_kb = u.leaf_rss_kb;
    r->sample_at = r->ended_at + NS_PER_S;
}

static void run(run_t *r) {
    static struct epoll_event events[512];
    r->total = o_n + o_warm_up;
    r->limit_at = now_ns() + (int64_t)(o_seconds * NS_PER_S);
    for (;;) {
        if (!r->measuring && g_done >= o_warm_up)
            start_measuring(r);
        int64_t wait = issue(r);
        if (g_done >= r->total || now_ns() > r->limit_at)
            break;
        struct timespec timeout = {0, wait};
        int n = epoll_pwait2(g_epoll, events, 512, &timeout, NULL);
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events);
        r->ended_at = now_ns();
        sample_memory(r);
    }
    r->after = usage_of(o_pid, 0);
    if (r->after.leaf_rss_kb > r->peak_leaf_kb)
        r->peak_leaf_kb = r->after.leaf_rss_kb;
    for (int i = 0; g_stream && i < o_conns; i++)
        g_errors.incomplete += g_conns[i].busy;
}

static void print_result(const run_t *r, size_t body_bytes) {
    const errors_t *e = &g_errors;
    double wall = (r->ended_at - r->began_at) / 1e9;
    double cpu_us = (r->after.cpu_ns - r->before.cpu_ns) / 1e3;
    printf("{\"mode\":\"%s\",\"conns\":%d,\"body\":%zu,\"spec\":\"%s\",\"wall_s\":%.4f,"
           "\"wanted\":%ld,\"done\":%ld,\"measured\":%ld,\"rps\":%.1f,\"events\":%ld,\"eps\":%.1f,",
            o_mode, o_conns, body_bytes, o_spec, wall, (long)r->total, (long)g_done,
            (long)g_measured, g_measured / wall, (long)g_events, g_events / wall);
    histogram_json("lat_us", &g_latency);
    histogram_json("first_us", &g_first);
    histogram_json("event_us", &g_event);
    printf("\"errors\":{\"http\":%ld,\"conn\":%ld,\"reconnects\":%ld,\"order\":%ld,\"count\":%ld,"
           "\"bytes\":%ld,\"crc\":%ld,\"no_end\":%ld,\"incomplete\":%ld,\"unfinished\":%ld},"
           "\"bad_status\":%d,",
            e->http, e->conn, e->reconnects, e->order, e->count, e->bytes, e->crc, e->no_end,
            e->incomplete, (long)(r->total - g_done), g_bad_status);
    printf("\"peer\":{\"processes\":%d,\"cpu_us_per_req\":%.3f,\"cpu_us_per_event\":%.3f,"
           "\"cpu_share\":%.3f,\"rss_kb\":%ld,\"peak_kb\":%ld,\"leaf_peak_kb\":%ld}}\n",
            r->after.processes, g_measured ? cpu_us / g_measured : 0,
            g_events ? cpu_us / g_events : 0, cpu_us / 1e6 / wall, r->after.rss_kb,
            r->after.peak_kb, r->peak_leaf_kb);
}

static int64_t spec_value(char letter) {
    for (const char *p = o_spec; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
        if (p[0] == letter && p[1] == '=')
            return atoll(p + 2);
    return -1;
}

/* Headers like those of the real client, so that a relay has the usual work with them. */
static size_t make_requests(void) {
    buffer_t body = make_body(o_body, g_stream);
    char check[32] = "";
    if (o_verify)
        sprintf(check, ",c=%u", crc32c(CRC_START, body.data, body.len));
    for (int i = 0; i < SESSIONS; i++) {
        buffer_t *request = &g_requests[i];
        request->len += sprintf(buffer_room(request, 2048 + strlen(o_key) + strlen(o_spec)),
                "POST /v1/messages HTTP/1.1\r\n"
                "Host: 127.0.0.1:%d\r\n"
                "x-api-key: %s\r\n"
                "anthropic-version: 2023-06-01\r\n"
                "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14\r\n"
                "user-agent: ccrelay-bench/1 (loopback)\r\n"
                "x-claude-code-session-id: 3f6c0000-0000-4000-8000-0000000000%02x\r\n"
                "x-app: cli\r\n"
                "accept: application/json\r\n"
                "content-type: application/json\r\n"
                "X-Mock: %s,s=%d%s\r\n"
                "content-length: %zu\r\n\r\n",
                o_port, o_key, i, o_spec, g_stream, check, body.len);
        buffer_add(request, body.data, body.len);
    }
    size_t size = body.len;
    buffer_free(&body);
    return size;
}

static int parse_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "p:m:C:n:w:t:B:s:k:P:AV")) != -1)
        switch (option) {
        case 'p': o_port = atoi(optarg); break;
        case 'm': o_mode = optarg; break;
        case 'C': o_conns = atoi(optarg); break;
        case 'n': o_n = atoll(optarg); break;
        case 'w': o_warm_up = atoll(optarg); break;
        case 't': o_seconds = atof(optarg); break;
        case 'B': o_body = atoll(optarg); break;
        case 's': o_spec = optarg; break;
        case 'k': o_key = optarg; break;
        case 'P': o_pid = atoi(optarg); break;
        case 'A': o_at_once = 1; break;
        case 'V': o_verify = 1; break;
        default: return -1;
        }
    g_stream = strcmp(o_mode, "stream") == 0;
    if (!g_stream && strcmp(o_mode, "closed") != 0)
        return -1;
    if (o_conns > o_n)
        o_conns = o_n;
    if (o_at_once && o_conns > RAMP_FROM)
        return -1;
    return o_port > 0 && o_conns > 0 ? 0 : -1;
}

int main(int argc, char **argv) {
    run_t r = {0};
    if (parse_options(argc, argv) < 0) {
        fprintf(stderr, "loadgen: wrong options, see the top of loadgen.c\n");
        return 2;
    }
    settle_in();
    g_promised_deltas = spec_value('n');
    g_promised_bytes = spec_value('r');
    size_t body_bytes = make_requests();
    g_address = (struct sockaddr_in){.sin_family = AF_INET,
            .sin_port = htons(o_port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g_epoll = epoll_create1(EPOLL_CLOEXEC);
    g_conns = calloc(o_conns, sizeof *g_conns);
    g_idle = calloc(o_conns, sizeof *g_idle);
    for (int i = o_conns - 1; i >= 0; i--) {
        g_conns[i].fd = -1;
        rest(&g_conns[i]);
    }
    run(&r);
    print_result(&r, body_bytes);
    return 0;
}
