/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_CGROUP_H
#define RTH_OS_CGROUP_H

/*
 * Which cgroups a process is in, and what they and all that are above them allow. Reads below
 * root_fd only (the real "/", or a copied tree), allocates nothing, takes no lock.
 *
 * A limit is one of four answers; "there is none" and "it cannot be read" are different ones.
 */

#include <stddef.h>
#include <stdint.h>

#define RTH_CGROUP_PATH_BYTES 512

enum rth_limit_kind {
    RTH_LIMIT_NONE,       /* read, and unlimited at every level; or no such controller */
    RTH_LIMIT_SET,        /* a value */
    RTH_LIMIT_UNREADABLE, /* at least one level could not be read, and none that could has one */
};

struct rth_cgroup_limit {
    enum rth_limit_kind kind;
    uint64_t value; /* bytes, or microseconds of quota per period; of RTH_LIMIT_SET alone */
    uint64_t period_us;                 /* of a CPU quota */
    unsigned level;                     /* 0: the process's own cgroup, 1: the one above, … */
    int error;                          /* negative errno of what could not be read, else 0 */
    char source[RTH_CGROUP_PATH_BYTES]; /* "cgroup2:/a/b/memory.max": what decided; "" for none */
};

/* One controller's hierarchy as the process sees it. */
struct rth_cgroup_place {
    int version;                            /* 1 or 2; 0: no such controller here */
    char mount[RTH_CGROUP_PATH_BYTES];      /* below root_fd, no leading '/' */
    char folder[RTH_CGROUP_PATH_BYTES];     /* the process's cgroup, below root_fd, likewise */
    char hierarchy[RTH_CGROUP_PATH_BYTES];  /* "/kubepods/pod1/…": as /proc/PID/cgroup has it */
    unsigned levels;                        /* from folder up to mount, both included */
    const char *note; /* static: why folder is not what /proc says ("outside of the mount"), or NULL */
};

struct rth_cgroups {
    struct rth_cgroup_place memory, cpu, cpuset;
    struct rth_cgroup_place unified; /* of memory.pressure, also where memory is version 1 */
    int error; /* 0, or why nothing is known: /proc/PID/cgroup or mountinfo cannot be read */
};

/* Memory: the minimum over all levels of each. usage_folder: of the level that owns max. */
struct rth_cgroup_memory_limits {
    struct rth_cgroup_limit max, high, swap;
    char usage_folder[RTH_CGROUP_PATH_BYTES]; /* "": no memory controller */
};

/* What a level of the hierarchy uses. Absent values are UINT64_MAX. */
struct rth_cgroup_memory_usage {
    uint64_t current_bytes;
    uint64_t reclaimable_bytes; /* page cache and slab that the kernel can drop at once */
    uint64_t peak_bytes;
    uint64_t swap_bytes;
    uint64_t events_high, events_max, events_oom, events_oom_kill; /* v1: failcnt is max */
};

struct rth_cgroup_cpu_limits {
    struct rth_cgroup_limit quota; /* the tightest quota / period over all levels */
    unsigned affinity;             /* processors of sched_getaffinity; of a copied tree: Cpus_allowed */
    char throttle_folder[RTH_CGROUP_PATH_BYTES]; /* of the level that owns the quota, else the own */
};
struct rth_cgroup_throttling {
    uint64_t periods, throttled_periods, throttled_ns;
};

/* pid 0: the caller. Always fills *ret_cgroups; returns its error. */
int rth__cgroups_find(int root_fd, int pid, struct rth_cgroups *ret_cgroups);
/* Physical memory clamps nothing away: a limit at or above total_bytes (of meminfo; 0: not known) is
 * none. */
void rth__cgroup_memory_limits_read(int root_fd, const struct rth_cgroups *cgroups,
                                    uint64_t total_bytes,
                                    struct rth_cgroup_memory_limits *ret_limits);
void rth__cgroup_cpu_limits_read(int root_fd, int pid, const struct rth_cgroups *cgroups,
                                 struct rth_cgroup_cpu_limits *ret_limits);
/* 0 or a negative errno (-ENOENT, -ENODEV: the cgroup is gone). version as in the place. */
int rth__cgroup_memory_usage_read(int root_fd, int version, const char *usage_folder,
                                  struct rth_cgroup_memory_usage *ret_usage);
int rth__cgroup_throttling_read(int root_fd, int version, const char *throttle_folder,
                                struct rth_cgroup_throttling *ret_throttling);
/* MemTotal of /proc/meminfo. */
int rth__meminfo_total_read(int root_fd, uint64_t *ret_total_bytes);

#endif /* RTH_OS_CGROUP_H */
