/* SPDX-License-Identifier: MIT */
#include "os/text.h"

#include <string.h>

void rth__text_skip_blanks(struct rth_text *text)
{
    while (text->at < text->limit && (*text->at == ' ' || *text->at == '\t'))
        text->at++;
}

bool rth__text_char(struct rth_text *text, char character)
{
    if (text->at == text->limit || *text->at != character)
        return false;
    text->at++;
    return true;
}

bool rth__text_prefix(struct rth_text *text, const char *prefix)
{
    size_t length = strlen(prefix);
    if ((size_t)(text->limit - text->at) < length || memcmp(text->at, prefix, length) != 0)
        return false;
    text->at += length;
    return true;
}

/* 16 and above for what is no digit. */
static unsigned digit_of(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    if (character >= 'a' && character <= 'f')
        return (unsigned)(character - 'a') + 10;
    if (character >= 'A' && character <= 'F')
        return (unsigned)(character - 'A') + 10;
    return 16;
}

static bool text_number(struct rth_text *text, unsigned base, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *at = text->at;
    for (; at < text->limit; at++) {
        unsigned digit = digit_of(*at);
        if (digit >= base)
            break;
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > max)
            return false;
    }
    if (at == text->at)
        return false;
    text->at = at;
    *ret_value = value;
    return true;
}

bool rth__text_uint(struct rth_text *text, uint64_t max, uint64_t *ret_value)
{
    return text_number(text, 10, max, ret_value);
}

bool rth__text_hex(struct rth_text *text, uint64_t max, uint64_t *ret_value)
{
    return text_number(text, 16, max, ret_value);
}

bool rth__text_int(struct rth_text *text, int64_t min, int64_t max, int64_t *ret_value)
{
    struct rth_text cursor = *text;
    bool negative = rth__text_char(&cursor, '-');
    uint64_t magnitude;
    if (!text_number(&cursor, 10, (uint64_t)INT64_MAX + (negative ? 1 : 0), &magnitude))
        return false;
    int64_t value = (int64_t)(negative ? -magnitude : magnitude);
    if (value < min || value > max)
        return false;
    *text = cursor;
    *ret_value = value;
    return true;
}
