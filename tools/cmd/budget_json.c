/* SPDX-License-Identifier: MIT */

/* What a container allows, for programs: the members a hooked process answers with, and what was
 * read to get there. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/budget.h"
#include "formats/json.h"
#include "formats/sink.h"

#define DOCUMENT_BYTES ((size_t)64 << 10)

/* The members of a hooked process's answer. NULL when out of memory. */
static json_t *budget_members(const struct look *look)
{
    struct rth_budget_context context = look_context(look);
    struct rth_buffer_sink buffer;
    struct rth_json json;
    char *text = malloc(DOCUMENT_BYTES);
    if (text == NULL)
        return NULL;
    rth__buffer_sink_init(&buffer, text, DOCUMENT_BYTES);
    rth__json_init(&json, &buffer.sink);
    rth__json_object_begin(&json);
    rth__budget_json(&look->budget, &context, &json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    json_t *document =
        buffer.sink.error == 0 ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    free(text);
    return document;
}

/* A number; "unlimited"; null where there is no such file; why it cannot be read. */
static json_t *value_json(const struct level_value *value)
{
    char text[LOOK_VALUE_TEXT];
    if (value->kind == LEVEL_ABSENT)
        return json_null();
    if (value->kind != LEVEL_SET)
        return json_text(look_value_text(value, text));
    if (value->period_us > 0)
        return json_real((double)value->value / (double)value->period_us);
    return json_integer((json_int_t)value->value);
}

static json_t *levels_json(const struct level_list *list, bool is_cpu, bool is_v2)
{
    json_t *levels = json_array();
    for (unsigned i = 0; i < list->count; i++) {
        const struct level *row = &list->rows[i];
        json_t *level = json_object();
        json_object_set_new(level, "level", json_integer(i));
        json_object_set_new(level, "path", json_text(row->path));
        if (is_cpu) {
            json_object_set_new(level, "quota", value_json(&row->quota));
        } else {
            json_object_set_new(level, "max_bytes", value_json(&row->max));
            json_object_set_new(level, "high_bytes", value_json(&row->high));
            json_object_set_new(level, is_v2 ? "swap_bytes" : "memory_and_swap_bytes",
                                value_json(&row->swap));
            json_object_set_new(level, "oom_group", json_boolean(row->oom_group));
        }
        json_array_append_new(levels, level);
    }
    return levels;
}

/* Who decided: {"is": "set", …}, "none" or "unreadable". */
static json_t *limit_json(const struct rth_cgroup_limit *limit)
{
    json_t *object = json_object();
    json_object_set_new(object, "is", json_string(rth__limit_kind_name(limit->kind)));
    if (limit->error != 0)
        json_object_set_new(object, "error", json_text(look_error_text(limit->error)));
    if (limit->kind != RTH_LIMIT_SET)
        return object;
    if (limit->period_us > 0)
        json_object_set_new(object, "processors",
                            json_real((double)limit->value / (double)limit->period_us));
    else
        json_object_set_new(object, "bytes", json_integer((json_int_t)limit->value));
    json_object_set_new(object, "level", json_integer(limit->level));
    json_object_set_new(object, "source", json_text(limit->source));
    return object;
}

static json_t *place_json(const struct rth_cgroup_place *place)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_integer(place->version));
    if (place->error != 0)
        json_object_set_new(object, "error", json_text(look_error_text(place->error)));
    if (place->note != NULL)
        json_object_set_new(object, "note", json_text(place->note));
    if (place->version == 0 || place->error != 0)
        return object;
    json_object_set_new(object, "mount", json_text(place->mount));
    json_object_set_new(object, "folder", json_text(place->folder));
    json_object_set_new(object, "cgroup", json_text(place->hierarchy));
    return object;
}

static void set_known(json_t *object, const char *key, uint64_t value)
{
    if (value != UINT64_MAX)
        json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *memory_json(const struct look *look)
{
    json_t *memory = place_json(&look->cgroups.memory);
    json_object_set_new(memory, "max", limit_json(&look->memory.max));
    json_object_set_new(memory, "high", limit_json(&look->memory.high));
    json_object_set_new(memory, "swap", limit_json(&look->memory.swap));
    if (look->usage_error == 0) {
        set_known(memory, "current_bytes", look->usage.current_bytes);
        set_known(memory, "reclaimable_bytes", look->usage.reclaimable_bytes);
        set_known(memory, "peak_bytes", look->usage.peak_bytes);
        set_known(memory, "oom_kills", look->usage.events_oom_kill);
    }
    if (look->ram_bytes > 0)
        json_object_set_new(memory, "machine_bytes", json_integer((json_int_t)look->ram_bytes));
    json_object_set_new(
        memory, "levels",
        levels_json(&look->memory_levels, false, look->cgroups.memory.version == 2));
    return memory;
}

static json_t *cpu_json(const struct look *look)
{
    static const char *const names[] = {
        [RTH_CPU_ROUND_CEIL] = "ceil", [RTH_CPU_ROUND_FLOOR] = "floor", [RTH_CPU_ROUND_GO] = "go"};
    json_t *cpu = place_json(&look->cgroups.cpu), *workers = json_object();
    json_object_set_new(cpu, "quota", limit_json(&look->cpu.quota));
    json_object_set_new(cpu, "levels", levels_json(&look->cpu_levels, true, false));
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        json_object_set_new(
            workers, names[i],
            json_integer(rth__budget_workers(look->budget.cpu_limit, look->budget.affinity,
                                             (enum rth_cpu_round)i)));
    json_object_set_new(cpu, "workers", workers);
    if (look->throttling_error == 0) {
        set_known(cpu, "periods", look->throttling.periods);
        set_known(cpu, "throttled_periods", look->throttling.throttled_periods);
        json_object_set_new(cpu, "throttled_seconds",
                            json_real((double)look->throttling.throttled_ns / 1e9));
    }
    return cpu;
}

json_t *look_json(const struct look *look)
{
    char line[BUDGET_LINE_BYTES];
    struct report report;
    json_t *document = budget_members(look), *cgroups = json_object();
    if (document == NULL || !look_line(look, line, sizeof(line))) {
        json_decref(document);
        json_decref(cgroups);
        return NULL;
    }
    json_object_set_new(document, "line", json_text(line));
    json_object_set_new(document, "is_active", json_false());
    if (look->pid > 0)
        json_object_set_new(document, "pid", json_integer(look->pid));
    if (look->cgroups.error != 0)
        json_object_set_new(cgroups, "error", json_text(look_error_text(look->cgroups.error)));
    json_object_set_new(cgroups, "memory", memory_json(look));
    json_object_set_new(cgroups, "cpu", cpu_json(look));
    json_object_set_new(document, "cgroups", cgroups);
    report_init(&report);
    limits_findings(&report, look);
    json_object_set_new(document, "findings", report.findings);
    return document;
}
