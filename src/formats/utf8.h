/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_UTF8_H
#define RTH_FORMATS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at text, 0 when it is none (Unicode table 3-7).
 * size_bytes: what is there, at least 1. */
static inline size_t rth__utf8_length(const unsigned char *text, size_t size_bytes)
{
    unsigned char first = text[0];
    unsigned char second_min = 0x80, second_max = 0xbf;
    size_t length;
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        length = 2;
    else if ((first & 0xf0) == 0xe0)
        length = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        length = 4;
    else
        return 0;
    if (first == 0xe0)
        second_min = 0xa0;
    else if (first == 0xed)
        second_max = 0x9f; /* no surrogates */
    else if (first == 0xf0)
        second_min = 0x90;
    else if (first == 0xf4)
        second_max = 0x8f;
    if (size_bytes < length || text[1] < second_min || text[1] > second_max)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

/* A name of any bytes as one line of UTF-8: what is no character, or controls something, becomes
 * '?'; what does not fit is cut at a character. */
static inline void rth__utf8_copy_line(char *ret_line, size_t size_bytes, const char *text)
{
    size_t length = strnlen(text, size_bytes + 3), used = 0;
    for (size_t at = 0; at < length;) {
        unsigned char byte = (unsigned char)text[at];
        size_t bytes = rth__utf8_length((const unsigned char *)text + at, length - at);
        bool is_plain = bytes != 0 && byte >= ' ' && byte != 0x7f;
        bytes = is_plain ? bytes : 1;
        if (used + bytes >= size_bytes)
            break;
        if (is_plain)
            memcpy(ret_line + used, text + at, bytes);
        else
            ret_line[used] = '?';
        used += bytes;
        at += bytes;
    }
    ret_line[used] = '\0';
}

#endif /* RTH_FORMATS_UTF8_H */
