/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_AMOUNT_H
#define RTH_TOOLS_PROFILE_AMOUNT_H

/* Arithmetic of values that a file made up: it ends at the limits instead of wrapping. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

static inline int64_t amount_add(int64_t left, int64_t right)
{
    int64_t sum;
    if (__builtin_add_overflow(left, right, &sum))
        return left < 0 ? INT64_MIN + 1 : INT64_MAX;
    return sum;
}

static inline int64_t amount_subtract(int64_t left, int64_t right)
{
    int64_t difference;
    if (__builtin_sub_overflow(left, right, &difference))
        return left < 0 ? INT64_MIN + 1 : INT64_MAX;
    return difference;
}

static inline int64_t amount_magnitude(int64_t value)
{
    return value == INT64_MIN ? INT64_MAX : llabs(value);
}

static inline int64_t amount_scaled(int64_t value, double factor)
{
    if (factor == 1)
        return value;
    double product = (double)value * factor;
    if (product >= 0x1p63)
        return INT64_MAX;
    if (product <= -0x1p63)
        return INT64_MIN + 1;
    return llround(product);
}

static inline double amount_share(int64_t value, int64_t total)
{
    return total != 0 ? (double)value / (double)total : 0;
}

#endif /* RTH_TOOLS_PROFILE_AMOUNT_H */
