/* SPDX-License-Identifier: MIT */
/* /debug/runtime/memlimit. On rth-work. */
#include "limits/show_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/artefact.h"
#include "core/call.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "limits/in_force.h"
#include "limits/look.h"
#include "limits/memory.h"
#include "limits/pressure_watch.h"
#include "limits/psi.h"
#include "limits/reclaim.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/scan.h"
#include "rthooks/error.h"

#define NONE INT64_MAX

/* rth-work's alone. */
static struct rth_platform platform;
static struct rth_budget budget;

/* null: there is none; nothing at all: not known. */
static void member_bytes(struct rth_json *json, const char *key, int64_t bytes)
{
    if (bytes < 0)
        return;
    rth__json_key(json, key);
    if (bytes == NONE)
        rth__json_null(json);
    else
        rth__json_int(json, bytes);
}

static void member_counted(struct rth_json *json, const char *key, uint64_t value)
{
    if (value != UINT64_MAX)
        rth__json_member_uint(json, key, value);
}

static void write_limit(struct rth_json *json, const char *key,
                        const struct rth_cgroup_limit *limit)
{
    rth__json_key(json, key);
    rth__json_object_begin(json);
    rth__json_member_string(json, "kind", rth__limit_kind_name(limit->kind));
    if (limit->kind == RTH_LIMIT_SET) {
        rth__json_member_uint(json, "bytes", limit->value);
        rth__json_member_string(json, "source", limit->source);
        rth__json_member_uint(json, "level", limit->level);
    }
    if (limit->error != 0)
        rth__json_member_string(json, "error", rth_strerror(limit->error));
    rth__json_object_end(json);
}

static void write_platform(struct rth_json *json)
{
    rth__json_key(json, "cgroup");
    rth__json_object_begin(json);
    rth__json_member_int(json, "version", platform.memory_version);
    if (platform.error != 0)
        rth__json_member_string(json, "error", rth_strerror(platform.error));
    if (platform.memory_note != NULL)
        rth__json_member_string(json, "note", platform.memory_note);
    write_limit(json, "max", &platform.memory.max);
    write_limit(json, "high", &platform.memory.high);
    write_limit(json, "swap", &platform.memory.swap);
    rth__json_member_string(json, "usage_folder", platform.memory.usage_folder);
    struct rth_cgroup_memory_usage usage;
    int error = platform.memory.usage_folder[0] == '\0'
                    ? -ENODATA
                    : rth__cgroup_memory_usage_read(rth__root_fd(), platform.memory_version,
                                                    platform.memory.usage_folder, &usage);
    if (error == 0) {
        member_counted(json, "usage_bytes", usage.current_bytes);
        member_counted(json, "reclaimable_bytes", usage.reclaimable_bytes);
        member_counted(json, "peak_bytes", usage.peak_bytes);
        member_counted(json, "swap_bytes", usage.swap_bytes);
        rth__json_key(json, "events");
        rth__json_object_begin(json);
        member_counted(json, "high", usage.events_high);
        member_counted(json, "max", usage.events_max);
        member_counted(json, "oom", usage.events_oom);
        member_counted(json, "oom_kill", usage.events_oom_kill);
        rth__json_object_end(json);
    }
    rth__json_object_end(json);
}

static void write_pressure(const struct rth_memory_view *view, struct rth_json *json)
{
    char path[RTH_CGROUP_PATH_BYTES + 32];
    char text[512] = "";
    (void)snprintf(path, sizeof(path), "%s/memory.pressure", platform.unified_folder);
    rth__json_key(json, "pressure");
    rth__json_object_begin(json);
    if (platform.unified_folder[0] != '\0' &&
        rth__read_file_at(rth__root_fd(), path, text, sizeof(text)) > 0) {
        uint64_t total_us;
        if (rth__psi_total_parse(text, "some", &total_us) == 0)
            rth__json_member_double(json, "some_seconds", (double)total_us / 1e6);
        if (rth__psi_total_parse(text, "full", &total_us) == 0)
            rth__json_member_double(json, "full_seconds", (double)total_us / 1e6);
    }
    rth__json_member_uint(json, "stalls", view->pressure_stalls);
    if (rth__pressure_watch_path()[0] != '\0') {
        rth__json_member_string(json, "watched", rth__pressure_watch_path());
        rth__json_member_uint(json, "fired", view->pressure_fires);
    }
    if (rth__pressure_watch_reason()[0] != '\0')
        rth__json_member_string(json, "not_watched_reason", rth__pressure_watch_reason());
    rth__json_object_end(json);
}

static void write_thresholds(struct rth_json *json)
{
    struct rth_memory_thresholds thresholds;
    rth__memory_thresholds(budget.memory_limit_bytes, budget.memory_hard_bytes, &thresholds);
    rth__json_key(json, "thresholds");
    rth__json_object_begin(json);
    member_bytes(json, "elevated_bytes", thresholds.elevated_bytes);
    member_bytes(json, "shed_bytes", thresholds.shed_bytes);
    member_bytes(json, "critical_bytes", thresholds.critical_bytes);
    if (thresholds.shed_bytes != NONE)
        member_bytes(json, "leave_below_bytes", thresholds.leave_bytes);
    rth__json_object_end(json);
}

static void write_transition(const struct rth_memory_transition *transition, struct rth_json *json)
{
    char time[RTH_RFC3339_BYTES];
    rth__clock_rfc3339_sigsafe(transition->unix_ns, time);
    rth__json_object_begin(json);
    rth__json_member_string(json, "time", time);
    rth__json_member_string(json, "from", rth__memory_state_name(transition->from));
    rth__json_member_string(json, "to", rth__memory_state_name(transition->to));
    rth__json_member_bool(json, "is_stale", transition->is_stale);
    member_bytes(json, "limit_bytes", transition->limit_bytes);
    member_bytes(json, "hard_limit_bytes", transition->hard_bytes);
    member_bytes(json, "usage_bytes", transition->usage_bytes);
    member_bytes(json, "rss_bytes", transition->rss_bytes);
    rth__json_member_int(json, "growth_bytes_per_s", transition->growth_bytes_per_s);
    rth__json_member_uint(json, "shrunk_bytes", transition->shrunk_bytes);
    rth__json_member_uint(json, "purged_bytes", transition->purged_bytes);
    rth__json_object_end(json);
}

static void write_transitions(const struct rth_memory_view *view, struct rth_json *json)
{
    uint64_t count = view->transition_count;
    uint64_t first = count > RTH_TRANSITION_RING ? count - RTH_TRANSITION_RING : 0;
    rth__json_member_uint(json, "transition_count", count);
    rth__json_key(json, "transitions");
    rth__json_array_begin(json);
    for (uint64_t i = first; i < count; i++) {
        struct rth_memory_transition transition;
        if (rth__look_transition(i, &transition))
            write_transition(&transition, json);
    }
    rth__json_array_end(json);
}

static void write_sampling(const struct rth_memory_view *view, struct rth_json *json)
{
    const struct rth_memory_machine *machine = &view->machine;
    rth__json_member_string(json, "state", rth__memory_state_name(machine->state));
    rth__json_member_bool(json, "is_stale", machine->is_stale);
    member_bytes(json, "usage_bytes", view->reading.usage_bytes);
    rth__json_member_string(json, "usage_of", view->reading.is_of_process ? "process" : "cgroup");
    member_bytes(json, "charged_bytes", view->reading.current_bytes);
    member_bytes(json, "reclaimable_bytes", view->reading.reclaimable_bytes);
    member_bytes(json, "rss_bytes", view->reading.rss_bytes);
    if (view->reading.error != 0)
        rth__json_member_string(json, "error", rth_strerror(view->reading.error));
    rth__json_member_int(json, "growth_bytes_per_s", (int64_t)machine->slow_bytes_per_s);
    rth__json_member_int(json, "growth_now_bytes_per_s", (int64_t)machine->fast_bytes_per_s);
    rth__json_member_bool(json, "is_predicted", machine->is_predicted);
    rth__json_member_uint(json, "predictions", view->predictions);
    rth__json_member_double(json, "period_seconds", (double)view->period_ns / 1e9);
    rth__json_member_uint(json, "looks", view->looks);
    rth__json_member_uint(json, "failed_looks", view->failed_looks);
}

static void put_bytes(struct rth_sink *sink, const char *key, int64_t bytes)
{
    if (bytes == NONE)
        (void)rth__sink_printf(sink, " %s=off", key);
    else if (bytes >= 0)
        (void)rth__sink_printf(sink, " %s=%lld", key, (long long)bytes);
    else
        (void)rth__sink_printf(sink, " %s=-", key);
}

static int write_line(const struct rth_memory_view *view, struct rth_sink *sink)
{
    (void)rth__sink_printf(sink, "rthooks memlimit state=%s%s",
                           rth__memory_state_name(view->machine.state),
                           view->machine.is_stale ? " stale=yes" : "");
    put_bytes(sink, "limit", budget.memory_limit_bytes);
    put_bytes(sink, "hard", budget.memory_hard_bytes);
    put_bytes(sink, "usage", view->reading.usage_bytes);
    put_bytes(sink, "reclaimable", view->reading.reclaimable_bytes);
    put_bytes(sink, "rss", view->reading.rss_bytes);
    return rth__sink_printf(sink, " growth=%lld source=\"%s\"\n",
                            (long long)view->machine.slow_bytes_per_s, budget.memory_source);
}

int rth__limits_write_memlimit(struct rth_call *call, struct rth_sink *sink)
{
    struct rth_memory_view view;
    rth__look_view(&view);
    rth__in_force_read(&budget);
    rth__in_force_platform_read(&platform);
    if (rth__limits_wants_text(call))
        return write_line(&view, sink);
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    member_bytes(&json, "limit_bytes", budget.memory_limit_bytes);
    member_bytes(&json, "hard_limit_bytes", budget.memory_hard_bytes);
    rth__json_member_string(&json, "source", budget.memory_source);
    if (budget.memory_ratio > 0)
        rth__json_member_double(&json, "ratio", budget.memory_ratio);
    write_sampling(&view, &json);
    write_thresholds(&json);
    write_platform(&json);
    write_pressure(&view, &json);
    write_transitions(&view, &json);
    rth__json_member_uint(&json, "late_callbacks", rth__call_late_count());
    rth__reclaim_json("reclaim", &json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}
