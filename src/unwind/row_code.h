/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_ROW_CODE_H
#define RTH_UNWIND_ROW_CODE_H

/*
 * The bytes of a block: a head that leads to a row about half-way, then the number of the first
 * row's rule, then a distance and a number for each further row, to the end of the block or a
 * distance of 0.
 * Head: where the number of the half-way row's rule stands (0: no such row), and how far its pc is
 * from the block's, in 16 bits.
 * Distance: 1 … 127 in one byte, to 32767 in two (0x80 | high, low). Rule: 0 … 239 in one byte, to
 * RTH_RULES_MAX - 1 in two (0xf0 | high, low, of the number - 240).
 */

#include <stdint.h>

#define ROW_HEAD_BYTES     3u
#define ROW_DISTANCE_SHORT 0x80u
#define ROW_DISTANCE_LIMIT 0x8000u
#define ROW_RULE_SHORT     0xf0u

static inline uint32_t row_distance_read(const uint8_t **at)
{
    uint32_t value = *(*at)++;
    if (value >= ROW_DISTANCE_SHORT)
        value = (value & 0x7f) << 8 | *(*at)++;
    return value;
}

static inline uint32_t row_rule_read(const uint8_t **at)
{
    uint32_t value = *(*at)++;
    if (value >= ROW_RULE_SHORT)
        value = ((value & 0x0f) << 8 | *(*at)++) + ROW_RULE_SHORT;
    return value;
}

#endif /* RTH_UNWIND_ROW_CODE_H */
