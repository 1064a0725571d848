/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_FAMILY_H
#define RTH_CORE_FAMILY_H

/*
 * The family: the first process that rthooks started in, and the children it forked that were
 * adopted. They share one mapping (MAP_SHARED, made at start, inherited by fork, lost by exec)
 * with a slot per process. A child may have dropped privileges: what it wrote is only a hint, and
 * readers check every field (pid alive, same start time) before they act on it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RTH_FAMILY_SLOTS 1024

struct rth_family_member {
    pid_t pid;
    uint64_t starttime_ticks; /* /proc/PID/stat field 22: tells a reused pid */
    uint32_t euid;            /* whose socket folder it uses */
    bool first;               /* binds the TCP listeners and answers for all */
};

/* Creates the table with this process as the first. 0 or a negative errno. */
int rth__family_init(pid_t pid, uint64_t starttime_ticks, uint32_t euid);
/* Takes a slot for this (adopted) process. 0; -ENOSPC when full (counted in overflow). */
int rth__family_join(pid_t pid, uint64_t starttime_ticks, uint32_t euid);
/* Gives the own slot back, adding cpu_ns to the total of the dead. */
void rth__family_leave(uint64_t cpu_ns);
void rth__family_set_euid(uint32_t euid);
/* Becomes the first process if the given one still is (it died). True for exactly one caller. */
bool rth__family_take_over(pid_t dead_first_pid);
pid_t rth__family_first_pid(void);
bool rth__family_is_first(void);
/* Iterates live slots: start with *cursor = 0; false at the end. */
bool rth__family_next(size_t *cursor, struct rth_family_member *ret_member);
/* Drops the slot of a pid found dead; adds what it last published to the total of the dead. */
void rth__family_bury(pid_t pid, uint64_t starttime_ticks);
/* CPU seconds: what a member last published, and all that dead members had used. */
void rth__family_publish_cpu(pid_t pid, uint64_t cpu_ns);
uint64_t rth__family_dead_cpu_ns(void);
uint64_t rth__family_overflow(void);

#endif /* RTH_CORE_FAMILY_H */
