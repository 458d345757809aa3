/* Sums a ring of window.pxd, two words at a time. */
#ifndef CCRELAY_RING_H
#define CCRELAY_RING_H

#include <stdint.h>

enum { RING_WORDS = 128 };

/* GCC and Clang compile these to SSE2 or NEON; ring words are aligned to 8 bytes, not 16. */
typedef uint64_t ring_pair __attribute__((vector_size(16)));
typedef uint32_t ring_lanes __attribute__((vector_size(16)));
typedef ring_pair ring_words __attribute__((aligned(8), may_alias));

/* Sum of the counts in words whose upper half is in first .. first + span - 1. Each half of a
   vector load is an aligned 64-bit load, which does not tear on processors with these vectors. Four
   times as fast as a loop of atomic loads; checking a pool's keys spends most of its time here. */
static inline int64_t ring_total(const int64_t *ring, uint32_t first, uint32_t span)
{
    const ring_pair low = {UINT32_MAX, UINT32_MAX};
    const ring_lanes firsts = {first, first, first, first}, spans = {span, span, span, span};
    ring_pair total = {0, 0};
    int k;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#pragma GCC unroll 8
    for (k = 0; k < RING_WORDS; k += 2) {
        ring_pair words = *(const ring_words *)(ring + k);
        /* Shift the bucket number onto the count's lane, so that the comparison masks the count. */
        ring_lanes inside = (ring_lanes)(((ring_lanes)(words >> 32) - firsts) < spans);
        total += words & (ring_pair)inside & low;
    }
    return (int64_t)(total[0] + total[1]);
}

/* Full fence: of two workers that count and then read, at least one sees the other's count. */
static inline void ring_barrier(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

#endif
