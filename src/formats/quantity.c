/* SPDX-License-Identifier: MIT */
#include "formats/quantity.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "formats/budget.h"
#include "formats/size.h"

#define NUMBER_BYTES 32

/* Splits the number off; returns what follows it, NULL when it is too long or none. */
static const char *split(const char *text, char ret_number[NUMBER_BYTES])
{
    size_t length = strspn(text, "0123456789.");
    if (length == 0 || length >= NUMBER_BYTES)
        return NULL;
    memcpy(ret_number, text, length);
    ret_number[length] = '\0';
    return text + length;
}

int rth__quantity_bytes_parse(const char *text, int64_t *ret_bytes)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1},
                 {"k", 1e3},
                 {"M", 1e6},
                 {"G", 1e9},
                 {"T", 1e12},
                 {"Ki", 1024},
                 {"Mi", 1024.0 * 1024},
                 {"Gi", 1024.0 * 1024 * 1024},
                 {"Ti", 1024.0 * 1024 * 1024 * 1024}};
    if (rth__size_parse(text, ret_bytes) == 0)
        return 0; /* exact, where it can be */
    char number_text[NUMBER_BYTES];
    const char *unit = split(text, number_text);
    if (unit == NULL)
        return -EINVAL;
    double number;
    int error = rth__budget_decimal_parse(number_text, &number);
    if (error != 0)
        return error;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        double bytes = number * units[i].factor;
        if (bytes >= 9e18)
            return -ERANGE;
        *ret_bytes = (int64_t)bytes;
        return 0;
    }
    return -EINVAL;
}

int rth__quantity_cpus_parse(const char *text, double *ret_cpus)
{
    char number_text[NUMBER_BYTES];
    const char *unit = split(text, number_text);
    if (unit == NULL || (unit[0] != '\0' && strcmp(unit, "m") != 0))
        return -EINVAL;
    double number;
    int error = rth__budget_decimal_parse(number_text, &number);
    if (error != 0)
        return error;
    *ret_cpus = unit[0] == 'm' ? number / 1000 : number;
    return 0;
}
