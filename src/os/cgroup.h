/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_CGROUP_H
#define RTH_OS_CGROUP_H

/*
 * Which cgroups a process is in, and what they and all that are above them allow. Reads below
 * root_fd only (the real "/", or a copied tree), allocates nothing, takes no lock, and needs less
 * than 8 KiB of stack.
 *
 * A limit is one of three answers; "there is none" and "it cannot be read" are different ones. How
 * it is found, and where the answers differ from other readers': docs/internals/limits.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTH_CGROUP_PATH_BYTES 512

enum rth_limit_kind {
    RTH_LIMIT_NONE,       /* read, and unlimited at every level; or no such controller */
    RTH_LIMIT_SET,        /* a value */
    RTH_LIMIT_UNREADABLE, /* at least one level could not be read, and none that could has one */
};

/* "none", "set", "unreadable". */
const char *rth__limit_kind_name(enum rth_limit_kind kind);

struct rth_cgroup_limit {
    enum rth_limit_kind kind;
    uint64_t value;     /* bytes, or microseconds of quota per period; of RTH_LIMIT_SET alone */
    uint64_t period_us; /* of a CPU quota */
    unsigned level; /* 0: the process's own cgroup, 1: the one above, …; the place's levels: one
                       that is above all that can be seen */
    int error; /* negative errno of a level that could not be read, also beside a value; else 0 */
    char source[RTH_CGROUP_PATH_BYTES]; /* "cgroup2:/a/b/memory.max": what decided; "" for none */
};

/* One controller's hierarchy as the process sees it. */
struct rth_cgroup_place {
    int version; /* 1 or 2; 0: no such controller here, or (error) it is not known */
    int error;   /* negative: there is no folder to read, and why; its limits are unreadable */
    char mount[RTH_CGROUP_PATH_BYTES];     /* below root_fd, no leading '/' */
    char folder[RTH_CGROUP_PATH_BYTES];    /* the process's cgroup, below root_fd, likewise */
    char hierarchy[RTH_CGROUP_PATH_BYTES]; /* of folder: "/kubepods/pod1/…", as /proc/PID/cgroup has
                                              it unless there is a note */
    unsigned levels; /* from folder up to mount, both included, that count for the process */
    const char
        *note; /* static: why folder is not what /proc says ("outside of the mount"), or NULL */
};

struct rth_cgroups {
    struct rth_cgroup_place memory, cpu, cpuset;
    struct rth_cgroup_place unified; /* of memory.pressure, also where memory is version 1 */
    int error; /* 0, or why nothing is known: /proc/PID/cgroup or mountinfo cannot be read */
    uint64_t membership; /* changes with the text of /proc/PID/cgroup */
};

/*
 * Memory: the minimum over all levels of each. swap is of swap alone with version 2, of memory and
 * swap together with version 1, as the kernel has them.
 * usage_folder: of the level that owns the smaller of max and high, whose usage meets it; where
 * neither is set, the nearest that counts its memory.
 */
struct rth_cgroup_memory_limits {
    struct rth_cgroup_limit max, high, swap;
    char usage_folder[RTH_CGROUP_PATH_BYTES]; /* "": nothing counts memory */
};

/* What a level of the hierarchy uses. Absent values are UINT64_MAX. */
struct rth_cgroup_memory_usage {
    uint64_t current_bytes;
    uint64_t reclaimable_bytes; /* page cache and slab that the kernel can drop at once */
    uint64_t peak_bytes;
    uint64_t swap_bytes;
    uint64_t events_high, events_max, events_oom, events_oom_kill; /* v1: failcnt is max */
};
/* What is not reclaimable; 0 where the two, which are never of one instant, cross. */
static inline uint64_t rth__cgroup_memory_held(const struct rth_cgroup_memory_usage *usage)
{
    uint64_t reclaimable_bytes =
        usage->reclaimable_bytes != UINT64_MAX ? usage->reclaimable_bytes : 0;
    return usage->current_bytes > reclaimable_bytes ? usage->current_bytes - reclaimable_bytes : 0;
}

struct rth_cgroup_cpu_limits {
    struct rth_cgroup_limit quota; /* the tightest quota / period over all levels */
    unsigned affinity; /* processors the main thread may run on: sched_getaffinity; of a copied tree
                          Cpus_allowed, else the cpuset; 0: not known */
    char
        throttle_folder[RTH_CGROUP_PATH_BYTES]; /* of the level that owns the quota, else the own */
};
struct rth_cgroup_throttling {
    uint64_t periods, throttled_periods, throttled_ns;
};

/* pid 0: the caller. Always fills *ret_cgroups; returns its error. */
int rth__cgroups_find(int root_fd, int pid, struct rth_cgroups *ret_cgroups);
/* Physical memory clamps nothing away: a limit at or above total_bytes (of meminfo; 0: not known)
 * is none. */
void rth__cgroup_memory_limits_read(int root_fd, const struct rth_cgroups *cgroups,
                                    uint64_t total_bytes,
                                    struct rth_cgroup_memory_limits *ret_limits);
void rth__cgroup_cpu_limits_read(int root_fd, int pid, const struct rth_cgroups *cgroups,
                                 struct rth_cgroup_cpu_limits *ret_limits);
/* 0 or a negative errno (-ENOENT, -ENODEV: the cgroup is gone). version as in the place. */
int rth__cgroup_memory_usage_read(int root_fd, int version, const char *usage_folder,
                                  struct rth_cgroup_memory_usage *ret_usage);
/* -ENODATA where the kernel counts no throttling: no cpu controller at this level. */
int rth__cgroup_throttling_read(int root_fd, int version, const char *throttle_folder,
                                struct rth_cgroup_throttling *ret_throttling);
/* MemTotal of /proc/meminfo. */
int rth__meminfo_total_read(int root_fd, uint64_t *ret_total_bytes);

/*
 * All of the above with descriptors that stay open, for a caller that looks often; they belong to
 * the descriptor table of the thread that opened them, and to its process: a child opens its own.
 * One look at usage is two preads. Not to be copied; about 10 KiB, so not for a small stack.
 */
#define RTH_CGROUP_WATCH_LEVELS 12 /* a deeper cgroup is read without kept descriptors */
enum rth_cgroup_file {
    RTH_CGROUP_FILE_MAX,
    RTH_CGROUP_FILE_HIGH,
    RTH_CGROUP_FILE_SWAP,
    RTH_CGROUP_FILE_QUOTA,
    RTH_CGROUP_FILE_PERIOD,
    RTH_CGROUP_FILE_COUNT,
};
struct rth_cgroup_watch {
    struct rth_cgroups cgroups;
    struct rth_cgroup_memory_limits memory;
    struct rth_cgroup_cpu_limits cpu;
    /* Of os/cgroup_watch.c alone. A negative number is why a file is not open. */
    int root_fd, pid;
    uint64_t total_bytes;
    int membership_fd;
    int usage_fd, memory_stat_fd, cpu_stat_fd;
    int limit_fds[RTH_CGROUP_WATCH_LEVELS][RTH_CGROUP_FILE_COUNT];
};

/* Finds, opens, and fills cgroups, memory and cpu. root_fd stays the caller's, and open. Returns
 * the error of cgroups: the watch may be used all the same, and has to be closed. */
int rth__cgroup_watch_open(struct rth_cgroup_watch *watch, int root_fd, int pid,
                           uint64_t total_bytes);
void rth__cgroup_watch_close(struct rth_cgroup_watch *watch);
/*
 * Reads all limits again (about 1 µs per file, so once a second). 0: as before; 1: memory or cpu
 * have changed; -ESTALE: the process is in another cgroup; -ENODEV, -ENOENT: its cgroup is gone.
 * After an error the caller closes and opens again.
 */
int rth__cgroup_watch_refresh(struct rth_cgroup_watch *watch);
/* current_bytes and reclaimable_bytes (about 5 µs), the rest absent. -ENODEV, -ENOENT as above;
 * -ENODATA: nothing counts memory. */
int rth__cgroup_watch_usage_read(struct rth_cgroup_watch *watch,
                                 struct rth_cgroup_memory_usage *ret_usage);
/* Of memory.usage_folder, all of it, opening what is not kept (about 20 µs). */
int rth__cgroup_watch_usage_read_all(struct rth_cgroup_watch *watch,
                                     struct rth_cgroup_memory_usage *ret_usage);
int rth__cgroup_watch_throttling_read(struct rth_cgroup_watch *watch,
                                      struct rth_cgroup_throttling *ret_throttling);

#endif /* RTH_OS_CGROUP_H */
