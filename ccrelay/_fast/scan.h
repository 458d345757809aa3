/* Skipping JSON values without decoding them. Used by json.pyx only. */
#ifndef CCRELAY_SCAN_H
#define CCRELAY_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* Nesting levels below the document's object. RFC 8259 section 9 allows a parser to set a limit. */
enum { SCAN_DEPTH_MAX = 9999 };

/* Position inside a nested value: the state carried from one piece to the next. */
typedef struct {
    int depth;     /* containers open, the value's own included; 0: the value is over */
    int in_string;
    int escaped;   /* in a string: the next byte is escaped */
    int bad;       /* too deep, or a backslash outside a string */
    /* Commas and opening brackets outside of strings, at all levels: as many as there are items and
       members, or more by the number of empty containers. Added to. */
    int64_t elements;
} ScanNested;

/* Skips a string whose opening quote has been consumed. Returns the offset behind the closing quote
   and sets *closed; without one in sight n, and *escaped tells how to read the next byte. */
ptrdiff_t scan_string(const char *p, ptrdiff_t n, int *escaped, int *closed);

/* Skips an object or array whose opening bracket has been consumed (depth 1). Returns the offset
   behind the bracket that closes it (depth 0), that of the offending byte (bad), or n: go on. */
ptrdiff_t scan_nested(ScanNested *s, const char *p, ptrdiff_t n);

/* Turns vector code on or off; results are equal. Returns whether it is used. */
int scan_use_simd(int wanted);
int scan_has_simd(void);

#endif
