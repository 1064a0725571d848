/* SPDX-License-Identifier: MIT */
#include "budget/recommend.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (7u * 86400u)
#define MILLIS_MAX  (INT64_C(1) << 40)

static int64_t up_to_step(int64_t bytes)
{
    int64_t beyond = bytes % RECOMMEND_MEMORY_STEP_BYTES;
    if (beyond == 0)
        return bytes > 0 ? bytes : RECOMMEND_MEMORY_STEP_BYTES;
    int64_t result;
    return __builtin_add_overflow(bytes, RECOMMEND_MEMORY_STEP_BYTES - beyond, &result) ? INT64_MAX
                                                                                        : result;
}

int64_t recommend_memory_limit(int64_t peak_bytes)
{
    int64_t with_reserve;
    if (peak_bytes < 0)
        return -1;
    /* The quarter is rounded up too. */
    int64_t quarter = peak_bytes / 4 + (peak_bytes % 4 != 0);
    if (__builtin_add_overflow(peak_bytes, quarter, &with_reserve))
        return INT64_MAX;
    return up_to_step(with_reserve);
}

int64_t recommend_memory_request(int64_t p95_bytes, int64_t limit_bytes)
{
    if (p95_bytes < 0)
        return -1;
    int64_t request = up_to_step(p95_bytes);
    return limit_bytes >= 0 && request > limit_bytes ? limit_bytes : request;
}

int64_t recommend_cpu_request(double p95_processors)
{
    if (!(p95_processors >= 0))
        return -1;
    /* What differs by less than a thousandth of a step is the same: 0.3 is not quite three tenths.
     */
    double steps = ceil(p95_processors * (1000.0 / RECOMMEND_CPU_STEP_MILLIS) - 1e-3);
    if (steps < 1)
        steps = 1;
    if (steps > (double)(MILLIS_MAX / RECOMMEND_CPU_STEP_MILLIS))
        return MILLIS_MAX;
    return (int64_t)steps * RECOMMEND_CPU_STEP_MILLIS;
}

static int compare(const void *left_pointer, const void *right_pointer)
{
    double left = *(const double *)left_pointer, right = *(const double *)right_pointer;
    return (left > right) - (left < right);
}

double recommend_percentile(double *values, size_t count, double share)
{
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof(*values), compare);
    double rank = ceil(share * (double)count);
    size_t index = rank < 1 ? 0 : (size_t)rank - 1;
    return values[index < count ? index : count - 1];
}

int recommend_duration_parse(const char *text, unsigned *ret_seconds)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return -EINVAL;
    uint64_t number = 0;
    for (size_t i = 0; i < digits; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
        if (number > SECONDS_MAX)
            number = SECONDS_MAX + 1;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        uint64_t seconds = number * units[i].seconds;
        if (seconds < 1 || seconds > SECONDS_MAX)
            return -ERANGE;
        *ret_seconds = (unsigned)seconds;
        return 0;
    }
    return -EINVAL;
}

void recommend_memory_quantity(int64_t bytes, char ret_text[RECOMMEND_QUANTITY_BYTES])
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti"};
    size_t unit = 0;
    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024;
        unit++;
    }
    snprintf(ret_text, RECOMMEND_QUANTITY_BYTES, "%" PRId64 "%s", bytes, units[unit]);
}

void recommend_cpu_quantity(int64_t millis, char ret_text[RECOMMEND_QUANTITY_BYTES])
{
    bool is_whole = millis % 1000 == 0;
    snprintf(ret_text, RECOMMEND_QUANTITY_BYTES, "%" PRId64 "%s", is_whole ? millis / 1000 : millis,
             is_whole ? "" : "m");
}
