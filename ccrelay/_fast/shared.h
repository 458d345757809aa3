/* Atomic access to the words of the shared memory: 64 bits, aligned, used by several processes. */
#ifndef CCRELAY_SHARED_H
#define CCRELAY_SHARED_H

#include <stdint.h>

static inline int64_t word_get(const int64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

static inline void word_set(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }

static inline int64_t word_add(int64_t *p, int64_t v)
{
    return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL);
}

/* Compare-and-swap. 1: swapped; 0: the word was not `old`. */
static inline int word_swap(int64_t *p, int64_t old, int64_t fresh)
{
    return __atomic_compare_exchange_n(p, &old, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif
