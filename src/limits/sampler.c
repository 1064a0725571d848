/* SPDX-License-Identifier: MIT */
#include "limits/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/fd.h"
#include "os/procfs.h"
#include "os/rawsys.h"
#include "os/scan.h"

/* A process may be moved without any of its files telling. */
#define FIND_ANEW_NS (30 * RTH_NS_PER_S)

static struct rth_cgroup_watch watch;
static bool is_open;
static int root_fd = -1; /* "/" in the table of the thread that opened */
static int statm_fd = -1;
static int64_t found_ns;
static uint64_t total_bytes;
static __thread bool opened_here __attribute__((tls_model("initial-exec")));

static void find(int64_t now_ns)
{
    (void)rth__cgroup_watch_open(&watch, root_fd, 0, total_bytes);
    found_ns = now_ns;
}

bool rth__sampler_open(int open_root_fd, int64_t now_ns)
{
    if (opened_here && is_open)
        return false;
    root_fd = open_root_fd;
    if (rth__meminfo_total_read(root_fd, &total_bytes) != 0)
        total_bytes = 0;
    statm_fd = rth__openat(root_fd, "proc/self/statm", O_RDONLY);
    find(now_ns);
    opened_here = true;
    is_open = true;
    return true;
}

void rth__sampler_close(void)
{
    if (!is_open || !opened_here)
        return;
    rth__cgroup_watch_close(&watch);
    statm_fd = rth__close(statm_fd);
    rth__sampler_forget();
}

void rth__sampler_forget(void)
{
    is_open = false;
    statm_fd = -1;
    root_fd = -1;
}

bool rth__sampler_refresh(int64_t now_ns, int *ret_error)
{
    int result = rth__cgroup_watch_refresh(&watch);
    *ret_error = result < 0 ? result : 0;
    if (result >= 0 && now_ns - found_ns < FIND_ANEW_NS)
        return result == 1;
    rth__cgroup_watch_close(&watch);
    find(now_ns);
    return true;
}

const struct rth_cgroup_watch *rth__sampler_watch(void)
{
    return &watch;
}

uint64_t rth__sampler_total_bytes(void)
{
    return total_bytes;
}

/* The second number of statm: resident pages. */
static int64_t read_rss_bytes(void)
{
    char text[128];
    long got = statm_fd < 0 ? statm_fd : RTH__RAW(SYS_pread64, statm_fd, text, sizeof(text), 0);
    struct rth_scan scan = {text, text + (got > 0 ? got : 0)};
    uint64_t pages;
    if (!rth__scan_uint(&scan, 10, UINT64_MAX, &pages) || !rth__scan_char(&scan, ' ') ||
        !rth__scan_uint(&scan, 10, INT64_MAX / 4096 / 16, &pages))
        return -1;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* What the process alone holds and the kernel cannot drop. */
static void read_process(struct rth_memory_reading *reading)
{
    struct rth_proc_status status;
    reading->is_of_process = true;
    reading->error = rth__proc_status_read(root_fd, 0, 0, &status);
    if (reading->error == 0)
        reading->usage_bytes = (int64_t)((status.rss_anon_kib + status.rss_shmem_kib) * 1024);
}

static void read_group(struct rth_memory_reading *reading)
{
    struct rth_cgroup_memory_usage usage;
    reading->error = rth__cgroup_watch_usage_read(&watch, &usage);
    if (reading->error != 0)
        return;
    reading->usage_bytes = (int64_t)rth__cgroup_memory_held(&usage);
    reading->current_bytes = (int64_t)usage.current_bytes;
    if (usage.reclaimable_bytes != UINT64_MAX)
        reading->reclaimable_bytes = (int64_t)usage.reclaimable_bytes;
}

void rth__sampler_read(struct rth_memory_reading *ret_reading)
{
    *ret_reading = (struct rth_memory_reading){
        .usage_bytes = -1, .current_bytes = -1, .reclaimable_bytes = -1};
    ret_reading->rss_bytes = read_rss_bytes();
    /* A group without a limit is the business of whoever is in it: the root one is the machine. */
    if (watch.memory.max.kind == RTH_LIMIT_SET || watch.memory.high.kind == RTH_LIMIT_SET)
        read_group(ret_reading);
    else
        read_process(ret_reading);
}
