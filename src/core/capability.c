/* SPDX-License-Identifier: MIT */
/*
 * Walks the capability table: start in order, stop in reverse, and what each row came to.
 * Threads: start and stop run under RTH_RANK_RUNTIME on one thread; states are read anywhere.
 * Failure: a row that fails is reported; rows that need it become ABSENT; nothing else stops.
 */
#include "core/capability.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rthooks/error.h"
#include "rthooks/log.h"

static const struct rth_capability *const *table;
static size_t table_count;
static struct rth_capability_runtime runtimes[RTH_CAPABILITY_MAX];

void rth__capability_table_set(const struct rth_capability *const *rows, size_t count)
{
    table = rows;
    table_count = count < RTH_CAPABILITY_MAX ? count : RTH_CAPABILITY_MAX;
}

size_t rth__capability_count(void)
{
    return table_count;
}

const struct rth_capability *rth__capability_at(size_t index)
{
    return table[index];
}

struct rth_capability_runtime *rth__capability_runtime_at(size_t index)
{
    return &runtimes[index];
}

const char *rth__capability_state_name(int state)
{
    switch (state) {
    case RTH_CAPABILITY_OFF:
        return "off";
    case RTH_CAPABILITY_ABSENT:
        return "absent";
    case RTH_CAPABILITY_FAILED:
        return "failed";
    case RTH_CAPABILITY_RUNNING:
        return "running";
    default:
        return "unknown";
    }
}

bool rth__capability_is_running(const char *name)
{
    for (size_t i = 0; i < table_count; i++)
        if (strcmp(table[i]->name, name) == 0)
            return runtimes[i].state == RTH_CAPABILITY_RUNNING;
    return false;
}

/* Name of the first need that does not run, NULL when all do. */
static const char *missing_need(const struct rth_capability *row)
{
    for (size_t i = 0; row->needs != NULL && row->needs[i] != NULL; i++)
        if (!rth__capability_is_running(row->needs[i]))
            return row->needs[i];
    return NULL;
}

static int state_of_error(int error)
{
    switch (error) {
    case 0:
        return RTH_CAPABILITY_RUNNING;
    case -ECANCELED:
        return RTH_CAPABILITY_OFF;
    case -ENOTSUP:
        return RTH_CAPABILITY_ABSENT;
    default:
        return RTH_CAPABILITY_FAILED;
    }
}

/* The first malformed option of a row that can be switched off, NULL when all are fine. */
static const char *malformed_option(const struct rth_capability *row)
{
    for (size_t i = 0; row->start != NULL && i < row->option_count; i++)
        if (row->options[i].value->malformed)
            return row->options[i].variable;
    return NULL;
}

static void start_row(const struct rth_capability *row, struct rth_capability_runtime *runtime)
{
    runtime->reason[0] = '\0';
    const char *missing = missing_need(row);
    if (missing != NULL) {
        (void)snprintf(runtime->reason, sizeof(runtime->reason), "needs %s, which does not run",
                       missing);
        runtime->state = RTH_CAPABILITY_ABSENT;
        return;
    }
    const char *malformed = malformed_option(row);
    if (malformed != NULL) {
        (void)snprintf(runtime->reason, sizeof(runtime->reason), "%s is malformed", malformed);
        runtime->state = RTH_CAPABILITY_OFF;
        return;
    }
    int error = row->start != NULL ? row->start(runtime->reason, sizeof(runtime->reason)) : 0;
    if (error != 0 && runtime->reason[0] == '\0')
        (void)snprintf(runtime->reason, sizeof(runtime->reason), "%s", rth_strerror(error));
    runtime->state = state_of_error(error);
    if (runtime->state == RTH_CAPABILITY_FAILED)
        rth_log(RTH_LOG_ERROR, "capability.failed", "capability=%s reason=\"%s\"", row->name,
                runtime->reason);
}

void rth__capabilities_start(void)
{
    for (size_t i = 0; i < table_count; i++)
        start_row(table[i], &runtimes[i]);
}

void rth__capabilities_stop(void)
{
    for (size_t i = table_count; i-- > 0;) {
        if (runtimes[i].state != RTH_CAPABILITY_RUNNING)
            continue;
        if (table[i]->stop != NULL)
            table[i]->stop();
        runtimes[i].state = RTH_CAPABILITY_OFF;
    }
}

void rth__capabilities_tick(void)
{
    for (size_t i = 0; i < table_count; i++)
        if (table[i]->tick != NULL && runtimes[i].state == RTH_CAPABILITY_RUNNING)
            table[i]->tick();
}

void rth__capabilities_child_reset(void)
{
    for (size_t i = 0; i < table_count; i++) {
        if (table[i]->child_reset != NULL)
            table[i]->child_reset();
        runtimes[i].state = RTH_CAPABILITY_OFF;
    }
}
