/* Skips JSON values without decoding them; most of the cost of a large body is here.

   Only quotes, backslashes, brackets and commas (which are counted) matter. The vector code takes 64 bytes at a time, as
   simdjson does (Langdale, Lemire: "Parsing Gigabytes of JSON per Second", 2019): one bit per byte,
   the extent of strings by a carry-less multiplication, and, as long as the value cannot end inside
   the block, the depth by counting bits. Both versions share one state and can alternate at any
   byte. */

#include "scan.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SCAN_X86 1
#include <immintrin.h>
/* Per function: all other code must run on every processor of the architecture. */
#define VECTOR __attribute__((target("avx2,pclmul,popcnt")))
#endif

enum { PLAIN = 0, QUOTE, OPEN, CLOSE, BACKSLASH, COMMA };

static const uint8_t kinds[256] = {
    ['"'] = QUOTE, ['['] = OPEN, ['{'] = OPEN, [']'] = CLOSE, ['}'] = CLOSE, ['\\'] = BACKSLASH,
    [','] = COMMA,
};

ptrdiff_t scan_string(const char *p, ptrdiff_t n, int *escaped, int *closed)
{
    ptrdiff_t from = 0; /* all bytes before it have been checked */
    int carry = *escaped;
    while (from < n) {
        const char *quote = memchr(p + from, '"', (size_t)(n - from));
        ptrdiff_t end = quote ? quote - p : n;
        /* An odd number of backslashes before the quote escapes it. Each is checked once. */
        ptrdiff_t run = end;
        while (run > from && p[run - 1] == '\\')
            run--;
        ptrdiff_t count = end - run;
        /* Skip an escaped first byte; it may be the quote itself. */
        if (run == from && carry)
            count += count ? -1 : 1;
        carry = 0;
        if (!quote) {
            *escaped = (int)(count & 1);
            *closed = 0;
            return n;
        }
        from = end + 1;
        if (!(count & 1)) {
            *escaped = 0;
            *closed = 1;
            return from;
        }
    }
    *escaped = carry;
    *closed = 0;
    return n;
}

static ptrdiff_t nested_portable(ScanNested *s, const char *p, ptrdiff_t n)
{
    ptrdiff_t i = 0;
    int depth = s->depth;
    while (i < n) {
        if (s->in_string) {
            int closed;
            i += scan_string(p + i, n - i, &s->escaped, &closed);
            s->in_string = !closed;
            continue;
        }
        while (i < n && kinds[(uint8_t)p[i]] == PLAIN)
            i++;
        if (i == n)
            break;
        int kind = kinds[(uint8_t)p[i]];
        if (kind == QUOTE) {
            s->in_string = 1;
        } else if (kind == COMMA) {
            s->elements++;
        } else if (kind == CLOSE) {
            if (--depth == 0) {
                i++;
                break;
            }
        } else if (kind == BACKSLASH || depth == SCAN_DEPTH_MAX) {
            s->bad = 1;
            break;
        } else {
            depth++;
            s->elements++;
        }
        i++;
    }
    s->depth = depth;
    return i;
}

#ifdef SCAN_X86

VECTOR static inline uint64_t equal(__m256i low, __m256i high, char byte)
{
    __m256i wanted = _mm256_set1_epi8(byte);
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted));
    uint32_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted));
    return (uint64_t)b << 32 | a;
}

/* Bits of the escaped bytes. *carry: the block's first byte is escaped; then, the next block's. */
static inline uint64_t escaped_bytes(uint64_t backslashes, uint64_t *carry)
{
    const uint64_t odd = 0xAAAAAAAAAAAAAAAAull;
    uint64_t first = *carry;
    uint64_t starts = backslashes & ~first; /* what may escape: not escaped by the block before */
    /* Subtracting lets a borrow run along each run of backslashes; the parity of its start tells
       every second one (simdjson, json_escape_scanner.h). */
    uint64_t series = (((starts << 1) | odd) - starts) ^ odd;
    *carry = (series & backslashes) >> 63;
    return series ^ (backslashes | first);
}

/* Every bit set from an odd set bit up to the next one: quotes to the inside of strings. */
VECTOR static inline uint64_t prefix_xor(uint64_t bits)
{
    __m128i ones = _mm_set1_epi8('\xFF');
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (long long)bits), ones, 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* One block's brackets in order, for when the value may end, or go wrong, inside it. Returns the
   offset behind the end or of the offending byte, -1: the value goes on behind the block. */
static int walk_block(ScanNested *s, uint64_t open, uint64_t close, uint64_t stray)
{
    uint64_t events = open | close | stray;
    while (events) {
        uint64_t bit = events & (0 - events);
        events ^= bit;
        if (bit & close) {
            if (--s->depth == 0)
                return __builtin_ctzll(bit) + 1;
        } else if ((bit & stray) || s->depth == SCAN_DEPTH_MAX) {
            s->bad = 1;
            return __builtin_ctzll(bit);
        } else {
            s->depth++;
        }
    }
    return -1;
}

VECTOR static ptrdiff_t nested_vector(ScanNested *s, const char *p, ptrdiff_t n)
{
    const __m256i lower = _mm256_set1_epi8(0x20);
    uint64_t inside = s->in_string ? ~0ull : 0; /* all ones: the block before ended in a string */
    uint64_t carry = (uint64_t)s->escaped;
    ptrdiff_t i = 0;
    for (; n - i >= 64; i += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)(p + i));
        __m256i high = _mm256_loadu_si256((const __m256i *)(p + i + 32));
        uint64_t backslashes = equal(low, high, '\\');
        uint64_t quotes = equal(low, high, '"');
        if (backslashes | carry)
            quotes &= ~escaped_bytes(backslashes, &carry);
        if (quotes == 0 && inside)
            continue;
        uint64_t strings = prefix_xor(quotes) ^ inside;
        uint64_t stray = backslashes & ~strings;
        uint64_t commas = equal(low, high, ',') & ~strings;
        inside = 0 - (strings >> 63);
        /* 0x5B '[' and 0x7B '{' differ in 0x20 only, and so do the closing ones. */
        low = _mm256_or_si256(low, lower);
        high = _mm256_or_si256(high, lower);
        uint64_t open = equal(low, high, '{') & ~strings;
        uint64_t close = equal(low, high, '}') & ~strings;
        int opens = __builtin_popcountll(open);
        int closes = __builtin_popcountll(close);
        if (stray == 0 && s->depth > closes && s->depth + opens <= SCAN_DEPTH_MAX) {
            s->depth += opens - closes;
            s->elements += opens + __builtin_popcountll(commas);
            continue;
        }
        int end = walk_block(s, open, close, stray);
        if (end >= 0 && end < 64) { /* what is behind the end does not count */
            uint64_t before = (1ull << end) - 1;
            open &= before;
            commas &= before;
        }
        s->elements += __builtin_popcountll(open) + __builtin_popcountll(commas);
        if (end >= 0) {
            s->in_string = 0;
            s->escaped = 0;
            return i + end;
        }
    }
    s->in_string = inside != 0;
    s->escaped = (int)carry;
    return i + nested_portable(s, p + i, n - i); /* less than a block is left */
}

#endif

/* Set at import and by tests, never during a scan. */
static ptrdiff_t (*nested)(ScanNested *, const char *, ptrdiff_t) = nested_portable;

ptrdiff_t scan_nested(ScanNested *s, const char *p, ptrdiff_t n)
{
    return nested(s, p, n);
}

int scan_has_simd(void)
{
    return nested != nested_portable;
}

int scan_use_simd(int wanted)
{
    nested = nested_portable;
#ifdef SCAN_X86
    __builtin_cpu_init();
    if (wanted && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul")
        && __builtin_cpu_supports("popcnt"))
        nested = nested_vector;
#else
    (void)wanted;
#endif
    return scan_has_simd();
}
