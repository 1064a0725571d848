/* SPDX-License-Identifier: MIT */
#ifndef RTH_FORMATS_JSON_H
#define RTH_FORMATS_JSON_H

/*
 * A JSON writer for code that may not allocate: straight into a sink, commas and escapes done
 * here. Strings that are not UTF-8 get U+FFFD for each bad byte, so the output always parses.
 * Misuse (deeper than RTH_JSON_DEPTH_MAX, ends without begins) becomes the sink's error; nothing
 * is written after it. Reading JSON is the tools' business (jansson).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rth_sink;

#define RTH_JSON_DEPTH_MAX 16

struct rth_json {
    struct rth_sink *sink;
    int depth;
    bool has_member[RTH_JSON_DEPTH_MAX];
    bool after_key;
};

void rth__json_init(struct rth_json *json, struct rth_sink *sink);
void rth__json_object_begin(struct rth_json *json);
void rth__json_object_end(struct rth_json *json);
void rth__json_array_begin(struct rth_json *json);
void rth__json_array_end(struct rth_json *json);
void rth__json_key(struct rth_json *json, const char *key);
void rth__json_string(struct rth_json *json, const char *text); /* NULL writes null */
void rth__json_string_n(struct rth_json *json, const char *text, size_t size_bytes);
void rth__json_int(struct rth_json *json, int64_t value);
void rth__json_uint(struct rth_json *json, uint64_t value);
void rth__json_double(struct rth_json *json, double value); /* not finite writes null */
void rth__json_bool(struct rth_json *json, bool value);
void rth__json_null(struct rth_json *json);
/* Ends the document with a newline. */
void rth__json_finish(struct rth_json *json);

/* Member = key and value in one call. */
void rth__json_member_string(struct rth_json *json, const char *key, const char *text);
void rth__json_member_int(struct rth_json *json, const char *key, int64_t value);
void rth__json_member_uint(struct rth_json *json, const char *key, uint64_t value);
void rth__json_member_double(struct rth_json *json, const char *key, double value);
void rth__json_member_bool(struct rth_json *json, const char *key, bool value);

#endif /* RTH_FORMATS_JSON_H */
