/* SPDX-License-Identifier: MIT */
#include "profile/units.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    const char *aliases[3]; /* lower case, singular */
    double factor;
};

struct family {
    struct unit units[6];
    size_t unit_count;
    size_t fallback; /* for values too small for any */
};

static const struct family families[] = {
    {.units = {{"B", {"b", "byte", ""}, 1},
               {"kB", {"kb", "kbyte", "kilobyte"}, 0x1p10},
               {"MB", {"mb", "mbyte", "megabyte"}, 0x1p20},
               {"GB", {"gb", "gbyte", "gigabyte"}, 0x1p30},
               {"TB", {"tb", "tbyte", "terabyte"}, 0x1p40},
               {"PB", {"pb", "pbyte", "petabyte"}, 0x1p50}},
     .unit_count = 6,
     .fallback = 0},
    {.units = {{"ns", {"ns", "nanosecond", ""}, 1},
               {"us", {"us", "microsecond", ""}, 1e3},
               {"ms", {"ms", "millisecond", ""}, 1e6},
               {"s", {"s", "sec", "second"}, 1e9},
               {"hrs", {"hour", "hr", ""}, 3600e9}},
     .unit_count = 5,
     .fallback = 3},
};

static const struct unit *unit_of(const struct family *family, const char *name)
{
    char singular[16];
    size_t length = strlen(name);
    if (length == 0 || length >= sizeof(singular))
        return NULL;
    for (size_t i = 0; i <= length; i++)
        singular[i] = (char)tolower((unsigned char)name[i]);
    if (length > 2 && singular[length - 1] == 's')
        singular[length - 1] = '\0';
    for (size_t i = 0; i < family->unit_count; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (strcmp(family->units[i].aliases[k], singular) == 0)
                return &family->units[i];
        }
    }
    return NULL;
}

static double scale_in(const struct family *family, double base, const char *to,
                       const char **ret_unit)
{
    const struct unit *unit = NULL;
    if (strcmp(to, UNIT_AUTO) == 0) {
        for (size_t i = 0; i < family->unit_count; i++) {
            if (fabs(base) / family->units[i].factor >= 1)
                unit = &family->units[i];
        }
    } else {
        unit = unit_of(family, to);
    }
    if (unit == NULL)
        unit = &family->units[family->fallback];
    *ret_unit = unit->name;
    return base / unit->factor;
}

double unit_scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const struct unit *unit = unit_of(&families[i], from);
        if (unit != NULL)
            return scale_in(&families[i], (double)value * unit->factor, to, ret_unit);
    }
    static const char *const plain[] = {"count", "sample", "unit", UNIT_AUTO};
    *ret_unit = to;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(to, plain[i]) == 0)
            *ret_unit = "";
    }
    return (double)value;
}

const char *unit_text(int64_t value, const char *from, const char *to, char *ret_text,
                      size_t text_size)
{
    const char *unit;
    char number[64];
    int length = snprintf(number, sizeof(number), "%.2f", unit_scale(value, from, to, &unit));
    if (length > 3 && strcmp(number + length - 3, ".00") == 0)
        number[length - 3] = '\0';
    bool zero = strcmp(number, "0") == 0 || strcmp(number, "-0") == 0;
    snprintf(ret_text, text_size, "%s%s", zero ? "0" : number, zero ? "" : unit);
    return ret_text;
}

const char *unit_for_range(int64_t smallest, int64_t largest, const char *from)
{
    const char *small_unit, *large_unit, *unit;
    (void)unit_scale(smallest, from, UNIT_AUTO, &small_unit);
    (void)unit_scale(largest, from, UNIT_AUTO, &large_unit);
    unit = small_unit;
    /* Far apart: the smallest is shown as 0.01 of a larger unit. */
    if (strcmp(small_unit, large_unit) != 0 && smallest < largest / 100)
        (void)unit_scale(100 * smallest, from, UNIT_AUTO, &unit);
    return unit[0] != '\0' ? unit : from;
}

const char *percent_text(int64_t value, int64_t total, char *ret_text, size_t text_size)
{
    double percent = total != 0 ? fabs((double)value / (double)total) * 100 : 0;
    if (percent >= 99.95 && percent <= 100.05)
        snprintf(ret_text, text_size, "  100%%");
    else
        snprintf(ret_text, text_size, percent >= 1 ? "%5.2f%%" : "%5.2g%%", percent);
    return ret_text;
}
