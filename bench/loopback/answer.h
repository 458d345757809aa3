/* answer.h - what the mock upstream says: the spec of a request and the bytes of its answer
 * (part of upstream.c).
 */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include "common.h"

/* Behaviour of one request, from "k=v,k=v,..." with one-letter keys and whole numbers. */
typedef struct {
    int64_t n; /* content_block_delta events */
    int64_t b; /* filler bytes in the text of each */
    int64_t d; /* gap between events, us; 0: as fast as the socket takes them */
    int64_t k; /* events per write(2) when d=0; each is an HTTP chunk of its own regardless */
    int64_t f; /* delay before the first byte, us */
    int64_t r; /* size of an answer that is not a stream, bytes */
    int64_t s; /* 1 stream, 0 not; -1: as "stream" in the body says */
    int64_t j; /* 1: the first gap has a random phase, so that many streams do not fire as one */
    int64_t c; /* CRC32C that the request body must have; -1: not checked */
} spec_t;

static const spec_t SPEC_DEFAULT = {.n = 20, .b = 60, .k = 1, .r = 1024, .s = -1, .j = 1, .c = -1};

#define FILL_MAX (1 << 20)
#define EXTRA_EVENTS 6 /* message_start, content_block_start, ping; and three at the end */

static char g_fill[FILL_MAX];
static uint64_t g_events;

static void fill_init(void) {
    static const char words[] = "the quick brown fox jumps over the lazy dog; ";
    for (size_t i = 0; i < sizeof g_fill; i++)
        g_fill[i] = words[i % (sizeof words - 1)];
}

static void spec_parse(spec_t *s, const char *p, const char *end) {
    while (p + 2 < end && p[1] == '=' && p[2] >= '0' && p[2] <= '9') {
        char key = *p;
        int64_t v = 0;
        for (p += 2; p < end && *p >= '0' && *p <= '9'; p++)
            v = v * 10 + (*p - '0');
        switch (key) {
        case 'n': s->n = v; break;
        case 'b': s->b = v < FILL_MAX ? v : FILL_MAX; break;
        case 'd': s->d = v; break;
        case 'k': s->k = v > 0 ? v : 1; break;
        case 'f': s->f = v; break;
        case 'r': s->r = v; break;
        case 's': s->s = v; break;
        case 'j': s->j = v; break;
        case 'c': s->c = v; break;
        }
        if (p < end && *p == ',')
            p++;
    }
}

/* ---- a stream ---- */

typedef struct {
    int64_t seq, total; /* events written, events in all */
    uint64_t bytes;     /* of SSE, without chunk framing */
    uint32_t crc;
} stream_t;

static const char STREAM_HEAD[] =
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: text/event-stream; charset=utf-8\r\n"
        "Cache-Control: no-cache\r\n"
        "Transfer-Encoding: chunked\r\n"
        "request-id: req_mock\r\n"
        "anthropic-ratelimit-requests-remaining: 999\r\n\r\n";

static void put_event(buffer_t *out, stream_t *st, const char *name, const char *data, size_t len) {
    size_t name_len = strlen(name), size = 7 + name_len + 7 + len + 2;
    char *start = buffer_room(out, size + 32), *p = start;
    p += sprintf(p, "%zx\r\n", size);
    char *event = p;
    memcpy(p, "event: ", 7);
    memcpy(p += 7, name, name_len);
    memcpy(p += name_len, "\ndata: ", 7);
    memcpy(p += 7, data, len);
    memcpy(p += len, "\n\n", 2);
    p += 2;
    st->bytes += p - event;
    st->crc = crc32c(st->crc, event, p - event);
    memcpy(p, "\r\n", 2);
    out->len += p + 2 - start;
    g_events++;
}

#define STAMP "\"_t\":\"[T:%019ld:%08ld]\""

/* The last event also tells how many bytes there were, and the CRC of all before it. */
static size_t write_message_stop(char *d, const stream_t *st, long at, long seq) {
    static const char frame[] = "event: message_stop\ndata: \n\n";
    size_t mark_len = sizeof "[E:000000000000:00000000]\"}" - 1;
    size_t len = sprintf(d, "{\"type\":\"message_stop\"," STAMP ",\"_e\":\"", at, seq);
    unsigned long total = st->bytes + sizeof frame - 1 + len + mark_len;
    return len + sprintf(d + len, "[E:%012lu:%08x]\"}", total, st->crc);
}

/* Appends the next event, stamped with the moment just before it is written. */
static void put_next_event(buffer_t *out, stream_t *st, const spec_t *sp) {
    static char d[FILL_MAX + 1024];
    long at = now_ns(), seq = st->seq++;
    const char *name;
    size_t len;
    if (seq == 0) {
        name = "message_start";
        len = sprintf(d,
                "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_mock\",\"type\":\"message\","
                "\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],"
                "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":2095,"
                "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
                "\"output_tokens\":1}}," STAMP "}",
                at, seq);
    } else if (seq == 1) {
        name = "content_block_start";
        len = sprintf(d,
                "{\"type\":\"content_block_start\",\"index\":0,"
                "\"content_block\":{\"type\":\"text\",\"text\":\"\"}," STAMP "}",
                at, seq);
    } else if (seq == 2) {
        name = "ping";
        len = sprintf(d, "{\"type\":\"ping\"," STAMP "}", at, seq);
    } else if (seq < sp->n + 3) {
        name = "content_block_delta";
        len = sprintf(d,
                "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
                "\"text\":\"[D:%019ld:%08ld]",
                at, seq);
        memcpy(d + len, g_fill, sp->b);
        memcpy(d + len + sp->b, "\"}}", 3);
        len += sp->b + 3;
    } else if (seq == sp->n + 3) {
        name = "content_block_stop";
        len = sprintf(d, "{\"type\":\"content_block_stop\",\"index\":0," STAMP "}", at, seq);
    } else if (seq == sp->n + 4) {
        name = "message_delta";
        len = sprintf(d,
                "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%ld}," STAMP "}",
                (long)sp->n, at, seq);
    } else {
        name = "message_stop";
        len = write_message_stop(d, st, at, seq);
    }
    put_event(out, st, name, d, len);
    if (st->seq == st->total)
        buffer_text(out, "0\r\n\r\n");
}

/* ---- an answer in one piece ---- */

/* A Message of r bytes; its CRC travels in a header, since it has nowhere to stand in the body. */
static void put_message(buffer_t *out, int64_t r) {
    static const char before[] =
            "{\"id\":\"msg_mock\",\"type\":\"message\",\"role\":\"assistant\","
            "\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[{\"type\":\"text\",\"text\":\"";
    static const char after[] =
            "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{"
            "\"input_tokens\":2095,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
            "\"output_tokens\":503}}";
    int64_t fill = r - (int64_t)(sizeof before - 1 + sizeof after - 1);
    fill = fill < 0 ? 0 : fill > FILL_MAX ? FILL_MAX : fill;
    size_t size = sizeof before - 1 + fill + sizeof after - 1;
    uint32_t crc = crc32c(CRC_START, before, sizeof before - 1);
    crc = crc32c(crc, g_fill, fill);
    crc = crc32c(crc, after, sizeof after - 1);
    out->len += sprintf(buffer_room(out, 512),
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: application/json\r\n"
            "Content-Length: %zu\r\n"
            "request-id: req_mock\r\n"
            "x-mock-crc32c: %08x\r\n"
            "anthropic-ratelimit-requests-remaining: 999\r\n\r\n",
            size, crc);
    buffer_text(out, before);
    buffer_add(out, g_fill, fill);
    buffer_text(out, after);
}

/* ---- refusals, and how many there were ---- */

#define OVERLOADED                                                                                 \
    "HTTP/1.1 529 Overloaded\r\n"                                                                  \
    "Content-Type: application/json\r\n"                                                           \
    "Content-Length: 75\r\n"                                                                       \
    "request-id: req_mock\r\n\r\n"                                                                 \
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"

static void put_counters(buffer_t *out, uint64_t overloaded, uint64_t spared) {
    char body[96];
    int size = sprintf(body, "{\"overloaded\":%lu,\"spared\":%lu}", (unsigned long)overloaded,
            (unsigned long)spared);
    out->len += sprintf(buffer_room(out, 256), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s",
            size, body);
}

#endif
