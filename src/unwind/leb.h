/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_LEB_H
#define RTH_UNWIND_LEB_H

#include <stdbool.h>
#include <stdint.h>

/* A LEB128 number; moves *at behind it. False when it does not end before `end`, or has more than
 * 64 bits: the value would not be what the producer meant. */
static inline bool rth__leb_read(const uint8_t **at, const uint8_t *end, bool is_signed,
                                 uint64_t *ret_value)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        if (*at == end || shift > 63)
            return false;
        byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (is_signed && shift < 64 && (byte & 0x40))
        value |= ~UINT64_C(0) << shift;
    *ret_value = value;
    return true;
}

#endif /* RTH_UNWIND_LEB_H */
