/* conn.h - a connection of the mock upstream, its timer, and its places in the loop
 * (part of upstream.c).
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <sys/epoll.h>

#include "answer.h"
#include "common.h"
#include "transport.h"

enum { READING_HEAD, READING_LENGTH, READING_CHUNKS, ANSWERING };
enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER };

typedef struct conn {
    wire_t wire;
    int state, want_close, dead;
    uint32_t registered; /* epoll events */

    /* the request */
    buffer_t in;   /* an unfinished head, or what came before its turn */
    buffer_t body; /* kept only when the spec does not say whether to stream */
    int keep_body, is_get, wants_counters, has_overloaded_key;
    int64_t body_left;
    size_t body_seen;
    uint32_t body_crc;
    int chunk_state, line_len;
    int64_t chunk_left;
    char line[32];

    /* the answer */
    spec_t spec;
    stream_t stream;
    int streaming, started, is_refused;
    buffer_t out;
    size_t out_sent;

    /* its places in the loop */
    int64_t due;
    int heap_ix; /* -1: no timer */
    int in_ready;
    struct conn *next; /* in the list of the ready or of the dead */
} conn_t;

static int g_epoll;
static conn_t *g_ready, *g_dead;

/* ---- timers: a binary heap ordered by due ---- */

static conn_t **g_heap;
static int g_heap_len, g_heap_cap;

static void heap_put(int i, conn_t *c) {
    g_heap[i] = c;
    c->heap_ix = i;
}

static void heap_up(int i) {
    conn_t *c = g_heap[i];
    for (int parent; i > 0 && g_heap[parent = (i - 1) / 2]->due > c->due; i = parent)
        heap_put(i, g_heap[parent]);
    heap_put(i, c);
}

static void heap_down(int i) {
    conn_t *c = g_heap[i];
    for (int child; (child = 2 * i + 1) < g_heap_len; i = child) {
        if (child + 1 < g_heap_len && g_heap[child + 1]->due < g_heap[child]->due)
            child++;
        if (g_heap[child]->due >= c->due)
            break;
        heap_put(i, g_heap[child]);
    }
    heap_put(i, c);
}

static void timer_set(conn_t *c, int64_t due) {
    c->due = due;
    if (c->heap_ix < 0) {
        if (g_heap_len == g_heap_cap) {
            g_heap_cap = g_heap_cap ? g_heap_cap * 2 : 1024;
            g_heap = realloc(g_heap, g_heap_cap * sizeof *g_heap);
        }
        heap_put(g_heap_len++, c);
    }
    heap_up(c->heap_ix);
    heap_down(c->heap_ix);
}

static void timer_clear(conn_t *c) {
    int i = c->heap_ix;
    if (i < 0)
        return;
    c->heap_ix = -1;
    conn_t *last = g_heap[--g_heap_len];
    if (last == c)
        return;
    heap_put(i, last);
    heap_up(i);
    heap_down(last->heap_ix);
}

/* ---- connections ---- */

static void make_ready(conn_t *c) {
    if (c->in_ready)
        return;
    c->in_ready = 1;
    c->next = g_ready;
    g_ready = c;
}

/* Freed at the end of the turn: events of this turn may still point to it. */
static void bury(conn_t *c) {
    c->next = g_dead;
    g_dead = c;
}

static void conn_close(conn_t *c) {
    if (c->dead)
        return;
    c->dead = 1;
    timer_clear(c);
    wire_close(&c->wire);
    buffer_free(&c->in);
    buffer_free(&c->body);
    buffer_free(&c->out);
    if (!c->in_ready)
        bury(c);
}

static void watch(conn_t *c, uint32_t events) {
    if (c->registered == events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(g_epoll, EPOLL_CTL_MOD, c->wire.fd, &e);
    c->registered = events;
}

/* 0 all written, 1 blocked, -1 closed */
static int flush(conn_t *c) {
    while (c->out_sent < c->out.len) {
        ssize_t n = wire_send(&c->wire, c->out.data + c->out_sent, c->out.len - c->out_sent);
        if (n >= 0) {
            c->out_sent += n;
        } else if (errno == EAGAIN) {
            watch(c, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
            return 1;
        } else if (errno != EINTR) {
            conn_close(c);
            return -1;
        }
    }
    c->out.len = c->out_sent = 0;
    watch(c, EPOLLIN | EPOLLRDHUP);
    return 0;
}

#endif
