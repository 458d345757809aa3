/* Values of msgpack, written into a buffer that has room for them.
 *
 * Integers take one of four forms; a text has less than 64 KiB. Inlined: a call would cost
 * more than what it writes. */
#ifndef CCRELAY_MSGPACK_H
#define CCRELAY_MSGPACK_H

#include <stdint.h>
#include <string.h>

#define INT_BYTES 9
#define TEXT_HEAD 3
#define CC_INLINE static inline __attribute__((always_inline))

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define cc_big32(v) (v)
#define cc_big64(v) (v)
#else
#define cc_big32(v) __builtin_bswap32(v)
#define cc_big64(v) __builtin_bswap64(v)
#endif

CC_INLINE unsigned char *put_hash(unsigned char *p, uint64_t value)
{
    if (value < 0x80) {
        p[0] = (unsigned char)value;
        return p + 1;
    }
    if (value < 0x100000000) {
        uint32_t big = cc_big32((uint32_t)value);
        p[0] = 0xCE;
        memcpy(p + 1, &big, 4);
        return p + 5;
    }
    value = cc_big64(value);
    p[0] = 0xCF;
    memcpy(p + 1, &value, 8);
    return p + 9;
}

CC_INLINE unsigned char *put_int(unsigned char *p, int64_t value)
{
    uint64_t big;
    if (value >= 0)
        return put_hash(p, (uint64_t)value);
    if (value >= -32) {
        p[0] = (unsigned char)(value & 0xFF);
        return p + 1;
    }
    big = cc_big64((uint64_t)value);
    p[0] = 0xD3;
    memcpy(p + 1, &big, 8);
    return p + 9;
}

CC_INLINE unsigned char *put_real(unsigned char *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    bits = cc_big64(bits);
    p[0] = 0xCB;
    memcpy(p + 1, &bits, 8);
    return p + 9;
}

CC_INLINE unsigned char *put_text(unsigned char *p, const char *text, Py_ssize_t n)
{
    if (n < 32) {
        p[0] = (unsigned char)(0xA0 | n);
        p += 1;
    } else if (n < 256) {
        p[0] = 0xD9;
        p[1] = (unsigned char)n;
        p += 2;
    } else {
        p[0] = 0xDA;
        p[1] = (unsigned char)(n >> 8);
        p[2] = (unsigned char)(n & 0xFF);
        p += 3;
    }
    if (n)
        memcpy(p, text, (size_t)n);
    return p + n;
}

#endif
