/* SPDX-License-Identifier: MIT */
#include "formats/json.h"

#include <errno.h>
#include <string.h>

#include "formats/number.h"
#include "formats/sink.h"
#include "formats/utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static void put(struct rth_json *json, const char *text, size_t size_bytes)
{
    (void)rth__sink_write(json->sink, text, size_bytes);
}

static void fail(struct rth_json *json, int error)
{
    if (json->sink->error == 0)
        json->sink->error = error;
}

/* What comes before a value or a key. */
static void separate(struct rth_json *json)
{
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    if (json->depth == 0)
        return;
    if (json->has_member[json->depth - 1])
        put(json, ",", 1);
    json->has_member[json->depth - 1] = true;
}

static void begin(struct rth_json *json, const char *bracket)
{
    separate(json);
    if (json->depth == RTH_JSON_DEPTH_MAX) {
        fail(json, -EOVERFLOW);
        return;
    }
    json->has_member[json->depth++] = false;
    put(json, bracket, 1);
}

static void end(struct rth_json *json, const char *bracket)
{
    if (json->depth == 0 || json->after_key) {
        fail(json, -EINVAL);
        return;
    }
    json->depth--;
    put(json, bracket, 1);
}

static void put_escape(struct rth_json *json, unsigned char character)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_from[] = "\"\\\b\f\n\r\t";
    static const char short_to[] = "\"\\bfnrt";
    const char *found = character != '\0' ? strchr(short_from, character) : NULL;
    if (found != NULL) {
        char escape[2] = {'\\', short_to[found - short_from]};
        put(json, escape, sizeof(escape));
        return;
    }
    char escape[6] = {'\\', 'u', '0', '0', hex[character >> 4], hex[character & 15]};
    put(json, escape, sizeof(escape));
}

/* A quoted string; what needs no change goes out in runs. */
static void put_quoted(struct rth_json *json, const char *text, size_t size_bytes)
{
    size_t run_start = 0, at = 0;
    put(json, "\"", 1);
    while (at < size_bytes) {
        unsigned char character = (unsigned char)text[at];
        size_t length = rth__utf8_length((const unsigned char *)text + at, size_bytes - at);
        bool escape = character < 0x20 || character == '"' || character == '\\';
        if (length != 0 && !escape) {
            at += length;
            continue;
        }
        put(json, text + run_start, at - run_start);
        if (escape)
            put_escape(json, character);
        else
            put(json, replacement, sizeof(replacement) - 1);
        run_start = ++at;
    }
    put(json, text + run_start, at - run_start);
    put(json, "\"", 1);
}

static void put_value(struct rth_json *json, const char *text, size_t size_bytes)
{
    separate(json);
    put(json, text, size_bytes);
}

void rth__json_init(struct rth_json *json, struct rth_sink *sink)
{
    *json = (struct rth_json){.sink = sink};
}

void rth__json_object_begin(struct rth_json *json)
{
    begin(json, "{");
}

void rth__json_object_end(struct rth_json *json)
{
    end(json, "}");
}

void rth__json_array_begin(struct rth_json *json)
{
    begin(json, "[");
}

void rth__json_array_end(struct rth_json *json)
{
    end(json, "]");
}

void rth__json_key(struct rth_json *json, const char *key)
{
    if (json->depth == 0 || json->after_key) {
        fail(json, -EINVAL);
        return;
    }
    separate(json);
    put_quoted(json, key, strlen(key));
    put(json, ":", 1);
    json->after_key = true;
}

void rth__json_string(struct rth_json *json, const char *text)
{
    if (text == NULL)
        rth__json_null(json);
    else
        rth__json_string_n(json, text, strlen(text));
}

void rth__json_string_n(struct rth_json *json, const char *text, size_t size_bytes)
{
    separate(json);
    put_quoted(json, text, size_bytes);
}

void rth__json_int(struct rth_json *json, int64_t value)
{
    char text[RTH_NUMBER_BYTES];
    put_value(json, text, rth__number_int(value, text));
}

void rth__json_uint(struct rth_json *json, uint64_t value)
{
    char text[RTH_NUMBER_BYTES];
    put_value(json, text, rth__number_uint(value, text));
}

void rth__json_double(struct rth_json *json, double value)
{
    char text[RTH_NUMBER_BYTES];
    if (!__builtin_isfinite(value))
        rth__json_null(json);
    else
        put_value(json, text, rth__number_double_json(value, text));
}

void rth__json_bool(struct rth_json *json, bool value)
{
    put_value(json, value ? "true" : "false", value ? 4 : 5);
}

void rth__json_null(struct rth_json *json)
{
    put_value(json, "null", 4);
}

void rth__json_finish(struct rth_json *json)
{
    if (json->depth != 0 || json->after_key)
        fail(json, -EINVAL);
    else
        put(json, "\n", 1);
}

void rth__json_member_string(struct rth_json *json, const char *key, const char *text)
{
    rth__json_key(json, key);
    rth__json_string(json, text);
}

void rth__json_member_int(struct rth_json *json, const char *key, int64_t value)
{
    rth__json_key(json, key);
    rth__json_int(json, value);
}

void rth__json_member_uint(struct rth_json *json, const char *key, uint64_t value)
{
    rth__json_key(json, key);
    rth__json_uint(json, value);
}

void rth__json_member_double(struct rth_json *json, const char *key, double value)
{
    rth__json_key(json, key);
    rth__json_double(json, value);
}

void rth__json_member_bool(struct rth_json *json, const char *key, bool value)
{
    rth__json_key(json, key);
    rth__json_bool(json, value);
}
