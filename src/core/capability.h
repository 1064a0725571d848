/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_CAPABILITY_H
#define RTH_CORE_CAPABILITY_H

/*
 * A capability is a row of the table in src/rthooks.c, which shows the whole system. Lower layers
 * (admin, metrics, health) walk the table through the accessors below and never name a capability.
 *
 * States: OFF (switched off), ABSENT (something it needs does not run, or the platform lacks it),
 * FAILED (it tried), RUNNING. A failed capability never takes the service down.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/artefact.h"
#include "core/option.h"

struct rth_json;

enum rth_capability_state {
    RTH_CAPABILITY_OFF,
    RTH_CAPABILITY_ABSENT,
    RTH_CAPABILITY_FAILED,
    RTH_CAPABILITY_RUNNING,
};

#define RTH_METRIC_CUMULATIVE 1u
#define RTH_METRIC_FLOAT      2u
/* How a family of processes (prefork) adds up; without it the values are summed. */
#define RTH_METRIC_FIRST_ONLY 4u

struct rth_metric {
    const char *key;        /* "/sched/threads:threads" (Go's grammar), NULL for a fixed name */
    const char *fixed_name; /* "process_open_fds", only for names that others own */
    const char *help;
    uint32_t flags;
};

/* A value as collected; absent values are left out of the answer rather than made up. */
struct rth_metric_value {
    bool present;
    double value; /* exact for integers below 2^53 */
};

/* A readiness check: true when fine; otherwise fills reason. Runs on rth-work. */
struct rth_check {
    const char *name;
    bool (*run)(char *ret_reason, size_t reason_size);
};

struct rth_capability {
    const char *name;
    const char *const *needs; /* NULL-terminated names of earlier rows; NULL when none */
    const struct rth_option *options;
    size_t option_count;
    /* Optional: settings that are well-formed each but cannot be together. get: the text of a
     * variable, NULL when it is not set. Returns what is wrong, static text, or NULL. */
    const char *(*conflict)(const char *(*get)(const char *variable, const void *userdata),
                            const void *userdata);
    /* All optional. start: 0, -ENOTSUP (ABSENT), -ECANCELED (OFF by option) or another negative
     * errno (FAILED); ret_reason says why. Runs on the thread that calls rth_start, before any
     * thread of ours in this process. */
    int (*start)(char *ret_reason, size_t reason_size);
    void (*stop)(void);
    /* Once a second on rth-work (rth-admin in an adopted child) while the row runs. Short: nothing
     * else is done meanwhile, and a process at rest pays for it all the same. */
    void (*tick)(void);
    /* On rth-collect while the row runs; never in an adopted child, which has no such thread.
     * now_ns: CLOCK_MONOTONIC. Returns after how many ns it wants to be called again; it may be
     * called earlier. Waits on nobody and allocates nothing. */
    int64_t (*sample)(int64_t now_ns);
    /* In a forked child, when it is adopted: forget everything of the parent. Cannot fail. */
    void (*child_reset)(void);

    const struct rth_artefact *artefacts;
    size_t artefact_count;
    const struct rth_action *actions;
    size_t action_count;
    const struct rth_check *checks;
    size_t check_count;
    const struct rth_metric *metrics;
    size_t metric_count;
    /* Fills ret_values[metric_count] for process `pid` (0 = ourselves). Runs on rth-work. */
    void (*collect)(int pid, struct rth_metric_value *ret_values);
    /* Adds members to this row's object in /debug/runtime/status. Runs on rth-work. */
    void (*status)(struct rth_json *json);
};

#define RTH_CAPABILITY_MAX 32
#define RTH_REASON_BYTES   160

struct rth_capability_runtime {
    _Atomic int state; /* enum rth_capability_state; written by start/stop, read anywhere */
    char reason[RTH_REASON_BYTES]; /* written before state */
};

/* The table, set once by src/rthooks.c before anything else runs. */
void rth__capability_table_set(const struct rth_capability *const *rows, size_t count);
size_t rth__capability_count(void);
const struct rth_capability *rth__capability_at(size_t index);
struct rth_capability_runtime *rth__capability_runtime_at(size_t index);
const char *rth__capability_state_name(int state);
bool rth__capability_is_running(const char *name);

/* Start in table order, stop in reverse; only rows that run are stopped. */
void rth__capabilities_start(void);
void rth__capabilities_stop(void);
void rth__capabilities_tick(void);
void rth__capabilities_child_reset(void);

#endif /* RTH_CORE_CAPABILITY_H */
