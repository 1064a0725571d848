/* SPDX-License-Identifier: MIT */
#include "limits/evidence.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/artefact.h"
#include "core/service_thread.h"
#include "episode/episode.h"
#include "limits/in_force.h"
#include "limits/memory.h"
#include "os/fd.h"
#include "rthooks/error.h"
#include "rthooks/limits.h"

/* Who holds it and what the platform says come first: there may be no time for the rest. */
static const char *const artefacts[] = {"heap", "memlimit", "cgroup", "threads?debug=2",
                                        "mmap", "status",   "config", NULL};

static const struct rth_trigger triggers[] = {
    {.name = "memory-elevated", .artefacts = artefacts},
    {.name = "memory-shed", .artefacts = artefacts},
    {.name = "memory-critical", .artefacts = artefacts, .flags = RTH_TRIGGER_LAST_GASP},
    {.name = "memory-exhausted", .artefacts = artefacts},
};
static const struct rth_trigger prediction = {.name = "memory-predicted", .artefacts = artefacts};

static const struct rth_trigger *trigger_of(int state)
{
    return state >= RTH_MEMORY_EXHAUSTED  ? &triggers[3]
           : state >= RTH_MEMORY_CRITICAL ? &triggers[2]
           : state >= RTH_MEMORY_SHED     ? &triggers[1]
                                          : &triggers[0];
}

/* The looking thread's. A worse state that came while the evidence of the one before was collected:
 * asked for again as long as it lasts. */
static struct {
    int state; /* RTH_MEMORY_OK: nothing waits */
    char reason[300];
} waiting;

void rth__evidence_of_state(const struct rth_memory_transition *transition)
{
    (void)snprintf(waiting.reason, sizeof(waiting.reason),
                   "state=%s before=%s%s usage=%lld limit=%lld hard=%lld rss=%lld growth=%lld",
                   rth__memory_state_name(transition->to), rth__memory_state_name(transition->from),
                   transition->is_stale ? " stale=yes" : "", (long long)transition->usage_bytes,
                   (long long)transition->limit_bytes, (long long)transition->hard_bytes,
                   (long long)transition->rss_bytes, (long long)transition->growth_bytes_per_s);
    bool is_busy = rth__episode_trigger(trigger_of(transition->to), waiting.reason) == -EBUSY;
    waiting.state = is_busy ? transition->to : RTH_MEMORY_OK;
}

void rth__evidence_again(int state)
{
    if (waiting.state == RTH_MEMORY_OK)
        return;
    if (state >= waiting.state) {
        if (rth__episode_is_busy())
            return;
        (void)rth__episode_trigger(trigger_of(waiting.state), waiting.reason);
    }
    waiting.state = RTH_MEMORY_OK;
}

void rth__evidence_of_prediction(const struct rth_memory_look *look, int64_t growth_bytes_per_s)
{
    char reason[300];
    (void)snprintf(reason, sizeof(reason),
                   "predicted=critical usage=%lld limit=%lld hard=%lld "
                   "growth=%lld",
                   (long long)look->usage_bytes, (long long)look->limit_bytes,
                   (long long)look->hard_bytes, (long long)growth_bytes_per_s);
    (void)rth__episode_trigger(&prediction, reason);
}

static int danger_said = -1; /* the looking thread's; -1: nothing yet */

void rth__evidence_reset(void)
{
    danger_said = -1;
    waiting.state = RTH_MEMORY_OK;
}

/* EXHAUSTED is none by itself: it may last, halfway to the hard limit, and is worth evidence. */
void rth__evidence_danger(const struct rth_memory_look *look)
{
    int is_in_danger = look->hard_bytes != INT64_MAX && look->usage_bytes >= 0 &&
                       look->usage_bytes >= look->hard_bytes - look->hard_bytes / 100;
    if (is_in_danger == danger_said)
        return;
    danger_said = is_in_danger;
    rth__episode_danger_set(is_in_danger != 0);
}

/* ---- the files ------------------------------------------------------------------------------- */

static const char *const memory_files[][16] = {
    {"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes",
     "memory.failcnt", "memory.soft_limit_in_bytes", "memory.memsw.limit_in_bytes",
     "memory.memsw.usage_in_bytes", "memory.oom_control", "memory.swappiness", "memory.stat"},
    {"memory.max", "memory.high", "memory.low", "memory.min", "memory.current", "memory.peak",
     "memory.swap.max", "memory.swap.current", "memory.events", "memory.events.local",
     "memory.oom.group", "memory.pressure", "memory.stat"},
};
static const char *const cpu_files[][16] = {
    {"cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpu.stat"},
    {"cpu.max", "cpu.weight", "cpu.stat", "cpu.pressure"},
};

static void write_file(const char *folder, const char *name, struct rth_sink *sink)
{
    char path[RTH_CGROUP_PATH_BYTES + 64];
    char text[1024];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    RTH__AUTO_CLOSE int fd = rth__openat(rth__root_fd(), path, O_RDONLY);
    if (fd == -ENOENT)
        return;
    (void)rth__sink_printf(sink, "== /%s\n", path);
    ssize_t got = fd;
    while (fd >= 0 && (got = rth__read_some(fd, text, sizeof(text))) > 0)
        (void)rth__sink_write(sink, text, (size_t)got);
    if (got < 0)
        (void)rth__sink_printf(sink, "(%s)\n", rth_strerror((int)got));
}

static void write_folder(const char *folder, int version, const char *const files[][16],
                         struct rth_sink *sink)
{
    if (folder[0] == '\0' || version < 1 || version > 2)
        return;
    for (size_t i = 0; i < 16 && files[version - 1][i] != NULL; i++)
        write_file(folder, files[version - 1][i], sink);
}

int rth__evidence_write_cgroup(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    static struct rth_platform platform; /* rth-work's alone */
    rth__in_force_platform_read(&platform);
    if (platform.error != 0)
        (void)rth__sink_printf(sink, "cgroups are not known: %s\n", rth_strerror(platform.error));
    write_folder(platform.memory.usage_folder, platform.memory_version, memory_files, sink);
    if (strcmp(platform.own_folder, platform.memory.usage_folder) != 0)
        write_folder(platform.own_folder, platform.memory_version, memory_files, sink);
    if (platform.memory_version == 1 && platform.unified_folder[0] != '\0')
        write_file(platform.unified_folder, "memory.pressure", sink);
    write_folder(platform.cpu.throttle_folder, platform.cpu_version, cpu_files, sink);
    if (sink->written_bytes == 0)
        (void)rth__sink_puts(sink, "no memory or cpu controller\n");
    return sink->error;
}
