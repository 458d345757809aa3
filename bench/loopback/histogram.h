/* histogram.h - log-linear histogram of nanoseconds, error below 0.8 % (part of loadgen.c). */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define STEPS 128 /* per power of two */
#define BUCKETS (64 * STEPS)

typedef struct {
    uint64_t bucket[BUCKETS], n;
    int64_t max;
} histogram_t;

static void histogram_add(histogram_t *h, int64_t ns) {
    int ix;
    if (ns < 0)
        ns = 0;
    if (ns < STEPS) {
        ix = ns;
    } else {
        int shift = 63 - __builtin_clzll(ns) - 7;
        ix = (shift + 1) * STEPS + (int)((ns >> shift) - STEPS);
    }
    h->bucket[ix]++;
    h->n++;
    if (ns > h->max)
        h->max = ns;
}

/* The middle of the bucket that holds quantile q, ns; 0 when there is nothing. */
static double histogram_quantile(const histogram_t *h, double q) {
    uint64_t want = (uint64_t)ceil(q * h->n), seen = 0;
    if (!h->n)
        return 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen < want || !seen)
            continue;
        if (i < STEPS)
            return i;
        int shift = i / STEPS - 1;
        double low = (double)((uint64_t)(i % STEPS + STEPS) << shift);
        double middle = low + (double)(1ULL << shift) / 2;
        return middle > h->max ? h->max : middle;
    }
    return h->max;
}

static void histogram_json(const char *name, const histogram_t *h) {
    printf("\"%s\":{\"n\":%lu,\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"max\":%.2f},",
            name, (unsigned long)h->n, histogram_quantile(h, .5) / 1e3,
            histogram_quantile(h, .9) / 1e3, histogram_quantile(h, .99) / 1e3,
            histogram_quantile(h, .999) / 1e3, h->max / 1e3);
}

#endif
