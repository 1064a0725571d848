/* SPDX-License-Identifier: MIT */
/* The budget as a line of logfmt and as JSON. No printf of numbers: a host's locale has no say. */
#include <errno.h>
#include <string.h>

#include "formats/budget.h"
#include "formats/json.h"
#include "formats/number.h"
#include "formats/sink.h"

static void put(struct rth_sink *sink, const char *text)
{
    (void)rth__sink_puts(sink, text);
}

static bool needs_quotes(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == 0x7f)
            return true;
    return false;
}

static void put_quoted(struct rth_sink *sink, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    put(sink, "\"");
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        char escaped[5] = {'\\', *text};
        if (byte < ' ' || byte == 0x7f) {
            escaped[1] = 'x';
            escaped[2] = digits[byte >> 4];
            escaped[3] = digits[byte & 15];
            put(sink, escaped);
        } else if (byte == '"' || byte == '\\') {
            put(sink, escaped);
        } else {
            (void)rth__sink_write(sink, text, 1);
        }
    }
    put(sink, "\"");
}

/* " key=value", "-" for what is not known. */
static void put_text(struct rth_sink *sink, const char *key, const char *value)
{
    put(sink, " ");
    put(sink, key);
    put(sink, "=");
    if (value == NULL || value[0] == '\0')
        put(sink, "-");
    else if (needs_quotes(value))
        put_quoted(sink, value);
    else
        put(sink, value);
}

static void put_bytes(struct rth_sink *sink, const char *key, int64_t bytes)
{
    char text[RTH_NUMBER_BYTES];
    (void)rth__number_int(bytes, text);
    put_text(sink, key, bytes < 0 ? NULL : bytes == RTH_BUDGET_NO_LIMIT ? "off" : text);
}

static void put_double(struct rth_sink *sink, const char *key, double value, const char *none,
                       const char *unit)
{
    char text[RTH_NUMBER_BYTES];
    (void)rth__number_double_json(value, text);
    put_text(sink, key, value > 0 ? text : none);
    if (value > 0)
        put(sink, unit);
}

/* What the process can use at most, in percent of one processor. */
static double max_cpu_percent(const struct rth_budget *budget)
{
    bool is_limited = budget->cpu_limit > 0 && budget->cpu_limit < (double)budget->affinity;
    return 100 * (is_limited ? budget->cpu_limit : (double)budget->affinity);
}

int rth__budget_line(const struct rth_budget *budget, const struct rth_budget_context *context,
                     char *ret_line, size_t line_size)
{
    struct rth_buffer_sink buffer;
    rth__buffer_sink_init(&buffer, ret_line, line_size);
    struct rth_sink *sink = &buffer.sink;
    char workers[RTH_NUMBER_BYTES];
    (void)rth__number_uint(budget->workers, workers);
    put(sink, "rthooks budget");
    put_bytes(sink, "memory_limit", budget->memory_limit_bytes);
    put_text(sink, "memory_source", budget->memory_source);
    put_double(sink, "ratio", budget->memory_ratio, NULL, "");
    put_bytes(sink, "cgroup_limit", budget->memory_hard_bytes);
    put_text(sink, "return", context->return_mode);
    put_text(sink, "gc_percent", NULL);
    put_double(sink, "cpu_limit", budget->cpu_limit, "off", "");
    put_text(sink, "cpu_source", budget->cpu_source);
    put_text(sink, "workers", workers);
    put_double(sink, "expected_max_cpu", max_cpu_percent(budget), NULL, "%");
    put_bytes(sink, "rss", context->rss_bytes);
    put_bytes(sink, "expected_rss", rth__budget_expected_rss(budget, context));
    put_text(sink, "service", context->service);
    put_text(sink, "version", context->version);
    put_text(sink, "revision", context->revision);
    put_text(sink, "build_id", context->build_id);
    put_text(sink, "hooks", context->hooks);
    if (context->extra != NULL)
        put(sink, context->extra);
    return sink->error != 0 ? sink->error : (int)sink->written_bytes;
}

static void member_bytes(struct rth_json *json, const char *key, int64_t bytes)
{
    if (bytes == RTH_BUDGET_NO_LIMIT) {
        rth__json_key(json, key);
        rth__json_null(json);
    } else if (bytes >= 0) {
        rth__json_member_int(json, key, bytes);
    }
}

static void member_text(struct rth_json *json, const char *key, const char *text)
{
    if (text != NULL && text[0] != '\0')
        rth__json_member_string(json, key, text);
}

static void write_expected_rss(const struct rth_budget *budget,
                               const struct rth_budget_context *context, struct rth_json *json)
{
    member_bytes(json, "expected_rss_bytes", rth__budget_expected_rss(budget, context));
    rth__json_key(json, "expected_rss_terms");
    rth__json_object_begin(json);
    member_bytes(json, "memory_limit_bytes", budget->memory_limit_bytes);
    member_bytes(json, "headroom_bytes", context->headroom_bytes);
    member_bytes(json, "stacks_bytes", context->stacks_bytes);
    member_bytes(json, "mappings_bytes", context->mappings_bytes);
    rth__json_object_end(json);
}

void rth__budget_json(const struct rth_budget *budget, const struct rth_budget_context *context,
                      struct rth_json *json)
{
    member_bytes(json, "memory_limit_bytes", budget->memory_limit_bytes);
    rth__json_member_string(json, "memory_source", budget->memory_source);
    if (budget->memory_ratio > 0)
        rth__json_member_double(json, "memory_ratio", budget->memory_ratio);
    member_bytes(json, "memory_hard_limit_bytes", budget->memory_hard_bytes);
    member_bytes(json, "memory_high_bytes", budget->memory_high_bytes);
    rth__json_member_bool(json, "explicit_is_above_hard", budget->explicit_is_above_hard);
    rth__json_member_bool(json, "is_throttled_below_limit", budget->is_throttled_below_limit);
    member_text(json, "return", context->return_mode);
    rth__json_key(json, "cpu_limit");
    if (budget->cpu_limit > 0)
        rth__json_double(json, budget->cpu_limit);
    else
        rth__json_null(json);
    rth__json_member_string(json, "cpu_source", budget->cpu_source);
    rth__json_member_uint(json, "cpu_affinity", budget->affinity);
    rth__json_member_uint(json, "workers", budget->workers);
    rth__json_member_double(json, "expected_max_cpu_percent", max_cpu_percent(budget));
    member_bytes(json, "rss_bytes", context->rss_bytes);
    write_expected_rss(budget, context, json);
    member_text(json, "service", context->service);
    member_text(json, "version", context->version);
    member_text(json, "revision", context->revision);
    member_text(json, "build_id", context->build_id);
    member_text(json, "hooks", context->hooks);
}
