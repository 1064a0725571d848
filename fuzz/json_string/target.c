/* SPDX-License-Identifier: MIT */
/*
 * Whatever is written, the output is UTF-8, every quote and bracket is closed, and no raw control
 * character is left. The input is a small program: a byte chooses the call, the next ones are its
 * arguments.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "formats/sink.h"

#define INPUT_MAX  4096
#define OUTPUT_MAX (64 * INPUT_MAX)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct program {
    const uint8_t *at, *limit;
    bool in_object[RTH_JSON_DEPTH_MAX];
};

static uint8_t next_byte(struct program *program)
{
    return program->at < program->limit ? *program->at++ : 0;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void write_string(struct rth_json *json, struct program *program)
{
    size_t left = (size_t)(program->limit - program->at);
    size_t length = next_byte(program);
    left = left > 0 ? left - 1 : 0;
    length = length < left ? length : left;
    rth__json_string_n(json, (const char *)program->at, length);
    program->at += length;
}

static void write_key(struct rth_json *json, struct program *program)
{
    char key[8];
    for (size_t i = 0; i + 1 < sizeof(key); i++)
        key[i] = (char)next_byte(program);
    key[sizeof(key) - 1] = '\0';
    rth__json_key(json, key);
}

static void write_double(struct rth_json *json, struct program *program)
{
    uint8_t bytes[8];
    double value;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = next_byte(program);
    memcpy(&value, bytes, sizeof(value));
    rth__json_double(json, value);
}

static void step(struct rth_json *json, struct program *program)
{
    uint8_t call = next_byte(program) % 8;
    if (call == 0 && json->depth > 0) {
        if (program->in_object[json->depth - 1])
            rth__json_object_end(json);
        else
            rth__json_array_end(json);
        return;
    }
    if (json->depth > 0 && program->in_object[json->depth - 1])
        write_key(json, program);
    if (call <= 2 && json->depth < RTH_JSON_DEPTH_MAX) {
        program->in_object[json->depth] = call == 1;
        if (call == 1)
            rth__json_object_begin(json);
        else
            rth__json_array_begin(json);
    } else if (call == 3) {
        write_double(json, program);
    } else if (call == 4) {
        rth__json_int(json, (int8_t)next_byte(program));
    } else if (call == 5) {
        rth__json_bool(json, next_byte(program) & 1);
    } else {
        write_string(json, program);
    }
}

/* Bytes of the sequence at text; 0 when it is no UTF-8. Decodes, unlike the writer, which knows
 * ranges. */
static size_t decode_utf8(const unsigned char *text, size_t size_bytes)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (length == 1)
        return 1;
    if (text[0] < 0xc0 || text[0] > 0xf7 || length > size_bytes)
        return 0;
    uint32_t code = text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3fu);
    }
    bool good = code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return good ? length : 0;
}

static void check(const char *text, size_t size_bytes)
{
    char closers[RTH_JSON_DEPTH_MAX];
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size_bytes;) {
        size_t length = decode_utf8((const unsigned char *)text + i, size_bytes - i);
        char character = text[i];
        require(length > 0);
        if (in_string) {
            require((unsigned char)character >= 0x20);
            if (character == '\\')
                length++;
            in_string = character != '"';
        } else if (character == '"') {
            in_string = true;
        } else if (character == '{' || character == '[') {
            require(depth < RTH_JSON_DEPTH_MAX);
            closers[depth++] = character == '{' ? '}' : ']';
        } else if (character == '}' || character == ']') {
            require(depth > 0 && closers[--depth] == character);
        }
        i += length;
        require(i <= size_bytes);
    }
    require(!in_string && depth == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static char output[OUTPUT_MAX];
    struct rth_buffer_sink sink;
    struct rth_json json;
    if (size_bytes > INPUT_MAX)
        return 0;
    struct program program = {.at = data, .limit = data + size_bytes};
    rth__buffer_sink_init(&sink, output, sizeof(output));
    rth__json_init(&json, &sink.sink);
    rth__json_array_begin(&json);
    while (program.at < program.limit)
        step(&json, &program);
    while (json.depth > 0) {
        if (program.in_object[json.depth - 1])
            rth__json_object_end(&json);
        else
            rth__json_array_end(&json);
    }
    rth__json_finish(&json);
    require(sink.sink.error == 0);
    check(output, (size_t)sink.sink.written_bytes);
    return 0;
}
