/* SPDX-License-Identifier: MIT */
#include "core/params.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes the character at *offset and moves past it. Returns it, or -EINVAL. */
static int decode_next(const char *text, size_t size_bytes, size_t *offset)
{
    char c = text[(*offset)++];
    if (c == '+')
        return ' ';
    if (c != '%')
        return c == '\0' ? -EINVAL : (unsigned char)c;
    if (size_bytes - *offset < 2)
        return -EINVAL;
    int high = hex_digit(text[*offset]), low = hex_digit(text[*offset + 1]);
    if (high < 0 || low < 0 || (high | low) == 0)
        return -EINVAL;
    *offset += 2;
    return high << 4 | low;
}

static bool key_is(const char *raw, size_t raw_bytes, const char *key)
{
    size_t offset = 0;
    while (offset < raw_bytes) {
        int c = decode_next(raw, raw_bytes, &offset);
        if (c < 0 || *key == '\0' || c != (unsigned char)*key)
            return false;
        key++;
    }
    return *key == '\0';
}

struct piece {
    const char *value;
    size_t value_bytes;
};

/* The first "key=value" or "key" of text whose decoded key is the one asked for. Go drops pieces
 * that hold a semicolon, and so do we. */
static bool find(const char *text, size_t size_bytes, const char *key, struct piece *ret_piece)
{
    size_t start = 0;
    while (text != NULL && start < size_bytes) {
        const char *piece = text + start;
        const char *amp = memchr(piece, '&', size_bytes - start);
        size_t piece_bytes = amp != NULL ? (size_t)(amp - piece) : size_bytes - start;
        start += piece_bytes + 1;
        if (piece_bytes == 0 || memchr(piece, ';', piece_bytes) != NULL)
            continue;
        const char *equals = memchr(piece, '=', piece_bytes);
        size_t key_bytes = equals != NULL ? (size_t)(equals - piece) : piece_bytes;
        if (!key_is(piece, key_bytes, key))
            continue;
        ret_piece->value = equals != NULL ? equals + 1 : piece + piece_bytes;
        ret_piece->value_bytes = equals != NULL ? piece_bytes - key_bytes - 1 : 0;
        return true;
    }
    return false;
}

static bool find_anywhere(const struct rth_params *params, const char *key, struct piece *ret_piece)
{
    return find(params->form, params->form_bytes, key, ret_piece) ||
           find(params->query, params->query_bytes, key, ret_piece);
}

int rth__params_get(const struct rth_params *params, const char *key, char *ret_value,
                    size_t value_size)
{
    struct piece piece;
    if (!find_anywhere(params, key, &piece))
        return -ENOENT;
    /* Two passes, so that the output is written only when all of it is good. */
    size_t length = 0;
    for (size_t offset = 0; offset < piece.value_bytes; length++) {
        if (decode_next(piece.value, piece.value_bytes, &offset) < 0)
            return -EINVAL;
    }
    if (length >= value_size || length > INT_MAX)
        return -ENAMETOOLONG;
    length = 0;
    for (size_t offset = 0; offset < piece.value_bytes; length++)
        ret_value[length] = (char)decode_next(piece.value, piece.value_bytes, &offset);
    ret_value[length] = '\0';
    return (int)length;
}

bool rth__params_has(const struct rth_params *params, const char *key)
{
    struct piece piece;
    return find_anywhere(params, key, &piece);
}

int rth__params_int64(const struct rth_params *params, const char *key, int64_t *ret_value)
{
    char text[128];
    int length = rth__params_get(params, key, text, sizeof(text));
    if (length <= 0)
        return length == 0 ? -ENOENT : length == -ENAMETOOLONG ? -EINVAL : length;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    bool negative = text[0] == '-';
    if (*digits == '\0')
        return -EINVAL;
    for (const char *p = digits; *p != '\0'; p++) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
    }
    int64_t value = 0; /* kept negative: INT64_MIN has no positive twin */
    for (const char *p = digits; *p != '\0'; p++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *p - '0', &value))
            return -ERANGE;
    }
    if (!negative && value == INT64_MIN)
        return -ERANGE;
    *ret_value = negative ? value : -value;
    return 0;
}
