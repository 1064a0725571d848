/* SPDX-License-Identifier: MIT */
#include "limits/cpu.h"

#include <errno.h>
#include <string.h>

#include "core/artefact.h"
#include "core/service_thread.h"
#include "formats/json.h"
#include "formats/number.h"
#include "limits/in_force.h"
#include "limits/show_memory.h"
#include "rthooks/error.h"

/* rth-work's alone. */
static struct rth_platform platform;
static struct rth_budget budget;

static void write_quota(const struct rth_cgroup_limit *quota, struct rth_json *json)
{
    rth__json_key(json, "quota");
    rth__json_object_begin(json);
    rth__json_member_string(json, "kind", rth__limit_kind_name(quota->kind));
    if (quota->kind == RTH_LIMIT_SET) {
        rth__json_member_uint(json, "quota_us", quota->value);
        rth__json_member_uint(json, "period_us", quota->period_us);
        rth__json_member_string(json, "source", quota->source);
        rth__json_member_uint(json, "level", quota->level);
    }
    if (quota->error != 0)
        rth__json_member_string(json, "error", rth_strerror(quota->error));
    rth__json_object_end(json);
}

static int read_throttling(struct rth_cgroup_throttling *ret_throttling)
{
    if (platform.cpu.throttle_folder[0] == '\0')
        return -ENODATA;
    return rth__cgroup_throttling_read(rth__root_fd(), platform.cpu_version,
                                       platform.cpu.throttle_folder, ret_throttling);
}

static void write_throttling(struct rth_json *json)
{
    struct rth_cgroup_throttling throttling;
    rth__json_key(json, "throttling");
    rth__json_object_begin(json);
    rth__json_member_string(json, "folder", platform.cpu.throttle_folder);
    int error = read_throttling(&throttling);
    if (error != 0) {
        rth__json_member_string(json, "error", rth_strerror(error));
    } else {
        rth__json_member_uint(json, "periods", throttling.periods);
        rth__json_member_uint(json, "throttled_periods", throttling.throttled_periods);
        rth__json_member_double(json, "throttled_seconds", (double)throttling.throttled_ns / 1e9);
    }
    rth__json_object_end(json);
}

static int write_line(struct rth_sink *sink)
{
    char limit[RTH_NUMBER_BYTES];
    (void)rth__number_double_json(budget.cpu_limit, limit);
    struct rth_cgroup_throttling throttling = {0};
    (void)rth__sink_printf(sink, "rthooks cpulimit limit=%s source=\"%s\" affinity=%u workers=%u",
                           budget.cpu_limit > 0 ? limit : "off", budget.cpu_source, budget.affinity,
                           budget.workers);
    if (read_throttling(&throttling) == 0)
        (void)rth__sink_printf(sink, " periods=%llu throttled_periods=%llu throttled_ns=%llu",
                               (unsigned long long)throttling.periods,
                               (unsigned long long)throttling.throttled_periods,
                               (unsigned long long)throttling.throttled_ns);
    return rth__sink_puts(sink, "\n");
}

int rth__limits_write_cpulimit(struct rth_call *call, struct rth_sink *sink)
{
    rth__in_force_read(&budget);
    rth__in_force_platform_read(&platform);
    if (rth__limits_wants_text(call))
        return write_line(sink);
    struct rth_json json;
    rth__json_init(&json, sink);
    rth__json_object_begin(&json);
    rth__json_key(&json, "limit");
    if (budget.cpu_limit > 0)
        rth__json_double(&json, budget.cpu_limit);
    else
        rth__json_null(&json);
    rth__json_member_string(&json, "source", budget.cpu_source);
    rth__json_member_uint(&json, "affinity", budget.affinity);
    rth__json_member_uint(&json, "workers", budget.workers);
    write_quota(&platform.cpu.quota, &json);
    write_throttling(&json);
    rth__json_object_end(&json);
    rth__json_finish(&json);
    return sink->error;
}
