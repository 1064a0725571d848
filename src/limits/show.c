/* SPDX-License-Identifier: MIT */
/* The budget and its routes. On rth-work, unless said otherwise. */
#include "limits/show.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/collect.h"
#include "core/identity.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "limits/cpu.h"
#include "limits/evidence.h"
#include "limits/in_force.h"
#include "limits/limits.h"
#include "limits/memory.h"
#include "limits/show_memory.h"
#include "limits/stacks.h"
#include "os/procfs.h"
#include "rthooks/rthooks.h"

static const char *_Atomic hooks_now = "";
/* As measured last; -1: not known. */
static _Atomic int64_t stacks_bytes = -1;
static _Atomic int64_t mappings_bytes = -1;

void rth__limits_hooks_set(const char *hooks)
{
    atomic_store_explicit(&hooks_now, hooks, memory_order_release);
}

void rth__limits_measure(int root_fd)
{
    struct rth_proc_status status;
    int64_t mapped = -1;
    if (rth__proc_status_read(root_fd, 0, 0, &status) == 0)
        mapped = (int64_t)((status.rss_file_kib + status.rss_shmem_kib) * 1024);
    atomic_store_explicit(&mappings_bytes, mapped, memory_order_relaxed);
    atomic_store_explicit(&stacks_bytes, rth__stacks_resident_bytes(root_fd), memory_order_relaxed);
}

static void fill_context(const struct rth_budget *budget, struct rth_budget_context *context)
{
    const struct rth_identity *identity = rth__identity();
    struct rth_memory_now now;
    rth__memory_now_read_sigsafe(&now);
    int64_t critical_bytes =
        rth__budget_critical_bytes(budget->memory_limit_bytes, budget->memory_hard_bytes);
    *context = (struct rth_budget_context){
        .service = identity->service,
        .version = identity->version,
        .revision = identity->revision,
        .build_id = identity->build_id,
        .hooks = atomic_load_explicit(&hooks_now, memory_order_acquire),
        .return_mode = rth__limits_return_is_lazy() ? "lazy" : "eager",
        .rss_bytes = now.rss_bytes,
        .headroom_bytes = budget->memory_limit_bytes == RTH_BUDGET_NO_LIMIT
                              ? -1
                              : critical_bytes - budget->memory_limit_bytes,
        .stacks_bytes = atomic_load_explicit(&stacks_bytes, memory_order_relaxed),
        .mappings_bytes = atomic_load_explicit(&mappings_bytes, memory_order_relaxed),
    };
}

int rth__limits_line(const char *extra, char *ret_line, size_t line_size)
{
    struct rth_budget budget;
    struct rth_budget_context context;
    rth__in_force_read(&budget);
    fill_context(&budget, &context);
    context.extra = extra;
    return rth__budget_line(&budget, &context, ret_line, line_size);
}

bool rth__limits_wants_text(struct rth_call *call)
{
    char format[8] = "";
    (void)rth__params_get(&call->params, "format", format, sizeof(format));
    if (strcmp(format, "text") != 0)
        return false;
    call->content_type = "text/plain; charset=utf-8";
    return true;
}

/* ---- budget ---------------------------------------------------------------------------------- */

static void write_manifest_memory(const char *key, int64_t bytes, struct rth_json *json)
{
    if (bytes >= 0)
        rth__json_member_int(json, key, bytes);
}

static void write_manifest(const struct rth_budget *budget, struct rth_json *json)
{
    struct rth_manifest manifest;
    rth__limits_manifest(&manifest);
    rth__json_key(json, "manifest");
    rth__json_object_begin(json);
    write_manifest_memory("memory_request_bytes", manifest.memory_request_bytes, json);
    write_manifest_memory("memory_limit_bytes", manifest.memory_limit_bytes, json);
    if (manifest.memory_limit_bytes > 0) {
        bool has_limit = budget->memory_hard_bytes != RTH_BUDGET_NO_LIMIT;
        rth__json_member_bool(
            json, "memory_limit_drifts",
            !rth__manifest_memory_matches(manifest.memory_limit_bytes, budget->memory_hard_bytes));
        if (has_limit)
            rth__json_member_double(json, "memory_limit_drift_ratio",
                                    (double)budget->memory_hard_bytes /
                                        (double)manifest.memory_limit_bytes);
    }
    if (manifest.cpu_request > 0)
        rth__json_member_double(json, "cpu_request", manifest.cpu_request);
    if (manifest.cpu_limit > 0) {
        rth__json_member_double(json, "cpu_limit", manifest.cpu_limit);
        rth__json_member_bool(json, "cpu_limit_drifts",
                              !rth__manifest_cpu_matches(manifest.cpu_limit, budget->cpu_limit));
        if (budget->cpu_limit > 0)
            rth__json_member_double(json, "cpu_limit_drift_ratio",
                                    budget->cpu_limit / manifest.cpu_limit);
    }
    rth__json_object_end(json);
}

static int write_budget(struct rth_call *call, struct rth_sink *sink)
{
    rth__limits_measure(rth__root_fd());
    if (rth__limits_wants_text(call)) {
        char line[4096];
        int length = rth__limits_line("\n", line, sizeof(line));
        return length < 0 ? length : rth__sink_write(sink, line, (size_t)length);
    }
    struct rth_budget budget;
    struct rth_budget_context context;
    rth__in_force_read(&budget);
    fill_context(&budget, &context);
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__budget_json(&budget, &context, &json);
    write_manifest(&budget, &json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

/* ---- a change -------------------------------------------------------------------------------- */

static void member_limit(struct rth_json *json, const char *key, int64_t bytes)
{
    rth__json_key(json, key);
    if (bytes == RTH_BUDGET_NO_LIMIT)
        rth__json_null(json);
    else
        rth__json_int(json, bytes);
}

static int set_memlimit(struct rth_call *call, struct rth_sink *sink)
{
    char text[64];
    int length = rth__params_get(&call->params, "set", text, sizeof(text));
    if (length == -ENOENT)
        return rth__call_fail(call, 400, "set=LIMIT is missing; LIMIT is %s",
                              RTH_BUDGET_MEMORY_GRAMMAR);
    int64_t before_bytes, after_bytes;
    int error = length < 0 ? length
                           : rth__in_force_set_memory_text(text, "POST /debug/runtime/memlimit",
                                                           &before_bytes, &after_bytes);
    if (error != 0)
        return rth__call_fail(call, 400, "set is not a limit%s; it is %s",
                              error == -ERANGE ? " below 2^63" : "", RTH_BUDGET_MEMORY_GRAMMAR);
    rth__collect_wake_sigsafe();
    struct rth_json json;
    call->content_type = "application/json";
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    member_limit(&json, "old_limit_bytes", before_bytes);
    member_limit(&json, "limit_bytes", after_bytes);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}

/* ---- rows ------------------------------------------------------------------------------------ */

void rth__limits_status(struct rth_json *json)
{
    struct rth_budget budget;
    struct rth_memory_now now;
    rth__in_force_read(&budget);
    rth__memory_now_read_sigsafe(&now);
    member_limit(json, "memory_limit_bytes", budget.memory_limit_bytes);
    rth__json_member_string(json, "memory_source", budget.memory_source);
    rth__json_member_string(json, "memory_state", rth__memory_state_name(now.state));
    rth__json_member_bool(json, "memory_is_stale", now.is_stale);
    rth__json_member_double(json, "cpu_limit", budget.cpu_limit);
    rth__json_member_string(json, "cpu_source", budget.cpu_source);
    rth__json_member_uint(json, "workers", budget.workers);
    rth__json_member_string(json, "sampled_by", rth__collect_is_running() ? "rth-collect" : "tick");
    if (!rth__collect_is_running())
        rth__json_member_string(json, "reason",
                                "an adopted child samples once a second, and does not reclaim "
                                "by itself");
}

const struct rth_artefact rth__limits_artefacts[RTH_LIMITS_ARTEFACT_COUNT] = {
    {
        .name = "memlimit",
        .path = "/debug/runtime/memlimit",
        .content_type = "application/json",
        .description = "the memory limit, where it comes from, usage, the state and how it came",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = rth__limits_write_memlimit,
    },
    {
        .name = "cpulimit",
        .path = "/debug/runtime/cpulimit",
        .content_type = "application/json",
        .description = "the CPU limit, where it comes from, workers, throttling",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = rth__limits_write_cpulimit,
    },
    {
        .name = "budget",
        .path = "/debug/runtime/budget",
        .content_type = "application/json",
        .description = "what this process may use, in one document",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = write_budget,
    },
    {
        .name = "cgroup",
        .path = "/debug/runtime/cgroup",
        .content_type = "text/plain; charset=utf-8",
        .description = "the files of the cgroups that decide, as they are",
        .flags = RTH_ARTEFACT_BY_PID,
        .write = rth__evidence_write_cgroup,
    },
};

const struct rth_action rth__limits_actions[RTH_LIMITS_ACTION_COUNT] = {
    {
        .name = "memlimit",
        .path = "/debug/runtime/memlimit",
        .description = "?set=900MiB, auto or off: sets the memory limit",
        .run = set_memlimit,
    },
};
