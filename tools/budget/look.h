/* SPDX-License-Identifier: MIT */
#ifndef RTH_TOOLS_BUDGET_LOOK_H
#define RTH_TOOLS_BUDGET_LOOK_H

/*
 * What a process's container allows, read once: the answer that rthooks inside of it computes, and
 * beside it what every level says, for people who ask why.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "formats/budget.h"
#include "os/cgroup.h"

#define LOOK_LEVELS_MAX 64

enum level_kind {
    LEVEL_ABSENT,    /* no such file: the controller is not there, or knows no such limit */
    LEVEL_UNLIMITED, /* read, and there is no limit */
    LEVEL_SET,
    LEVEL_UNREADABLE,
};
struct level_value {
    enum level_kind kind;
    uint64_t value;     /* bytes, or microseconds of quota */
    uint64_t period_us; /* of a quota */
    int error;          /* of LEVEL_UNREADABLE: negative errno */
};
/* One cgroup on the way from the process's own (level 0) to the mount. */
struct level {
    char path[RTH_CGROUP_PATH_BYTES]; /* in the hierarchy: as sources have it */
    struct level_value max, high, swap, quota;
    bool oom_group; /* memory.oom.group: one is killed, all are */
};
struct level_list {
    unsigned count;
    struct level rows[LOOK_LEVELS_MAX];
};

/* Where a process is read: the real "/" or a copied tree. Its cgroups are looked for below our own
 * mounts, also where it has others: from outside of a container more levels are to be seen than
 * from inside. */
struct look_place {
    int root_fd;
    pid_t pid; /* as proc below root_fd names it; 0: self */
    bool is_copied;
};

struct look {
    pid_t pid; /* 0: self */
    struct rth_cgroups cgroups;
    struct rth_cgroup_memory_limits memory;
    struct rth_cgroup_cpu_limits cpu;
    struct rth_cgroup_memory_usage usage;
    int usage_error; /* 0: usage is known */
    struct rth_cgroup_throttling throttling;
    int throttling_error;
    uint64_t ram_bytes;  /* 0: not known */
    uint64_t swap_bytes; /* of the machine; 0: none, or not known */
    int64_t rss_bytes;   /* -1: not known, or of no process */
    struct rth_budget_settings settings;
    bool is_lazy;
    struct rth_budget budget;
    struct level_list memory_levels, cpu_levels;
};

/* pid 0: self. Returns 0, or a negative errno where not even "/" can be opened. */
int look_place_open(pid_t pid, struct look_place *ret_place);
/* A copied tree: folder has proc/PID or proc/self. pid 0: self, or the only process there is.
 * Returns 0, or a negative errno with a line in ret_message. */
int look_place_open_copy(const char *folder, pid_t pid, struct look_place *ret_place,
                         char *ret_message, size_t message_size);
void look_place_close(struct look_place *place);

/* RTHOOKS_MEMORY_LIMIT, _RATIO, RTHOOKS_CPU_LIMIT, _ROUND and RTHOOKS_RETURN of the environment.
 * Returns 0, or -EINVAL with variable, value and grammar in ret_message. */
int look_settings_read(struct rth_budget_settings *ret_settings, bool *ret_lazy, char *ret_message,
                       size_t message_size);

/* Fills look from a place; settings and is_lazy came before. */
void look_take(const struct look_place *place, struct look *look);

/* "1 GiB", "921.6 MiB", "4097 B": exact where that is short. */
#define LOOK_BYTES_TEXT 32
const char *look_bytes_text(uint64_t bytes, char ret_text[LOOK_BYTES_TEXT]);
/* strerror of a negative errno, in words that fit what is read here. */
const char *look_error_text(int error);
/* Why the memory limit is unreadable. */
int look_memory_error(const struct rth_cgroup_memory_limits *memory);
/* "unlimited", "-", "unreadable: …", the bytes, or the quota in processors. */
#define LOOK_VALUE_TEXT 96
const char *look_value_text(const struct level_value *value, char ret_text[LOOK_VALUE_TEXT]);

#endif /* RTH_TOOLS_BUDGET_LOOK_H */
