/* SPDX-License-Identifier: MIT */

/* What a container allows, for people: the line, who decided, and what every level said. */

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cmd/budget.h"

struct rth_budget_context look_context(const struct look *look)
{
    return (struct rth_budget_context){
        .return_mode = look->is_lazy ? "lazy" : "eager",
        .rss_bytes = look->rss_bytes,
        .headroom_bytes = -1,
        .stacks_bytes = -1,
        .mappings_bytes = -1,
    };
}

bool look_line(const struct look *look, char *ret_line, size_t line_size)
{
    struct rth_budget_context context = look_context(look);
    return rth__budget_line(&look->budget, &context, ret_line, line_size) >= 0;
}

const char *look_level_text(const struct rth_cgroup_place *place, unsigned level,
                            char ret_text[LOOK_LEVEL_TEXT])
{
    if (level < place->levels)
        snprintf(ret_text, LOOK_LEVEL_TEXT, "level %u", level);
    else
        snprintf(ret_text, LOOK_LEVEL_TEXT, "a level above all that can be seen");
    return ret_text;
}

const char *look_memory_sentence(const struct look *look, char ret_text[LOOK_SENTENCE_BYTES])
{
    const struct rth_budget *budget = &look->budget;
    const struct rth_cgroup_memory_limits *memory = &look->memory;
    const char *who =
        strcmp(budget->memory_source, "off") == 0 ? "RTHOOKS_MEMORY_LIMIT" : budget->memory_source;
    char limit[LOOK_BYTES_TEXT] = "off", base[LOOK_BYTES_TEXT], level[LOOK_LEVEL_TEXT];
    bool by_high = budget->memory_high_bytes < budget->memory_hard_bytes;
    const struct rth_cgroup_limit *decided =
        by_high && budget->memory_ratio > 0 ? &memory->high : &memory->max;
    (void)look_level_text(&look->cgroups.memory, decided->level, level);
    if (budget->memory_limit_bytes != RTH_BUDGET_NO_LIMIT)
        (void)look_bytes_text((uint64_t)budget->memory_limit_bytes, limit);
    if (budget->memory_ratio > 0)
        snprintf(ret_text, LOOK_SENTENCE_BYTES, "%s: %.4g of %s, decided at %s by %s", limit,
                 budget->memory_ratio, look_bytes_text(decided->value, base), level,
                 decided->source);
    else if (strcmp(budget->memory_source, "none") == 0)
        snprintf(ret_text, LOOK_SENTENCE_BYTES, "none: no level has one");
    else if (strcmp(budget->memory_source, "unreadable") == 0)
        snprintf(ret_text, LOOK_SENTENCE_BYTES,
                 "not known: no level that could be read has one, and "
                 "not all could be read (%s)",
                 look_error_text(look_memory_error(memory)));
    else if (budget->memory_hard_bytes != RTH_BUDGET_NO_LIMIT)
        snprintf(ret_text, LOOK_SENTENCE_BYTES, "%s by %s; the hard limit is %s at %s, by %s",
                 limit, who, look_bytes_text(decided->value, base), level, decided->source);
    else
        snprintf(ret_text, LOOK_SENTENCE_BYTES, "%s by %s", limit, who);
    return ret_text;
}

static unsigned workers_by(const struct look *look, enum rth_cpu_round round)
{
    return rth__budget_workers(look->budget.cpu_limit, look->budget.affinity, round);
}

const char *look_cpu_sentence(const struct look *look, char ret_text[LOOK_SENTENCE_BYTES])
{
    const struct rth_budget *budget = &look->budget;
    const struct rth_cgroup_limit *quota = &look->cpu.quota;
    const char *plural = budget->cpu_limit == 1 ? "" : "s";
    char limit[LOOK_SENTENCE_BYTES], level[LOOK_LEVEL_TEXT];
    (void)look_level_text(&look->cgroups.cpu, quota->level, level);
    if (budget->cpu_limit > 0 && !look->settings.cpu_is_explicit)
        snprintf(limit, sizeof(limit), "%.4g processor%s, decided at %s by %.510s",
                 budget->cpu_limit, plural, level, quota->source);
    else if (budget->cpu_limit > 0)
        snprintf(limit, sizeof(limit), "%.4g processor%s by %.510s", budget->cpu_limit, plural,
                 budget->cpu_source);
    else if (strcmp(budget->cpu_source, "unreadable") == 0)
        snprintf(limit, sizeof(limit), "not known: not every level could be read (%s)",
                 look_error_text(quota->error));
    else
        snprintf(limit, sizeof(limit), "none%s",
                 strcmp(budget->cpu_source, "off") == 0 ? ", by RTHOOKS_CPU_LIMIT" : "");
    snprintf(ret_text, LOOK_SENTENCE_BYTES,
             "%.800s; affinity %u; workers %u by ceil, %u by floor, %u by go", limit,
             budget->affinity, workers_by(look, RTH_CPU_ROUND_CEIL),
             workers_by(look, RTH_CPU_ROUND_FLOOR), workers_by(look, RTH_CPU_ROUND_GO));
    return ret_text;
}

static void print_place(const char *name, const struct rth_cgroup_place *place)
{
    char mount[RTH_CGROUP_PATH_BYTES], hierarchy[RTH_CGROUP_PATH_BYTES];
    if (place->error != 0)
        printf("\n%s: where its files are is not known: %s", name, look_error_text(place->error));
    else if (place->version == 0)
        printf("\n%s: no such controller here", name);
    else
        printf("\n%s: cgroup version %d below /%s; the process is in %s", name, place->version,
               printable(place->mount, mount, sizeof(mount)),
               printable(place->hierarchy, hierarchy, sizeof(hierarchy)));
    printf("%s%s\n", place->note != NULL ? "; " : "", place->note != NULL ? place->note : "");
}

/* One table: its heads, and for each level the values of its columns. */
struct column {
    const char *head;
    size_t value_offset; /* in struct level */
    const struct rth_cgroup_limit *limit;
};

static const struct level_value *value_at(const struct level *level, const struct column *column)
{
    return (const struct level_value *)(const void *)((const char *)level + column->value_offset);
}

static int width_of(const struct level_list *list, const struct column *column)
{
    char text[LOOK_VALUE_TEXT];
    size_t width = strlen(column->head);
    for (unsigned i = 0; i < list->count; i++) {
        size_t length = strlen(look_value_text(value_at(&list->rows[i], column), text));
        if (length > width)
            width = length;
    }
    return (int)width;
}

static void print_levels(const struct level_list *list, const struct column *columns, size_t count)
{
    char text[RTH_CGROUP_PATH_BYTES];
    int widths[8];
    if (list->count == 0)
        return;
    printf("LEVEL");
    for (size_t i = 0; i < count; i++) {
        widths[i] = width_of(list, &columns[i]);
        printf("   %-*s", widths[i], columns[i].head);
    }
    printf("  PATH\n");
    for (unsigned at = 0; at < list->count; at++) {
        const struct level *level = &list->rows[at];
        printf("%5u", at);
        for (size_t i = 0; i < count; i++) {
            const struct rth_cgroup_limit *limit = columns[i].limit;
            bool is_it = limit->kind == RTH_LIMIT_SET && limit->level == at;
            printf("  %c%-*s", is_it ? '*' : ' ', widths[i],
                   look_value_text(value_at(level, &columns[i]), text));
        }
        printf("  %s\n", printable(level->path, text, sizeof(text)));
    }
}

static void print_memory_levels(const struct look *look)
{
    struct column columns[3];
    size_t count = 0;
    bool is_v2 = look->cgroups.memory.version == 2;
    columns[count++] = (struct column){is_v2 ? "MEMORY.MAX" : "LIMIT_IN_BYTES",
                                       offsetof(struct level, max), &look->memory.max};
    if (is_v2)
        columns[count++] =
            (struct column){"MEMORY.HIGH", offsetof(struct level, high), &look->memory.high};
    columns[count++] = (struct column){is_v2 ? "MEMORY.SWAP.MAX" : "MEMSW.LIMIT_IN_BYTES",
                                       offsetof(struct level, swap), &look->memory.swap};
    print_place("memory", &look->cgroups.memory);
    print_levels(&look->memory_levels, columns, count);
}

static void print_cpu_levels(const struct look *look)
{
    const struct column column = {look->cgroups.cpu.version == 2 ? "CPU.MAX"
                                                                 : "CFS_QUOTA_US/CFS_PERIOD_US",
                                  offsetof(struct level, quota), &look->cpu.quota};
    print_place("cpu", &look->cgroups.cpu);
    print_levels(&look->cpu_levels, &column, 1);
}

/* What is not as it should be. */
static void print_notes(const struct look *look)
{
    struct report report;
    size_t at;
    json_t *finding;
    bool is_first = true;
    report_init(&report);
    limits_findings(&report, look);
    json_array_foreach(report.findings, at, finding)
    {
        const char *level = json_string_value(json_object_get(finding, "level"));
        char text[4096];
        if (level == NULL || strcmp(level, "ok") == 0)
            continue;
        printf("%s%s: %s: %s\n", is_first ? "\n" : "", level,
               json_string_value(json_object_get(finding, "check")),
               printable(json_string_value(json_object_get(finding, "text")), text, sizeof(text)));
        is_first = false;
    }
    json_decref(report.findings);
}

static void print_usage(const struct look *look)
{
    char used[LOOK_BYTES_TEXT], cache[LOOK_BYTES_TEXT], path[RTH_CGROUP_PATH_BYTES];
    const struct rth_cgroup_memory_usage *usage = &look->usage;
    if (look->usage_error != 0 || usage->current_bytes == UINT64_MAX)
        return;
    printf("memory usage: %s in /%s", look_bytes_text(rth__cgroup_memory_held(usage), used),
           printable(look->memory.usage_folder, path, sizeof(path)));
    if (usage->reclaimable_bytes != UINT64_MAX)
        printf(", and %s of page cache and slab that can be reclaimed",
               look_bytes_text(usage->reclaimable_bytes, cache));
    putchar('\n');
}

bool look_print(const struct look *look)
{
    char line[BUDGET_LINE_BYTES], text[LOOK_SENTENCE_BYTES], clean[LOOK_SENTENCE_BYTES];
    if (!look_line(look, line, sizeof(line)))
        return false;
    printf("%s\n\n", line);
    printf("memory limit: %s\n", printable(look_memory_sentence(look, text), clean, sizeof(clean)));
    print_usage(look);
    printf("CPU limit:    %s\n", printable(look_cpu_sentence(look, text), clean, sizeof(clean)));
    print_memory_levels(look);
    print_cpu_levels(look);
    if (look->memory_levels.count + look->cpu_levels.count > 0)
        printf("* the tightest of its column; - there is no such file at that level\n");
    print_notes(look);
    return true;
}
