/* common.h - what upstream.c and loadgen.c share: clock, CRC32C, growing buffers, manners. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __SSE4_2__
#include <nmmintrin.h>
#endif

#define NS_PER_S 1000000000LL
#define CRC_START (~0u)

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

#ifdef __SSE4_2__
static uint32_t crc32c(uint32_t crc, const char *p, size_t n) {
    uint64_t wide = crc;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    while (n--)
        crc = _mm_crc32_u8(crc, (unsigned char)*p++);
    return crc;
}
#else
static uint32_t crc32c(uint32_t crc, const char *p, size_t n) {
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = (c >> 1) ^ (c & 1 ? 0x82f63b78u : 0);
            table[i] = c;
        }
    while (n--)
        crc = table[(crc ^ (unsigned char)*p++) & 255] ^ (crc >> 8);
    return crc;
}
#endif

typedef struct {
    char *data;
    size_t len, cap;
} buffer_t;

/* Room for n more bytes at the end; the caller adds to len what it wrote. */
static char *buffer_room(buffer_t *b, size_t n) {
    if (b->len + n > b->cap) {
        size_t cap = b->cap ? b->cap : 1024;
        while (cap < b->len + n)
            cap *= 2;
        b->data = realloc(b->data, cap);
        if (!b->data) {
            perror("realloc");
            exit(1);
        }
        b->cap = cap;
    }
    return b->data + b->len;
}

static void buffer_add(buffer_t *b, const char *p, size_t n) {
    memcpy(buffer_room(b, n), p, n);
    b->len += n;
}

#define buffer_text(b, literal) buffer_add(b, literal, sizeof(literal) - 1)

static void buffer_free(buffer_t *b) {
    free(b->data);
    *b = (buffer_t){0};
}

/* All descriptors we may have, no death by SIGPIPE, no life after the one who started us. */
static void settle_in(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

#endif
