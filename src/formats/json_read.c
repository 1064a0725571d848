/* SPDX-License-Identifier: MIT */
#include "formats/json_read.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "formats/utf8.h"

struct cursor {
    const char *at, *end;
    int depth;
};

static bool skip_value(struct cursor *cursor);

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t' ||
                                        *cursor->at == '\n' || *cursor->at == '\r'))
        cursor->at++;
}

static bool skip_char(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted)
        return false;
    cursor->at++;
    return true;
}

static bool skip_word(struct cursor *cursor, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

/* 16 for what is no hexadecimal digit. */
static unsigned hex_digit(char character)
{
    return character >= '0' && character <= '9'   ? (unsigned)(character - '0')
           : character >= 'a' && character <= 'f' ? (unsigned)(character - 'a') + 10
           : character >= 'A' && character <= 'F' ? (unsigned)(character - 'A') + 10
                                                  : 16;
}

/* Behind the backslash. ret_code: the character it stands for. */
static bool read_escape(struct cursor *cursor, uint32_t *ret_code)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (cursor->at == cursor->end)
        return false;
    char letter = *cursor->at++;
    const char *found = letter != '\0' ? strchr(from, letter) : NULL;
    if (found != NULL) {
        *ret_code = (unsigned char)to[found - from];
        return true;
    }
    if (letter != 'u' || cursor->end - cursor->at < 4)
        return false;
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        unsigned digit = hex_digit(*cursor->at++);
        if (digit > 15)
            return false;
        code = code << 4 | digit;
    }
    *ret_code = code;
    return true;
}

static bool skip_string(struct cursor *cursor)
{
    if (!skip_char(cursor, '"'))
        return false;
    while (cursor->at < cursor->end) {
        if (skip_char(cursor, '"'))
            return true;
        uint32_t code;
        size_t length =
            rth__utf8_length((const unsigned char *)cursor->at, (size_t)(cursor->end - cursor->at));
        if (length == 0 || (unsigned char)*cursor->at < 0x20)
            return false;
        if (skip_char(cursor, '\\')) {
            if (!read_escape(cursor, &code))
                return false;
        } else {
            cursor->at += length;
        }
    }
    return false;
}

static bool skip_digits(struct cursor *cursor)
{
    const char *first = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
        cursor->at++;
    return cursor->at > first;
}

static bool skip_number(struct cursor *cursor)
{
    (void)skip_char(cursor, '-');
    if (!skip_char(cursor, '0') && !skip_digits(cursor))
        return false;
    if (skip_char(cursor, '.') && !skip_digits(cursor))
        return false;
    if (skip_char(cursor, 'e') || skip_char(cursor, 'E')) {
        if (!skip_char(cursor, '-'))
            (void)skip_char(cursor, '+');
        return skip_digits(cursor);
    }
    return true;
}

static bool skip_key(struct cursor *cursor)
{
    skip_blanks(cursor);
    if (!skip_string(cursor))
        return false;
    skip_blanks(cursor);
    return skip_char(cursor, ':');
}

/* Behind the opening bracket, to behind the closing one. */
static bool skip_members(struct cursor *cursor, bool is_object)
{
    char closing = is_object ? '}' : ']';
    skip_blanks(cursor);
    if (skip_char(cursor, closing))
        return true;
    do {
        if ((is_object && !skip_key(cursor)) || !skip_value(cursor))
            return false;
        skip_blanks(cursor);
    } while (skip_char(cursor, ','));
    return skip_char(cursor, closing);
}

static bool skip_value(struct cursor *cursor)
{
    skip_blanks(cursor);
    if (cursor->at == cursor->end)
        return false;
    char first = *cursor->at;
    if (first == '{' || first == '[') {
        cursor->at++;
        if (++cursor->depth > RTH_JSON_READ_DEPTH_MAX || !skip_members(cursor, first == '{'))
            return false;
        cursor->depth--;
        return true;
    }
    if (first == '"')
        return skip_string(cursor);
    if (first == 't')
        return skip_word(cursor, "true");
    if (first == 'f')
        return skip_word(cursor, "false");
    if (first == 'n')
        return skip_word(cursor, "null");
    return skip_number(cursor);
}

static bool is_object(const char *document, size_t size_bytes)
{
    struct cursor cursor = {document, document + size_bytes, 0};
    skip_blanks(&cursor);
    if (cursor.at == cursor.end || *cursor.at != '{' || !skip_value(&cursor))
        return false;
    skip_blanks(&cursor);
    return cursor.at == cursor.end;
}

int rth__json_read_member(const char *document, size_t size_bytes, const char *key,
                          struct rth_json_value *ret_value)
{
    if (!is_object(document, size_bytes))
        return -EINVAL;
    struct cursor cursor = {document, document + size_bytes, 0};
    size_t key_bytes = strlen(key);
    skip_blanks(&cursor);
    (void)skip_char(&cursor, '{');
    do {
        skip_blanks(&cursor);
        const char *name = cursor.at + 1; /* behind the quote; not read where there is none */
        if (!skip_key(&cursor))
            return -ENOENT; /* {} */
        skip_blanks(&cursor);
        const char *value = cursor.at;
        bool is_it = (size_t)(value - name) > key_bytes && memcmp(name, key, key_bytes) == 0 &&
                     name[key_bytes] == '"';
        (void)skip_value(&cursor);
        if (is_it) {
            *ret_value = (struct rth_json_value){value, (size_t)(cursor.at - value)};
            return 0;
        }
        skip_blanks(&cursor);
    } while (skip_char(&cursor, ','));
    return -ENOENT;
}

/* Of what one \u can name. Returns the bytes. */
static size_t put_utf8(uint32_t code, char ret_bytes[3])
{
    if (code == 0 || (code >= 0xd800 && code <= 0xdfff))
        code = 0xfffd;
    if (code < 0x80) {
        ret_bytes[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        ret_bytes[0] = (char)(0xc0 | code >> 6);
        ret_bytes[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    ret_bytes[0] = (char)(0xe0 | code >> 12);
    ret_bytes[1] = (char)(0x80 | (code >> 6 & 0x3f));
    ret_bytes[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

int rth__json_read_text(const struct rth_json_value *value, char *ret_text, size_t text_size)
{
    struct cursor cursor = {value->text, value->text + value->size_bytes, 0};
    struct cursor checked = cursor;
    if (!skip_string(&checked) || checked.at != checked.end)
        return -EINVAL;
    size_t used = 0;
    cursor.at++;
    cursor.end--;
    while (cursor.at < cursor.end) {
        char bytes[3] = {*cursor.at};
        size_t count = 1;
        uint32_t code = 0;
        if (*cursor.at++ == '\\') {
            (void)read_escape(&cursor, &code);
            count = put_utf8(code, bytes);
        }
        if (count >= text_size - used)
            return -ENAMETOOLONG;
        memcpy(ret_text + used, bytes, count);
        used += count;
    }
    if (used >= text_size)
        return -ENAMETOOLONG;
    ret_text[used] = '\0';
    return 0;
}

int rth__json_read_uint(const struct rth_json_value *value, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (value->size_bytes == 0)
        return -EINVAL;
    for (size_t i = 0; i < value->size_bytes; i++) {
        char digit = value->text[i];
        if (digit < '0' || digit > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(digit - '0'), &number))
            return -ERANGE;
    }
    *ret_number = number;
    return 0;
}
