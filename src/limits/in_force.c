/* SPDX-License-Identifier: MIT */
#include "limits/in_force.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/call.h"
#include "core/lock.h"
#include "limits/reclaim.h"
#include "rthooks/log.h"

/* Held while copying, never while anything waits or allocates: rth-collect takes it. */
static struct rth_lock lock = RTH_LOCK_INIT(RTH_RANK_LIMITS);
/* Protected by lock. */
static struct rth_budget_settings settings = RTH_BUDGET_SETTINGS_DEFAULT;
static struct rth_platform platform;
static struct rth_budget budget;
static bool is_set;   /* somebody set the memory limit: that comes before the options */
static bool is_known; /* the budget was computed since start */

static _Atomic int64_t memory_limit_now = RTH_BUDGET_NO_LIMIT;
static _Atomic int64_t memory_hard_now = RTH_BUDGET_NO_LIMIT;
static _Atomic unsigned workers_now;

static bool is_same(const struct rth_budget *a, const struct rth_budget *b)
{
    return a->memory_limit_bytes == b->memory_limit_bytes &&
           a->memory_hard_bytes == b->memory_hard_bytes &&
           a->memory_high_bytes == b->memory_high_bytes && a->cpu_limit == b->cpu_limit &&
           a->workers == b->workers && strcmp(a->memory_source, b->memory_source) == 0 &&
           strcmp(a->cpu_source, b->cpu_source) == 0;
}

/* True when it is another one than before; ret_before then has that one. */
static bool compute_locked(struct rth_budget *ret_before)
{
    *ret_before = budget;
    rth__budget_compute(&settings, &platform.memory, &platform.cpu, &budget);
    atomic_store_explicit(&memory_limit_now, budget.memory_limit_bytes, memory_order_release);
    atomic_store_explicit(&memory_hard_now, budget.memory_hard_bytes, memory_order_release);
    atomic_store_explicit(&workers_now, budget.workers, memory_order_release);
    bool changed = !is_known || !is_same(ret_before, &budget);
    is_known = true;
    return changed;
}

static void warn_of(const struct rth_budget *now)
{
    bool memory_is_unreadable = strcmp(now->memory_source, "unreadable") == 0;
    if (memory_is_unreadable || strcmp(now->cpu_source, "unreadable") == 0)
        rth_log(RTH_LOG_WARN, "limits.unreadable",
                "what=%s text=\"the limit cannot be read; RTHOOKS_%s_LIMIT sets one\"",
                memory_is_unreadable ? "memory" : "cpu", memory_is_unreadable ? "MEMORY" : "CPU");
    if (now->explicit_is_above_hard)
        rth_log(RTH_LOG_WARN, "limits.above_hard",
                "limit=%lld text=\"above the hard limit, which counts in its place\"",
                (long long)now->memory_limit_bytes);
    if (now->is_throttled_below_limit)
        rth_log(RTH_LOG_WARN, "limits.memory_high",
                "memory_high=%lld limit=%lld text=\"the kernel slows this group down before its "
                "limit\"",
                (long long)now->memory_high_bytes, (long long)now->memory_limit_bytes);
}

static void warn_of_drift(const struct rth_budget *now)
{
    struct rth_manifest manifest;
    rth__limits_manifest(&manifest);
    if (manifest.memory_limit_bytes >= 0 &&
        !rth__manifest_memory_matches(manifest.memory_limit_bytes, now->memory_hard_bytes))
        rth_log(RTH_LOG_WARN, "limits.drift", "what=memory manifest=%lld in_force=%lld",
                (long long)manifest.memory_limit_bytes, (long long)now->memory_hard_bytes);
    if (manifest.cpu_limit > 0 && !rth__manifest_cpu_matches(manifest.cpu_limit, now->cpu_limit))
        rth_log(RTH_LOG_WARN, "limits.drift", "what=cpu manifest_millis=%lld in_force_millis=%lld",
                (long long)(manifest.cpu_limit * 1000), (long long)(now->cpu_limit * 1000));
}

/* After a change, without the lock. */
static void tell(const struct rth_budget *before, const struct rth_budget *now, bool is_first)
{
    warn_of(now);
    warn_of_drift(now);
    rth__reclaim_cpu_limit_set(now->cpu_limit > 0 ? now->cpu_limit : (double)now->affinity);
    if (is_first)
        return;
    rth_log(RTH_LOG_WARN, "limits.changed",
            "memory_limit=%lld before=%lld hard=%lld workers=%u before=%u source=%.90s",
            (long long)now->memory_limit_bytes, (long long)before->memory_limit_bytes,
            (long long)now->memory_hard_bytes, now->workers, before->workers, now->memory_source);
    rth__call_want_all();
}

static bool change(void (*apply)(const void *argument), const void *argument,
                   struct rth_budget *ret_before, struct rth_budget *ret_now)
{
    rth__lock(&lock);
    bool is_first = !is_known;
    if (apply != NULL)
        apply(argument);
    bool changed = compute_locked(ret_before);
    *ret_now = budget;
    rth__unlock(&lock);
    if (changed)
        tell(ret_before, ret_now, is_first);
    return changed;
}

void rth__in_force_configure(void)
{
    struct rth_budget_settings read;
    rth__limits_settings(&read);
    RTH__LOCK_SCOPE(&lock);
    if (is_set) {
        read.memory_is_off = settings.memory_is_off;
        read.memory_is_explicit = settings.memory_is_explicit;
        read.memory_limit_bytes = settings.memory_limit_bytes;
        read.memory_explicit_source = settings.memory_explicit_source;
    }
    settings = read;
    is_known = false;
}

static void take_platform(const void *argument)
{
    const struct rth_cgroup_watch *watch = argument;
    platform.memory = watch->memory;
    platform.cpu = watch->cpu;
    platform.memory_version = watch->cgroups.memory.version;
    platform.cpu_version = watch->cgroups.cpu.version;
    platform.memory_note = watch->cgroups.memory.note;
    platform.error = watch->cgroups.error;
    (void)snprintf(platform.unified_folder, sizeof(platform.unified_folder), "%s",
                   watch->cgroups.unified.folder);
    (void)snprintf(platform.own_folder, sizeof(platform.own_folder), "%s",
                   watch->cgroups.memory.folder);
}

/* Two budgets are 4 KiB: static for the looking thread's stack, which is one thread at a time. */
static struct rth_budget looked_before, looked_now;

bool rth__in_force_platform(const struct rth_cgroup_watch *watch)
{
    return change(take_platform, watch, &looked_before, &looked_now);
}

static void take_settings(const void *argument)
{
    settings = *(const struct rth_budget_settings *)argument;
    is_set = true;
}

static void read_settings(struct rth_budget_settings *ret_settings)
{
    RTH__LOCK_SCOPE(&lock);
    *ret_settings = settings;
}

int64_t rth__in_force_set_memory(int64_t limit_bytes, const char *source)
{
    if (limit_bytes < 0)
        return rth__in_force_memory_limit();
    struct rth_budget before, now;
    struct rth_budget_settings changed;
    read_settings(&changed);
    changed.memory_is_off = limit_bytes == RTH_BUDGET_NO_LIMIT;
    changed.memory_is_explicit = !changed.memory_is_off;
    changed.memory_limit_bytes = limit_bytes;
    changed.memory_explicit_source = source;
    (void)change(take_settings, &changed, &before, &now);
    return before.memory_limit_bytes;
}

int rth__in_force_set_memory_text(const char *text, const char *source, int64_t *ret_before_bytes,
                                  int64_t *ret_after_bytes)
{
    struct rth_budget before, now;
    struct rth_budget_settings changed;
    read_settings(&changed);
    int error = rth__budget_memory_limit_parse(text, &changed);
    if (error != 0)
        return error;
    changed.memory_explicit_source = source;
    (void)change(take_settings, &changed, &before, &now);
    *ret_before_bytes = before.memory_limit_bytes;
    *ret_after_bytes = now.memory_limit_bytes;
    return 0;
}

void rth__in_force_read(struct rth_budget *ret_budget)
{
    RTH__LOCK_SCOPE(&lock);
    *ret_budget = budget;
}

void rth__in_force_platform_read(struct rth_platform *ret_platform)
{
    RTH__LOCK_SCOPE(&lock);
    *ret_platform = platform;
}

int64_t rth__in_force_memory_limit(void)
{
    return atomic_load_explicit(&memory_limit_now, memory_order_acquire);
}

int64_t rth__in_force_memory_hard(void)
{
    return atomic_load_explicit(&memory_hard_now, memory_order_acquire);
}

unsigned rth__in_force_workers(void)
{
    return atomic_load_explicit(&workers_now, memory_order_acquire);
}

void rth__in_force_child_reset(void)
{
    rth__lock_reset(&lock);
    is_known = false;
}
