/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_BUDGET_WATCH_H
#define RTH_TOOLS_BUDGET_WATCH_H

/*
 * Watches what a process, or the cgroup it is alone in, uses: once a second. The cgroup counts what
 * the kernel holds for it too, so it comes first; the hierarchy's root counts the whole machine, so
 * there the process itself is watched.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "budget/look.h"

struct watch {
    const struct look_place *place;
    const struct look *look;
    pid_t pid;             /* below place; 0: the cgroup alone is watched */
    bool memory_is_cgroup; /* not reclaimable; else the resident set of the process */
    bool cpu_is_cgroup;
    bool cpu_is_known;
    bool has_ended; /* the process, before the time was over */
    char cpu_file[RTH_CGROUP_PATH_BYTES + 32];
    unsigned processes; /* in the cgroup at the start; 0: not known */
    double *memory;     /* bytes, one a second */
    double *cpu;        /* processors, between two looks */
    size_t memory_count, cpu_count, capacity;
    double seconds;           /* from the first look to the last */
    int64_t life_peak_bytes;  /* VmHWM; -1: not known */
    int64_t group_peak_bytes; /* the kernel's own, page cache included; -1: not known */
};

/* Says what there is to watch. pid 0: the cgroup of the caller. Returns 0, or a negative errno with
 * a line in ret_message. */
int watch_open(struct watch *watch, const struct look_place *place, const struct look *look,
               unsigned seconds, char *ret_message, size_t message_size);
/* Looks for that long, or until *stop is set. progress: a line on standard error that is written
 * over. Returns 0; -ESRCH when the process was gone at once; another negative errno. */
int watch_run(struct watch *watch, unsigned seconds, volatile sig_atomic_t *stop, bool progress);
void watch_close(struct watch *watch);

#endif /* RTH_TOOLS_BUDGET_WATCH_H */
