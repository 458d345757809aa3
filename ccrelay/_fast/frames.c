/* Arithmetic of AWS's event-stream frames. A content event has some 350 bytes, all of which go
   through the check sum and most through base64. The vector code takes 16 bytes at a time: the sum
   by carry-less multiplications (Gopal and others, "Fast CRC Computation for Generic Polynomials
   Using PCLMULQDQ", 2009), base64 by look-ups in registers (Mula, Lemire: "Faster Base64 Encoding
   and Decoding Using AVX2 Instructions", 2018). */

#include "frames.h"

#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FRAMES_X86 1
#include <immintrin.h>
/* Per function: all other code must run on every processor of the architecture. */
#define VECTOR __attribute__((target("sse4.1,pclmul")))
#endif

static int simd;

static uint32_t crc_table[8][256];
/* Sextets shifted to where they belong in three bytes, and a bit that says: not base64. */
static uint32_t sextets[4][256];
static const uint32_t FOREIGN = UINT32_C(1) << 31;
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int frames_use_simd(int wanted)
{
#ifdef FRAMES_X86
    simd = wanted && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("pclmul");
#else
    (void)wanted;
#endif
    return simd;
}

void frames_begin(void)
{
    frames_use_simd(1);
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ UINT32_C(0xEDB88320) : crc >> 1;
        crc_table[0][byte] = crc;
        for (int place = 0; place < 4; place++)
            sextets[place][byte] = FOREIGN;
    }
    for (int more = 1; more < 8; more++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = crc_table[more - 1][byte];
            crc_table[more][byte] = crc_table[0][before & 255] ^ before >> 8;
        }
    for (uint32_t value = 0; value < 64; value++)
        for (int place = 0; place < 4; place++)
            sextets[place][(uint8_t)letters[value]] = value << (18 - 6 * place);
}

static inline uint32_t little_endian(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#ifdef FRAMES_X86
/* x^k modulo the polynomial, bits reflected, for the distances below; the last pair is the quotient
   for Barrett's reduction, and the polynomial. */
#define PAIR(high, low) _mm_set_epi64x(INT64_C(high), INT64_C(low))

VECTOR static inline __m128i fold(__m128i sum, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(sum, by, 0x00);
    __m128i high = _mm_clmulepi64_si128(sum, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

VECTOR static inline __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* The sum, inverted, over n bytes: at least 64, and a multiple of 16. */
VECTOR static uint32_t crc_vector(uint32_t crc, const uint8_t *p, size_t n)
{
    const __m128i by_64 = PAIR(0x1c6e41596, 0x154442bd4), by_16 = PAIR(0x0ccaa009e, 0x1751997d0);
    const __m128i by_8 = PAIR(0, 0x163cd6124), barrett = PAIR(0x1f7011641, 0x1db710641);
    const __m128i words = _mm_setr_epi32(-1, 0, -1, 0);
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)crc)), b = load(p + 16);
    __m128i c = load(p + 32), d = load(p + 48), t;
    for (p += 64, n -= 64; n >= 64; p += 64, n -= 64) {
        a = fold(a, by_64, load(p));
        b = fold(b, by_64, load(p + 16));
        c = fold(c, by_64, load(p + 32));
        d = fold(d, by_64, load(p + 48));
    }
    a = fold(fold(fold(a, by_16, b), by_16, c), by_16, d);
    for (; n >= 16; p += 16, n -= 16)
        a = fold(a, by_16, load(p));
    a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_16, 0x10));
    t = _mm_srli_si128(a, 4);
    a = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(a, words), by_8, 0x00), t);
    t = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, words), barrett, 0x10), words);
    a = _mm_xor_si128(a, _mm_clmulepi64_si128(t, barrett, 0x00));
    return (uint32_t)_mm_extract_epi32(a, 1);
}

/* Decodes 16 letters at a time; returns how many. Writes 4 bytes more than it decodes, which are
   within what the rest becomes. It stops before what is no letter. */
VECTOR static ptrdiff_t unbase64_vector(char *out, const uint8_t *p, ptrdiff_t n)
{
    const __m128i low_set = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                          0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A);
    const __m128i high_set = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
                                           0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    const __m128i shifts = _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i pack = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m128i nibble = _mm_set1_epi8(0x0F), slash = _mm_set1_epi8('/');
    ptrdiff_t done = 0;
    for (; n - done >= 24; done += 16, out += 12) {
        __m128i in = load(p + done);
        __m128i high = _mm_and_si128(_mm_srli_epi32(in, 4), nibble);
        __m128i foreign = _mm_and_si128(_mm_shuffle_epi8(low_set, _mm_and_si128(in, nibble)),
                                        _mm_shuffle_epi8(high_set, high));
        if (!_mm_testz_si128(foreign, foreign))
            break;
        high = _mm_add_epi8(_mm_cmpeq_epi8(in, slash), high);
        in = _mm_add_epi8(in, _mm_shuffle_epi8(shifts, high));
        in = _mm_maddubs_epi16(in, _mm_set1_epi32(0x01400140));
        in = _mm_madd_epi16(in, _mm_set1_epi32(0x00011000));
        _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(in, pack));
    }
    return done;
}
#endif

uint32_t frames_crc(uint32_t crc, const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    crc = ~crc;
#ifdef FRAMES_X86
    if (simd && n >= 64) {
        crc = crc_vector(crc, p, n & ~(size_t)15);
        p += n & ~(size_t)15;
        n &= 15;
    }
#endif
    for (; n >= 8; p += 8, n -= 8) { /* "slicing by 8" (Kounavis, Berry, 2005) */
        uint32_t low = crc ^ little_endian(p), high = little_endian(p + 4);
        crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255]
            ^ crc_table[4][low >> 24] ^ crc_table[3][high & 255] ^ crc_table[2][high >> 8 & 255]
            ^ crc_table[1][high >> 16 & 255] ^ crc_table[0][high >> 24];
    }
    for (; n; p++, n--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
    return ~crc;
}

static inline uint32_t quartet(const uint8_t *p)
{
    return sextets[0][p[0]] | sextets[1][p[1]] | sextets[2][p[2]] | sextets[3][p[3]];
}

ptrdiff_t frames_unbase64(char *out, const char *text, ptrdiff_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    char *at = out;
    uint32_t bits, seen = 0;
    if (n && n % 4 == 0 && p[n - 1] == '=')
        n -= p[n - 2] == '=' ? 2 : 1;
    if (n % 4 == 1)
        return -1;
#ifdef FRAMES_X86
    if (simd) {
        ptrdiff_t done = unbase64_vector(at, p, n);
        p += done;
        n -= done;
        at += done / 4 * 3;
    }
#endif
    for (; n >= 4; p += 4, n -= 4) {
        bits = quartet(p);
        seen |= bits;
        *at++ = (char)(bits >> 16);
        *at++ = (char)(bits >> 8);
        *at++ = (char)bits;
    }
    if (n) {
        const uint8_t rest[4] = {p[0], p[1], n == 3 ? p[2] : 'A', 'A'};
        bits = quartet(rest);
        seen |= bits;
        *at++ = (char)(bits >> 16);
        if (n == 3)
            *at++ = (char)(bits >> 8);
    }
    return seen & FOREIGN ? -1 : at - out;
}

ptrdiff_t frames_base64(char *out, const char *text, ptrdiff_t n)
{
    const uint8_t *p = (const uint8_t *)text;
    char *at = out;
    for (; n > 0; p += 3, n -= 3) {
        uint32_t bits = (uint32_t)p[0] << 16;
        if (n > 1)
            bits |= (uint32_t)p[1] << 8;
        if (n > 2)
            bits |= p[2];
        *at++ = letters[bits >> 18];
        *at++ = letters[bits >> 12 & 63];
        *at++ = n > 1 ? letters[bits >> 6 & 63] : '=';
        *at++ = n > 2 ? letters[bits & 63] : '=';
    }
    return at - out;
}

static const char *behind_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Behind the closing quote; `p` is behind the opening one. NULL: it does not end. */
static const char *behind_string(const char *p, const char *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    return p < end ? p + 1 : NULL;
}

/* Behind a value, which begins at `p`. NULL: it does not end. */
static const char *behind_value(const char *p, const char *end)
{
    ptrdiff_t depth = 0;
    const char *begin = p;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            p = behind_string(p + 1, end);
            if (!p)
                return NULL;
        } else if (c == '{' || c == '[') {
            depth++;
            p++;
            continue;
        } else if (c == '}' || c == ']') {
            if (!depth)
                return p == begin ? NULL : p;
            depth--;
            p++;
        } else if (!depth && (c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            return p == begin ? NULL : p;
        } else {
            p++;
            continue;
        }
        if (!depth)
            return p;
    }
    return NULL;
}

const char *frames_member(const char *p, const char *end, FrameMember *m, int *whole)
{
    *whole = 0;
    p = behind_space(p, end);
    if (p < end && *p == ',')
        p = behind_space(p + 1, end);
    if (p == end || *p != '"') {
        *whole = p < end && *p == '}';
        return NULL;
    }
    m->name = p + 1;
    p = behind_string(p + 1, end);
    if (!p)
        return NULL;
    m->name_len = p - 1 - m->name;
    p = behind_space(p, end);
    if (p == end || *p != ':')
        return NULL;
    m->value = behind_space(p + 1, end);
    p = behind_value(m->value, end);
    if (p)
        m->value_len = p - m->value;
    return p;
}

const char *frames_find(const char *p, ptrdiff_t n, const char *text, ptrdiff_t len)
{
    const char *end = p + n - len;
    while (p <= end) {
        p = memchr(p, text[0], (size_t)(end - p + 1));
        if (!p)
            return NULL;
        if (memcmp(p, text, (size_t)len) == 0)
            return p;
        p++;
    }
    return NULL;
}
