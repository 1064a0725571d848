/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_NUMBER_H
#define RTH_FORMATS_NUMBER_H

/*
 * Numbers as text, without printf: its floating point reads the host's locale (a comma for the
 * point, a race with setlocale) and may allocate. Doubles get the fewest digits that read back as
 * the same double. Signal-safe, no state.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_NUMBER_BYTES 32

/* All NUL-terminate and return the length. */
size_t rth__number_uint(uint64_t value, char ret_text[RTH_NUMBER_BYTES]);
size_t rth__number_int(int64_t value, char ret_text[RTH_NUMBER_BYTES]);
/* As Go's encoding/json writes it: exponent below 1e-6 and from 1e21 on. value must be finite. */
size_t rth__number_double_json(double value, char ret_text[RTH_NUMBER_BYTES]);
/* As Go's strconv 'g' with the shortest precision, which client_golang prints: exponent below 1e-4
 * and from 1e6 on, as "1e+06"; "NaN", "+Inf", "-Inf". */
size_t rth__number_double_go(double value, char ret_text[RTH_NUMBER_BYTES]);

#endif /* RTH_FORMATS_NUMBER_H */
