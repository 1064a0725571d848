/* SPDX-License-Identifier: MIT */
/*
 * /metrics.
 *
 * Purpose: every metric of every running capability, for this process or, in the first process of
 * a family (prefork), for all of them: totals by default, ?by=process for each with a pid label.
 * Threads: rth-work; values are collected into one arena block, then written. Failure: a value
 * that cannot be read is left out. Cost: about 100 us and 10 us per thread, for each process of
 * the family; nothing between scrapes.
 */
#include "metrics/metrics.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/family.h"
#include "core/identity.h"
#include "core/service_thread.h"
#include "metrics/exposition.h"
#include "os/procfs.h"

#define METRICS_PER_ROW_MAX 64

static const char cpu_metric[] = "process_cpu_seconds_total";

/* Values of one process for one row of the table. */
struct column {
    int pid;
    struct rth_metric_value values[METRICS_PER_ROW_MAX];
};

struct scrape {
    struct rth_sink *sink;
    enum rth_exposition_format format;
    bool by_process;
    struct column *columns; /* one per process; ourselves first */
    size_t column_count, column_capacity;
};

static size_t family_size(void)
{
    size_t cursor = 0, count = 0;
    struct rth_family_member member;
    while (rth__family_next(&cursor, &member))
        count++;
    return count;
}

/* Members other than ourselves that are alive; only the first process answers for others. */
static void add_members(struct scrape *scrape)
{
    size_t cursor = 0;
    struct rth_family_member member;
    pid_t own_pid = rth__identity()->pid;
    while (rth__family_is_first() && scrape->column_count < scrape->column_capacity &&
           rth__family_next(&cursor, &member)) {
        struct rth_proc_stat stat;
        if (member.pid == own_pid ||
            rth__proc_stat_read(rth__root_fd(), member.pid, 0, &stat) != 0 ||
            stat.starttime_ticks != member.starttime_ticks)
            continue;
        scrape->columns[scrape->column_count++].pid = member.pid;
    }
}

static void write_total(const struct scrape *scrape, const struct rth_metric *metric,
                        const char *name, size_t index)
{
    bool present = false;
    double total = 0;
    size_t count = (metric->flags & RTH_METRIC_FIRST_ONLY) != 0 ? 1 : scrape->column_count;
    for (size_t i = 0; i < count; i++) {
        const struct rth_metric_value *value = &scrape->columns[i].values[index];
        present = present || value->present;
        total += value->present ? value->value : 0;
    }
    /* A counter must not fall when a member ends. */
    if (strcmp(name, cpu_metric) == 0 && rth__family_is_first())
        total += (double)rth__family_dead_cpu_ns() / 1e9;
    if (!present)
        return;
    rth__exposition_head(scrape->sink, scrape->format, metric, name);
    rth__exposition_sample(scrape->sink, name, "", total);
}

static void write_each(const struct scrape *scrape, const struct rth_metric *metric,
                       const char *name, size_t index)
{
    bool headed = false;
    for (size_t i = 0; i < scrape->column_count; i++) {
        const struct rth_metric_value *value = &scrape->columns[i].values[index];
        if (!value->present)
            continue;
        if (!headed)
            rth__exposition_head(scrape->sink, scrape->format, metric, name);
        headed = true;
        char labels[32];
        (void)snprintf(labels, sizeof(labels), "pid=\"%d\"", scrape->columns[i].pid);
        rth__exposition_sample(scrape->sink, name, labels, value->value);
    }
}

static void write_row(struct scrape *scrape, const struct rth_capability *row)
{
    for (size_t i = 0; i < scrape->column_count; i++) {
        struct column *column = &scrape->columns[i];
        memset(column->values, 0, sizeof(column->values));
        row->collect(i == 0 ? 0 : column->pid, column->values);
    }
    for (size_t k = 0; k < row->metric_count; k++) {
        char name[RTH_METRIC_NAME_BYTES];
        if (rth__exposition_name(&row->metrics[k], name, sizeof(name)) != 0)
            continue; /* the unit test of the table refuses such a key */
        if (scrape->by_process)
            write_each(scrape, &row->metrics[k], name, k);
        else
            write_total(scrape, &row->metrics[k], name, k);
    }
}

static int write_metrics(struct rth_call *call, struct rth_sink *sink)
{
    char by[16] = "";
    (void)rth__params_get(&call->params, "by", by, sizeof(by));
    struct scrape scrape = {
        .sink = sink,
        .format = rth__exposition_negotiate(call->accept),
        .by_process = strcmp(by, "process") == 0 && !call->is_public,
        .column_capacity = family_size() + 1,
    };
    size_t columns_bytes = scrape.column_capacity * sizeof(struct column);
    scrape.columns = rth__arena_alloc_nomalloc(columns_bytes);
    if (scrape.columns == NULL)
        return rth__call_fail(call, 503, "out of memory for %zu processes", scrape.column_capacity);
    scrape.columns[scrape.column_count++].pid = rth__identity()->pid;
    add_members(&scrape);
    call->content_type = rth__exposition_content_type(scrape.format);
    for (size_t i = 0; i < rth__capability_count() && !rth__sink_cancelled(sink); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        if (row->collect != NULL && rth__capability_runtime_at(i)->state == RTH_CAPABILITY_RUNNING)
            write_row(&scrape, row);
    }
    rth__exposition_end(sink, scrape.format);
    rth__arena_free_nomalloc(scrape.columns, columns_bytes);
    return sink->error;
}

enum {
    OWN_CPU,
    OWN_MEMORY,
};

static const struct rth_metric own_metrics[] = {
    [OWN_CPU] = {.key = "/rthooks/cpu:cpu-seconds",
                 .help = "CPU time used by the threads of rthooks.",
                 .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FLOAT | RTH_METRIC_FIRST_ONLY},
    [OWN_MEMORY] = {.key = "/rthooks/memory:bytes",
                    .help = "Memory mapped by rthooks, touched or not, and resident stacks of its "
                            "threads.",
                    .flags = RTH_METRIC_FIRST_ONLY},
};

static void collect_own(int pid, struct rth_metric_value *ret_values)
{
    if (pid != 0)
        return;
    struct rth_arena_stats arena;
    rth__arena_stats(&arena);
    ret_values[OWN_CPU] =
        (struct rth_metric_value){true, (double)rth__service_thread_cpu_ns() / 1e9};
    ret_values[OWN_MEMORY] =
        (struct rth_metric_value){true, (double)arena.mapped_bytes + (double)arena.reserved_bytes +
                                            (double)rth__service_thread_stack_bytes()};
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "metrics",
        .path = "/metrics",
        .content_type = "text/plain; version=0.0.4; charset=utf-8",
        .description = "Prometheus metrics",
        .flags = RTH_ARTEFACT_PUBLIC,
        .write = write_metrics,
    },
};

const struct rth_capability rth__metrics_capability = {
    .name = "metrics",
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
    .metrics = own_metrics,
    .metric_count = sizeof(own_metrics) / sizeof(own_metrics[0]),
    .collect = collect_own,
};
