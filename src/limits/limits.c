/* SPDX-License-Identifier: MIT */
/*
 * The budget, and a memory limit that keeps the process alive.
 *
 * Purpose: the platform says in many places how much memory and CPU a process may have; here it is
 * one answer, kept true while it changes. Of memory, a share of it is the limit that the process
 * holds itself to: as usage comes near, the allocator gives back, caches shrink, requests are
 * refused, and evidence is collected, long before the kernel kills.
 * Shape: sampler.c reads the files; in_force.c puts them and the settings together; state.c
 * decides, a function of what was seen; look.c goes once from the files to everybody who acts;
 * memory.c publishes what is known for anybody to read; reclaim.c acts; evidence.c asks for
 * episodes; show*.c and cpu.c are the routes. Threads: the looks are rth-collect's: it never waits,
 * allocates or calls back, so that a look is late only when the machine is. How soon the next one
 * comes follows from growth and headroom, 2 to 250 ms; a line in the allocation hooks
 * (core/pressure.h) brings it at once. rth-reclaim acts, rth-call calls back, rth-work answers
 * routes. An adopted child looks in its tick, once a second. Locks: two of rank LIMITS, held for
 * copies: the budget in force, and what the last look left. Failure: what cannot be read is
 * "unreadable", not unlimited; when looks fail the state is one up and says stale; a group that
 * vanishes is looked for anew. malloc never fails because of us. Cost: 10 us per look, some 200 us
 * at start.
 */
#include "limits/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "core/collect.h"
#include "core/enable.h"
#include "core/service_thread.h"
#include "limits/in_force.h"
#include "limits/look.h"
#include "limits/options.h"
#include "limits/pressure_watch.h"
#include "limits/publish.h"
#include "limits/reclaim.h"
#include "limits/sampler.h"
#include "limits/show.h"
#include "os/clock.h"
#include "os/fd.h"
#include "rthooks/limits.h"

static int64_t sample(int64_t now_ns)
{
    return rth__look(rth__root_fd(), now_ns, false);
}

/* Where there is rth-collect it looks; rth-work must not. */
static void tick(void)
{
    if (!rth__collect_is_running())
        (void)rth__look(rth__root_fd(), rth__clock_monotonic_ns_sigsafe(), true);
}

static int start(char *ret_reason, size_t reason_size)
{
    (void)ret_reason, (void)reason_size;
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    if (root_fd < 0)
        return root_fd;
    rth__look_reset();
    rth__memory_now_reset();
    rth__in_force_configure();
    rth__pressure_watch_configure((const char *const *)environ);
    rth__limits_measure(root_fd); /* before there are threads of ours */
    int64_t now_ns = rth__clock_monotonic_ns_sigsafe();
    (void)rth__sampler_open(root_fd, now_ns);
    (void)rth__in_force_platform(rth__sampler_watch());
    struct rth_budget budget;
    rth__in_force_read(&budget);
    (void)rth__reclaim_start(rth__limits_return_is_lazy(), budget.memory_limit_bytes,
                             budget.cpu_limit > 0 ? budget.cpu_limit : (double)budget.affinity);
    (void)rth__look(root_fd, now_ns, true);
    rth__sampler_close();
    return 0;
}

static void stop(void)
{
    rth__reclaim_stop();
    rth__look_end();
    rth__memory_now_reset();
    rth__sampler_forget();
}

static void child_reset(void)
{
    rth__in_force_child_reset();
    rth__look_reset();
    rth__memory_now_reset();
    rth__sampler_forget();
    rth__reclaim_child_reset();
}

const struct rth_capability rth__limits_capability = {
    .name = "limits",
    .options = rth__limits_options,
    .option_count = RTH_LIMITS_OPTION_COUNT,
    .start = start,
    .stop = stop,
    .tick = tick,
    .sample = sample,
    .child_reset = child_reset,
    .artefacts = rth__limits_artefacts,
    .artefact_count = RTH_LIMITS_ARTEFACT_COUNT,
    .actions = rth__limits_actions,
    .action_count = RTH_LIMITS_ACTION_COUNT,
    .status = rth__limits_status,
};

/* ---- rthooks/limits.h ------------------------------------------------------------------------ */

static bool runs(void)
{
    return rth__enabled() && rth__capability_is_running("limits");
}

int64_t rth_memory_limit_set(int64_t limit_bytes)
{
    if (limit_bytes < 0)
        return rth__in_force_memory_limit();
    int64_t before_bytes = rth__in_force_set_memory(limit_bytes, "rth_memory_limit_set");
    if (runs()) {
        if (limit_bytes != RTH_MEMORY_LIMIT_NONE)
            (void)rth__reclaim_thread_start();
        rth__collect_wake_sigsafe();
    }
    return before_bytes;
}

int rth_limits_read(struct rth_limits *ret_limits)
{
    if (ret_limits == NULL || ret_limits->struct_size < sizeof(ret_limits->struct_size))
        return -EINVAL;
    if (!runs())
        return -EAGAIN;
    struct rth_memory_now now;
    struct rth_budget budget;
    rth__memory_now_read_sigsafe(&now);
    rth__in_force_read(&budget);
    struct rth_limits limits = {
        .struct_size = ret_limits->struct_size,
        .memory_limit_bytes = budget.memory_limit_bytes,
        .memory_hard_bytes = budget.memory_hard_bytes,
        .memory_usage_bytes = now.usage_bytes,
        .memory_state = now.state,
        .memory_is_stale = now.is_stale,
        .cpu_limit = budget.cpu_limit,
        .cpu_workers = budget.workers,
    };
    size_t known =
        ret_limits->struct_size < sizeof(limits) ? ret_limits->struct_size : sizeof(limits);
    memcpy(ret_limits, &limits, known);
    return 0;
}

unsigned rth_cpu_workers(void)
{
    unsigned workers = rth__in_force_workers();
    if (workers != 0)
        return workers;
    cpu_set_t processors; /* nothing was started: what the kernel lets it run on */
    long count = sched_getaffinity(0, sizeof(processors), &processors) == 0
                     ? CPU_COUNT(&processors)
                     : sysconf(_SC_NPROCESSORS_ONLN); /* more than the set has room for */
    return count > 0 ? (unsigned)count : 1;
}

int rth_budget_line(char *ret_line, size_t line_size)
{
    if (ret_line == NULL || line_size == 0)
        return -EINVAL;
    if (!runs())
        return -EAGAIN;
    return rth__limits_line(NULL, ret_line, line_size);
}
