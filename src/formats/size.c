/* SPDX-License-Identifier: MIT */
#include "formats/size.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

int rth__size_parse(const char *text, int64_t *ret_bytes)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"B", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return -EINVAL;
    int64_t number = 0;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, text[i] - '0', &number))
            return -ERANGE;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].name) != 0)
            continue;
        int64_t bytes;
        if (__builtin_mul_overflow(number, INT64_C(1) << units[i].shift, &bytes))
            return -ERANGE;
        *ret_bytes = bytes;
        return 0;
    }
    return -EINVAL;
}
