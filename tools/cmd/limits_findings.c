/* SPDX-License-Identifier: MIT */

/* What is worth knowing about the limits of a process: for `rthooks doctor` and `rthooks budget`.
 */

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/budget.h"

#define THROTTLED_SHARE_NOTE 0.05
#define PLACE_NOTE           "%s: what is nearest to what /proc says of it was read"

static void find_memory_limit(struct report *report, const struct look *look)
{
    const struct rth_budget *budget = &look->budget;
    char text[LOOK_SENTENCE_BYTES];
    if (look->cgroups.error != 0)
        report_add(report, FINDING_PROBLEM, "cgroups",
                   "which cgroups it is in cannot be read: %s; RTHOOKS_MEMORY_LIMIT and "
                   "RTHOOKS_CPU_LIMIT can say what nobody can see",
                   look_error_text(look->cgroups.error));
    else if (strcmp(budget->memory_source, "unreadable") == 0)
        report_add(report, FINDING_PROBLEM, "memory limit",
                   "there may be one, it cannot be read: %s; RTHOOKS_MEMORY_LIMIT can say it",
                   look_error_text(look_memory_error(&look->memory)));
    else if (strcmp(budget->memory_source, "none") == 0)
        report_add(report, FINDING_NOTE, "memory limit",
                   "none at any level: the machine's memory is all there is; RTHOOKS_MEMORY_LIMIT "
                   "or a limit of the container sets one");
    else
        report_add(report, FINDING_OK, "memory limit", "%s", look_memory_sentence(look, text));
    if (budget->explicit_is_above_hard)
        report_add(report, FINDING_NOTE, "memory limit",
                   "RTHOOKS_MEMORY_LIMIT is above the hard limit of %s, which counts instead",
                   look->memory.max.source);
    if (look->cgroups.memory.note != NULL)
        report_add(report, FINDING_NOTE, "memory cgroup", PLACE_NOTE, look->cgroups.memory.note);
}

static void find_memory_high(struct report *report, const struct look *look)
{
    const struct rth_cgroup_limit *high = &look->memory.high;
    char bytes[LOOK_BYTES_TEXT], level[LOOK_LEVEL_TEXT];
    if (high->kind != RTH_LIMIT_SET || !look->budget.is_throttled_below_limit)
        return;
    (void)look_bytes_text(high->value, bytes);
    (void)look_level_text(&look->cgroups.memory, high->level, level);
    if (look->settings.memory_is_explicit)
        report_add(report, FINDING_PROBLEM, "memory.high",
                   "%s (%s) is below RTHOOKS_MEMORY_LIMIT: the kernel slows everything down "
                   "there, before rthooks gives anything back",
                   bytes, level);
    else
        report_add(report, FINDING_NOTE, "memory.high",
                   "%s (%s) is where the kernel slows everything down, well before the hard "
                   "limit: the soft limit is a share of it",
                   bytes, level);
}

/* What single levels say that the minimum does not. */
static void find_levels(struct report *report, const struct look *look)
{
    char bytes[LOOK_BYTES_TEXT], ram[LOOK_BYTES_TEXT], path[RTH_CGROUP_PATH_BYTES];
    for (unsigned i = 0; i < look->memory_levels.count; i++) {
        const struct level *level = &look->memory_levels.rows[i];
        (void)printable(level->path, path, sizeof(path));
        if (level->max.kind == LEVEL_SET && look->ram_bytes > 0 &&
            level->max.value >= look->ram_bytes)
            report_add(report, FINDING_NOTE, "memory limit",
                       "%s at level %u (%s) is not below the %s of the machine: no limit",
                       look_bytes_text(level->max.value, bytes), i, path,
                       look_bytes_text(look->ram_bytes, ram));
        if (level->oom_group)
            report_add(report, FINDING_NOTE, "oom group",
                       "memory.oom.group is 1 at level %u (%s): when one process there is killed "
                       "for memory, all of them are",
                       i, path);
        if (level->max.kind == LEVEL_UNREADABLE && look->memory.max.kind == RTH_LIMIT_SET)
            report_add(report, FINDING_NOTE, "memory limit",
                       "level %u (%s) cannot be read (%s): a tighter limit may be there", i, path,
                       look_error_text(level->max.error));
    }
}

static void find_swap(struct report *report, const struct look *look)
{
    const struct rth_cgroup_limit *swap = &look->memory.swap;
    char bytes[LOOK_BYTES_TEXT];
    bool is_off = swap->kind == RTH_LIMIT_SET && swap->value == 0;
    if (look->swap_bytes == 0 || is_off || look->memory.max.kind != RTH_LIMIT_SET)
        return;
    if (swap->kind == RTH_LIMIT_SET)
        report_add(report, FINDING_NOTE, "swap",
                   look->cgroups.memory.version == 2
                       ? "up to %s may go to swap: beyond the limit the process becomes slow first"
                       : "memory and swap together are limited to %s: beyond the limit the process "
                         "becomes slow first",
                   look_bytes_text(swap->value, bytes));
    else
        report_add(report, FINDING_NOTE, "swap",
                   "the machine has %s of swap and nothing keeps the process out of it: beyond the "
                   "limit it becomes slow first",
                   look_bytes_text(look->swap_bytes, bytes));
}

static void find_cpu(struct report *report, const struct look *look)
{
    const struct rth_budget *budget = &look->budget;
    char text[LOOK_SENTENCE_BYTES];
    if (strcmp(budget->cpu_source, "unreadable") == 0 && look->cgroups.error == 0)
        report_add(report, FINDING_PROBLEM, "CPU limit",
                   "there may be one, it cannot be read: %s; RTHOOKS_CPU_LIMIT can say it",
                   look_error_text(look->cpu.quota.error));
    else if (strcmp(budget->cpu_source, "unreadable") != 0)
        report_add(report, FINDING_OK, "CPU limit", "%s", look_cpu_sentence(look, text));
    if (look->cpu.quota.kind == RTH_LIMIT_SET && look->cpu.quota.error != 0)
        report_add(report, FINDING_NOTE, "CPU limit",
                   "not every level can be read (%s): a tighter limit may be there",
                   look_error_text(look->cpu.quota.error));
    double limit = budget->cpu_limit;
    if (limit > 0 && limit < 1)
        report_add(report, FINDING_NOTE, "CPU limit",
                   "%.4g processors are less than one: whatever the rounding, a single busy thread "
                   "stands still for %.0f%% of the time",
                   limit, 100 * (1 - limit));
    else if (limit > 0 && limit < budget->affinity && floor(limit) != limit)
        report_add(report, FINDING_NOTE, "CPU limit",
                   "%.4g is no whole number: %u workers (ceil) are throttled when all are busy, %u "
                   "(floor) leave a part unused",
                   limit, rth__budget_workers(limit, budget->affinity, RTH_CPU_ROUND_CEIL),
                   rth__budget_workers(limit, budget->affinity, RTH_CPU_ROUND_FLOOR));
    if (look->cgroups.cpu.note != NULL)
        report_add(report, FINDING_NOTE, "CPU cgroup", PLACE_NOTE, look->cgroups.cpu.note);
}

/* What has happened already. */
static void find_events(struct report *report, const struct look *look)
{
    const struct rth_cgroup_memory_usage *usage = &look->usage;
    const struct rth_cgroup_throttling *throttling = &look->throttling;
    if (look->usage_error == 0 && usage->events_oom_kill != UINT64_MAX &&
        usage->events_oom_kill > 0)
        report_add(report, FINDING_NOTE, "OOM kills", "%" PRIu64 " so far in this cgroup",
                   usage->events_oom_kill);
    if (look->throttling_error != 0 || throttling->periods == 0)
        return;
    double share = (double)throttling->throttled_periods / (double)throttling->periods;
    if (share >= THROTTLED_SHARE_NOTE)
        report_add(report, FINDING_NOTE, "throttling",
                   "%.0f%% of the periods with something to run were cut short, %.1f s in all",
                   100 * share, (double)throttling->throttled_ns / 1e9);
}

void limits_findings(struct report *report, const struct look *look)
{
    find_memory_limit(report, look);
    find_memory_high(report, look);
    find_levels(report, look);
    find_swap(report, look);
    find_cpu(report, look);
    find_events(report, look);
}
