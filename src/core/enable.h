/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_ENABLE_H
#define RTH_CORE_ENABLE_H

/*
 * The enable word: one WIPEONFORK page that every slow path reads first. In a child with copied
 * memory it reads as zero, so the child is inert however it was made (fork, _Fork, raw clone).
 * A child that shares memory reads the parent's: such callers compare owner_pid with the raw pid.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rth_enable_page {
    uint32_t enabled;    /* 1 while live; read without ordering, written by start/stop/adopt */
    pid_t owner_pid;     /* raw pid at start or adoption */
    uint32_t generation; /* of the runtime in this process: 1 at start, + 1 per adoption */
};

/* Maps the page once per process image. 0 or a negative errno. */
int rth__enable_init(void);
/* The page, never NULL: before init a static page of zeros. */
volatile struct rth_enable_page *rth__enable_page(void);
void rth__enable_on(pid_t owner_pid, uint32_t generation);
void rth__enable_off(void);
static inline bool rth__enabled(void)
{
    return rth__enable_page()->enabled != 0;
}

#endif /* RTH_CORE_ENABLE_H */
