/* SPDX-License-Identifier: MIT */
/*
 * The process_* series. Names, help texts and sources are client_golang's on Linux, so that every
 * existing dashboard works; a source that cannot be read leaves its series out.
 * Threads: rth-work. Cost: about 60 us and one readlink-free pass over /proc/PID/fd per process.
 */
#include "metrics/process.h"

#include <unistd.h>

#include "core/family.h"
#include "core/service_thread.h"
#include "os/procfs.h"

enum {
    CPU_SECONDS,
    OPEN_FDS,
    MAX_FDS,
    VIRTUAL_BYTES,
    VIRTUAL_MAX_BYTES,
    RESIDENT_BYTES,
    START_TIME,
    NETWORK_RECEIVE,
    NETWORK_TRANSMIT,
};

static const struct rth_metric metrics[] = {
    [CPU_SECONDS] = {.fixed_name = "process_cpu_seconds_total",
                     .help = "Total user and system CPU time spent in seconds.",
                     .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FLOAT},
    [OPEN_FDS] = {.fixed_name = "process_open_fds", .help = "Number of open file descriptors."},
    [MAX_FDS] = {.fixed_name = "process_max_fds",
                 .help = "Maximum number of open file descriptors.",
                 .flags = RTH_METRIC_FIRST_ONLY},
    [VIRTUAL_BYTES] = {.fixed_name = "process_virtual_memory_bytes",
                       .help = "Virtual memory size in bytes."},
    [VIRTUAL_MAX_BYTES] = {.fixed_name = "process_virtual_memory_max_bytes",
                           .help = "Maximum amount of virtual memory available in bytes.",
                           .flags = RTH_METRIC_FIRST_ONLY},
    [RESIDENT_BYTES] = {.fixed_name = "process_resident_memory_bytes",
                        .help = "Resident memory size in bytes."},
    [START_TIME] = {.fixed_name = "process_start_time_seconds",
                    .help = "Start time of the process since unix epoch in seconds.",
                    .flags = RTH_METRIC_FLOAT | RTH_METRIC_FIRST_ONLY},
    /* The network namespace's counters, which the processes share. */
    [NETWORK_RECEIVE] = {.fixed_name = "process_network_receive_bytes_total",
                         .help = "Number of bytes received by the process over the network.",
                         .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FIRST_ONLY},
    [NETWORK_TRANSMIT] = {.fixed_name = "process_network_transmit_bytes_total",
                          .help = "Number of bytes sent by the process over the network.",
                          .flags = RTH_METRIC_CUMULATIVE | RTH_METRIC_FIRST_ONLY},
};

static void set(struct rth_metric_value *values, int index, double value)
{
    values[index] = (struct rth_metric_value){.present = true, .value = value};
}

static void collect_stat(int root_fd, int pid, struct rth_metric_value *values)
{
    struct rth_proc_stat stat;
    if (rth__proc_stat_read(root_fd, pid, 0, &stat) != 0)
        return;
    double ticks_per_s = (double)sysconf(_SC_CLK_TCK);
    uint64_t cpu_ticks = stat.utime_ticks + stat.stime_ticks;
    set(values, CPU_SECONDS, (double)cpu_ticks / ticks_per_s);
    set(values, VIRTUAL_BYTES, (double)stat.vsize_bytes);
    set(values, RESIDENT_BYTES, (double)stat.rss_pages * (double)sysconf(_SC_PAGESIZE));
    uint64_t boot_time_s;
    if (rth__proc_boot_time_read(root_fd, &boot_time_s) == 0)
        set(values, START_TIME, (double)boot_time_s + (double)stat.starttime_ticks / ticks_per_s);
    /* Kept for the family's total, which must not fall when this process dies. */
    rth__family_publish_cpu(stat.pid, (uint64_t)((double)cpu_ticks / ticks_per_s * 1e9));
}

static void collect(int pid, struct rth_metric_value *ret_values)
{
    int root_fd = rth__root_fd();
    collect_stat(root_fd, pid, ret_values);
    int fds = rth__proc_fd_count(root_fd, pid);
    if (fds >= 0)
        set(ret_values, OPEN_FDS, (double)fds);
    struct rth_proc_limits limits;
    if (rth__proc_limits_read(root_fd, pid, &limits) == 0) {
        set(ret_values, MAX_FDS, (double)limits.open_files_soft);
        set(ret_values, VIRTUAL_MAX_BYTES, (double)limits.address_space_soft);
    }
    struct rth_proc_netstat netstat;
    if (rth__proc_netstat_read(root_fd, pid, &netstat) == 0) {
        set(ret_values, NETWORK_RECEIVE, (double)netstat.in_octets);
        set(ret_values, NETWORK_TRANSMIT, (double)netstat.out_octets);
    }
}

const struct rth_capability rth__process_capability = {
    .name = "process",
    .metrics = metrics,
    .metric_count = sizeof(metrics) / sizeof(metrics[0]),
    .collect = collect,
};
