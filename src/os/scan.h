/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_SCAN_H
#define RTH_OS_SCAN_H

/*
 * A cursor over kernel text: numbers without locale and errno, every step bounded by the end. Each
 * step returns false, and may have moved the cursor, when the text is not as asked for.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rth_scan {
    const char *at;
    const char *end;
};

static inline bool rth__scan_char(struct rth_scan *scan, char wanted)
{
    if (scan->at == scan->end || *scan->at != wanted)
        return false;
    scan->at++;
    return true;
}

static inline bool rth__scan_text(struct rth_scan *scan, const char *wanted)
{
    size_t size_bytes = strlen(wanted);

    if ((size_t)(scan->end - scan->at) < size_bytes || memcmp(scan->at, wanted, size_bytes) != 0)
        return false;
    scan->at += size_bytes;
    return true;
}

static inline void rth__scan_blanks(struct rth_scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || *scan->at == '\t'))
        scan->at++;
}

static inline bool rth__scan_at_end(const struct rth_scan *scan)
{
    return scan->at == scan->end;
}

/* At least one digit of base 8, 10 or 16; false as well when the value exceeds limit. */
static inline bool rth__scan_uint(struct rth_scan *scan, unsigned base, uint64_t limit,
                                  uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *first = scan->at;

    for (; scan->at < scan->end; scan->at++) {
        char c = *scan->at;
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;

        if (digit >= base)
            break;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    if (scan->at == first || value > limit)
        return false;
    *ret_value = value;
    return true;
}

static inline bool rth__scan_int64(struct rth_scan *scan, int64_t *ret_value)
{
    bool negative = rth__scan_char(scan, '-');
    uint64_t magnitude;

    if (!rth__scan_uint(scan, 10, (uint64_t)INT64_MAX + negative, &magnitude))
        return false;
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/* A pid and the like: 0 … INT32_MAX. */
static inline bool rth__scan_id(struct rth_scan *scan, int *ret_id)
{
    uint64_t value;

    if (!rth__scan_uint(scan, 10, INT32_MAX, &value))
        return false;
    *ret_id = (int)value;
    return true;
}

/* The next line without its newline, which must be there: a text that ends without one was cut. */
static inline bool rth__scan_line(struct rth_scan *scan, struct rth_scan *ret_line)
{
    size_t left_bytes = (size_t)(scan->end - scan->at);
    const char *newline = left_bytes > 0 ? memchr(scan->at, '\n', left_bytes) : NULL;

    if (!newline)
        return false;
    ret_line->at = scan->at;
    ret_line->end = newline;
    scan->at = newline + 1;
    return true;
}

#endif /* RTH_OS_SCAN_H */
