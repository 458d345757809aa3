/* Arithmetic of AWS's event-stream frames: CRC-32, base64, and the members of the JSON inside. Used
   by eventstream.pyx only. */
#ifndef CCRELAY_FRAMES_H
#define CCRELAY_FRAMES_H

#include <stddef.h>
#include <stdint.h>

/* Fills the tables; once, before anything else. */
void frames_begin(void);

/* Turns vector code on or off; results are equal. Returns whether it is used. */
int frames_use_simd(int wanted);

/* CRC-32 as in IEEE 802.3 of n bytes behind those that gave `crc`; 0 at first. */
uint32_t frames_crc(uint32_t crc, const char *p, size_t n);

/* Base64 (RFC 4648 section 4), padding optional. Writes at most 3 bytes for 4; returns how many, or
   -1: not base64. */
ptrdiff_t frames_unbase64(char *out, const char *p, ptrdiff_t n);

/* With padding: writes 4 bytes for each 3 begun, and returns how many. */
ptrdiff_t frames_base64(char *out, const char *p, ptrdiff_t n);

typedef struct {
    const char *name; /* between the quotes, escapes as they stand */
    ptrdiff_t name_len;
    const char *value;
    ptrdiff_t value_len;
} FrameMember;

/* The next member of a JSON object; `p` is behind its opening bracket, or behind a value. Returns
   where it goes on behind the value, or NULL: no further one, `*whole` tells whether the object ended
   there. Values are skipped by brackets and quotes; nothing else of them is checked. */
const char *frames_member(const char *p, const char *end, FrameMember *m, int *whole);

/* The first place of a text; NULL: none. */
const char *frames_find(const char *p, ptrdiff_t n, const char *text, ptrdiff_t len);

#endif
