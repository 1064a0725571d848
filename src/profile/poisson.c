/* SPDX-License-Identifier: MIT */
/*
 * Logarithm and exponential are our own, since nothing but libc may be needed at run time and libm
 * is another library; both are series that converge to double precision on the small range that is
 * left after the exponent is taken apart.
 */
#include "profile/poisson.h"

#include <string.h>

#include "os/rawsys.h"

#define LN2 0.693147180559945309417232121458
/* Beyond that many bytes nobody notices: gaps stay below what a counter of 64 bits can reach. */
#define GAP_MAX ((uint64_t)1 << 56)

static uint64_t seed(const struct rth_poisson *poisson)
{
    return ((uint64_t)(uintptr_t)poisson ^ (uint64_t)rth__raw_gettid_sigsafe() << 40) *
               UINT64_C(0x9e3779b97f4a7c15) |
           1;
}

/* xorshift64*: period 2^64 - 1, the upper bits are the good ones. */
static uint64_t next_random(struct rth_poisson *poisson)
{
    uint64_t x = poisson->state != 0 ? poisson->state : seed(poisson);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    poisson->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Of 1 … 2^63: ln = exponent * ln 2 + 2 atanh((m - 1) / (m + 1)). */
static double natural_log(uint64_t value)
{
    int exponent = 63 - __builtin_clzll(value);
    double mantissa = (double)value / (double)(UINT64_C(1) << exponent); /* [1, 2) */
    if (mantissa > 1.4142135623730951) {
        mantissa *= 0.5;
        exponent++;
    }
    double t = (mantissa - 1.0) / (mantissa + 1.0), square = t * t; /* |t| < 0.172 */
    double sum = 0.0;
    for (int k = 17; k >= 1; k -= 2)
        sum = sum * square + 1.0 / k;
    return exponent * LN2 + 2.0 * t * sum;
}

uint64_t rth__poisson_gap(struct rth_poisson *poisson, uint64_t interval_bytes)
{
    if (interval_bytes <= 1)
        return 0;
    uint64_t random = next_random(poisson) >> 11; /* 53 bits: (0, 1] in steps of 2^-53 */
    double gap = (53 * LN2 - natural_log(random + 1)) * (double)interval_bytes;
    if (gap >= (double)GAP_MAX)
        return GAP_MAX;
    uint64_t bytes = (uint64_t)gap;
    return (double)bytes < gap || bytes == 0 ? bytes + 1 : bytes; /* rounded up */
}

/* 1 - exp(-x) for x > 0. */
static double one_minus_exp(double x)
{
    if (x > 40.0)
        return 1.0;
    if (x < 0.5) { /* the series itself, so that small x keep their digits */
        double sum = 0.0;
        for (int k = 12; k >= 1; k--)
            sum = (1.0 - sum) * x / k;
        return sum;
    }
    /* exp(-x) = exp(-x / 2^k)^(2^k) with the series for the small one. */
    int halvings = 0;
    double small = x;
    for (; small > 0.25; small *= 0.5)
        halvings++;
    double power = 1.0;
    for (int k = 12; k >= 1; k--)
        power = 1.0 - power * small / k;
    while (halvings-- > 0)
        power *= power;
    return 1.0 - power;
}

double rth__poisson_weight(uint64_t size_bytes, uint64_t interval_bytes)
{
    if (interval_bytes <= 1 || size_bytes == 0)
        return 1.0;
    return 1.0 / one_minus_exp((double)size_bytes / (double)interval_bytes);
}
