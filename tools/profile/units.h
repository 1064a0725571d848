/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_PROFILE_UNITS_H
#define RTH_TOOLS_PROFILE_UNITS_H

/* Values with their unit, as pprof prints them: "1.23s", "512kB", "42". */

#include <stddef.h>
#include <stdint.h>

/* Instead of a unit to print in. */
#define UNIT_AUTO "auto" /* the largest in which the value is at least 1 */

/* The value of unit from in unit to; *ret_unit is its name, "" for plain counts. */
double unit_scale(int64_t value, const char *from, const char *to, const char **ret_unit);

/* Two digits behind the point, none when both are 0. Returns ret_text. */
const char *unit_text(int64_t value, const char *from, const char *to, char *ret_text,
                      size_t text_size);

/* The unit in which both ends of a table can be read. */
const char *unit_for_range(int64_t smallest, int64_t largest, const char *from);

/* value of total, six characters and '%'. Returns ret_text. */
const char *percent_text(int64_t value, int64_t total, char *ret_text, size_t text_size);

#endif /* RTH_TOOLS_PROFILE_UNITS_H */
