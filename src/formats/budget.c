/* SPDX-License-Identifier: MIT */
/*
 * From the platform's limits and the settings to the budget.
 *
 * The memory limit M is a share of what the platform allows, or what was said. The platform allows
 * L, and where memory.high is lower the kernel slows the group down before L: M is then a share of
 * memory.high, L stays what kills. A limit that could not be read is never taken for none: the
 * source then says "unreadable".
 */
#include "formats/budget.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "formats/size.h"

/* Numbers from here on are not processors or shares. */
#define DECIMAL_END 1000000000.0

int rth__budget_decimal_parse(const char *text, double *ret_number)
{
    double number = 0;
    double unit = 1;
    size_t digits = 0;
    for (; *text >= '0' && *text <= '9'; text++, digits++) {
        number = number * 10 + (*text - '0');
        if (number >= DECIMAL_END)
            return -ERANGE;
    }
    if (*text == '.') {
        uint64_t fraction = 0;
        /* Nine digits tell a nanosecond of a processor; the rest is read over. */
        for (text++; *text >= '0' && *text <= '9'; text++, digits++)
            if (unit < DECIMAL_END) {
                fraction = fraction * 10 + (uint64_t)(*text - '0');
                unit *= 10;
            }
        number += (double)fraction / unit;
    }
    if (digits == 0 || *text != '\0')
        return -EINVAL;
    if (number >= DECIMAL_END) /* 999999999.999999999 is rounded to it */
        return -ERANGE;
    *ret_number = number;
    return 0;
}

int rth__budget_memory_limit_parse(const char *text, struct rth_budget_settings *settings)
{
    int64_t limit_bytes = RTH_BUDGET_NO_LIMIT;
    bool is_auto = strcmp(text, "auto") == 0;
    if (!is_auto && strcmp(text, "off") != 0) {
        int error = rth__size_parse(text, &limit_bytes);
        if (error != 0)
            return error;
    }
    settings->memory_is_off = !is_auto && limit_bytes == RTH_BUDGET_NO_LIMIT;
    settings->memory_is_explicit = limit_bytes != RTH_BUDGET_NO_LIMIT;
    settings->memory_limit_bytes = limit_bytes;
    settings->memory_explicit_source = NULL;
    return 0;
}

int rth__budget_ratio_parse(const char *text, double *ret_ratio)
{
    double ratio;
    int error = rth__budget_decimal_parse(text, &ratio);
    if (error != 0)
        return error;
    if (ratio <= 0 || ratio > 1)
        return -ERANGE;
    *ret_ratio = ratio;
    return 0;
}

int rth__budget_cpu_limit_parse(const char *text, struct rth_budget_settings *settings)
{
    double limit = 0;
    bool is_auto = strcmp(text, "auto") == 0;
    bool is_off = strcmp(text, "off") == 0;
    if (!is_auto && !is_off) {
        int error = rth__budget_decimal_parse(text, &limit);
        if (error != 0)
            return error;
        if (limit <= 0)
            return -ERANGE;
    }
    settings->cpu_is_off = is_off;
    settings->cpu_is_explicit = !is_auto && !is_off;
    settings->cpu_limit = limit;
    return 0;
}

int rth__budget_cpu_round_parse(const char *text, enum rth_cpu_round *ret_round)
{
    static const struct {
        const char *name;
        enum rth_cpu_round round;
    } rounds[] = {
        {"ceil", RTH_CPU_ROUND_CEIL}, {"floor", RTH_CPU_ROUND_FLOOR}, {"go", RTH_CPU_ROUND_GO}};
    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++)
        if (strcmp(text, rounds[i].name) == 0) {
            *ret_round = rounds[i].round;
            return 0;
        }
    return -EINVAL;
}

int64_t rth__budget_critical_bytes(int64_t limit_bytes, int64_t hard_bytes)
{
    if (limit_bytes == RTH_BUDGET_NO_LIMIT)
        return RTH_BUDGET_NO_LIMIT;
    if (hard_bytes == RTH_BUDGET_NO_LIMIT)
        return limit_bytes > RTH_BUDGET_NO_LIMIT - limit_bytes / 20
                   ? RTH_BUDGET_NO_LIMIT
                   : limit_bytes + limit_bytes / 20;
    return hard_bytes > limit_bytes ? limit_bytes + (hard_bytes - limit_bytes) / 2 : limit_bytes;
}

unsigned rth__budget_workers(double cpu_limit, unsigned affinity, enum rth_cpu_round round)
{
    unsigned most = affinity > 0 ? affinity : 1;
    if (cpu_limit <= 0 || cpu_limit >= (double)most)
        return most;
    unsigned workers = (unsigned)cpu_limit;
    if (round != RTH_CPU_ROUND_FLOOR && (double)workers < cpu_limit)
        workers++;
    unsigned least = round == RTH_CPU_ROUND_GO ? 2 : 1;
    if (workers < least)
        workers = least;
    return workers < most ? workers : most;
}

static int64_t bytes_of(const struct rth_cgroup_limit *limit)
{
    if (limit->kind != RTH_LIMIT_SET || limit->value >= (uint64_t)RTH_BUDGET_NO_LIMIT)
        return RTH_BUDGET_NO_LIMIT;
    return (int64_t)limit->value;
}

static int64_t share_of(int64_t bytes, double ratio)
{
    return ratio >= 1 ? bytes : (int64_t)((double)bytes * ratio);
}

static void set_source(char source[RTH_CGROUP_PATH_BYTES], const char *text)
{
    (void)snprintf(source, RTH_CGROUP_PATH_BYTES, "%s", text);
}

/* Of RTHOOKS_MEMORY_LIMIT=auto. */
static void derive_memory(const struct rth_budget_settings *settings,
                          const struct rth_cgroup_memory_limits *memory, struct rth_budget *budget)
{
    int64_t hard_bytes = budget->memory_hard_bytes;
    int64_t high_bytes = budget->memory_high_bytes;
    bool by_high = high_bytes < hard_bytes;
    int64_t base_bytes = by_high ? high_bytes : hard_bytes;
    if (base_bytes == RTH_BUDGET_NO_LIMIT) {
        bool is_unreadable =
            memory->max.kind == RTH_LIMIT_UNREADABLE || memory->high.kind == RTH_LIMIT_UNREADABLE;
        set_source(budget->memory_source, is_unreadable ? "unreadable" : "none");
        return;
    }
    budget->memory_limit_bytes = share_of(base_bytes, settings->memory_ratio);
    budget->memory_ratio = settings->memory_ratio;
    budget->is_throttled_below_limit =
        by_high && (hard_bytes == RTH_BUDGET_NO_LIMIT ||
                    high_bytes < share_of(hard_bytes, settings->memory_ratio));
    set_source(budget->memory_source, by_high ? memory->high.source : memory->max.source);
}

static void compute_memory(const struct rth_budget_settings *settings,
                           const struct rth_cgroup_memory_limits *memory, struct rth_budget *budget)
{
    budget->memory_limit_bytes = RTH_BUDGET_NO_LIMIT;
    budget->memory_hard_bytes = bytes_of(&memory->max);
    budget->memory_high_bytes = bytes_of(&memory->high);
    if (settings->memory_is_off) {
        set_source(budget->memory_source, "off");
    } else if (settings->memory_is_explicit) {
        budget->memory_limit_bytes = settings->memory_limit_bytes;
        if (budget->memory_limit_bytes > budget->memory_hard_bytes) {
            budget->memory_limit_bytes = budget->memory_hard_bytes;
            budget->explicit_is_above_hard = true;
        }
        budget->is_throttled_below_limit = budget->memory_high_bytes < budget->memory_limit_bytes;
        set_source(budget->memory_source, settings->memory_explicit_source != NULL
                                              ? settings->memory_explicit_source
                                              : "RTHOOKS_MEMORY_LIMIT");
    } else {
        derive_memory(settings, memory, budget);
    }
}

static void compute_cpu(const struct rth_budget_settings *settings,
                        const struct rth_cgroup_cpu_limits *cpu, struct rth_budget *budget)
{
    budget->affinity = cpu->affinity > 0 ? cpu->affinity : 1;
    if (settings->cpu_is_off) {
        set_source(budget->cpu_source, "off");
    } else if (settings->cpu_is_explicit) {
        budget->cpu_limit = settings->cpu_limit;
        set_source(budget->cpu_source, "RTHOOKS_CPU_LIMIT");
    } else if (cpu->quota.kind == RTH_LIMIT_SET && cpu->quota.period_us > 0) {
        budget->cpu_limit = (double)cpu->quota.value / (double)cpu->quota.period_us;
        set_source(budget->cpu_source, cpu->quota.source);
    } else {
        set_source(budget->cpu_source,
                   cpu->quota.kind == RTH_LIMIT_UNREADABLE ? "unreadable" : "affinity");
    }
    budget->workers = rth__budget_workers(budget->cpu_limit, budget->affinity, settings->cpu_round);
}

void rth__budget_compute(const struct rth_budget_settings *settings,
                         const struct rth_cgroup_memory_limits *memory,
                         const struct rth_cgroup_cpu_limits *cpu, struct rth_budget *ret_budget)
{
    memset(ret_budget, 0, sizeof(*ret_budget));
    compute_memory(settings, memory, ret_budget);
    compute_cpu(settings, cpu, ret_budget);
}

int64_t rth__budget_expected_rss(const struct rth_budget *budget,
                                 const struct rth_budget_context *context)
{
    int64_t sum_bytes = budget->memory_limit_bytes;
    if (sum_bytes == RTH_BUDGET_NO_LIMIT || context->headroom_bytes < 0 ||
        context->stacks_bytes < 0 || context->mappings_bytes < 0 ||
        __builtin_add_overflow(sum_bytes, context->headroom_bytes, &sum_bytes) ||
        __builtin_add_overflow(sum_bytes, context->stacks_bytes, &sum_bytes) ||
        __builtin_add_overflow(sum_bytes, context->mappings_bytes, &sum_bytes))
        return -1;
    return sum_bytes;
}
