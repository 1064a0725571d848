/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_FAULTS_H
#define CHECKOUT_FAULTS_H

#include <stddef.h>
#include <stdint.h>

struct faults;

/* Returns 0 or a negative errno. */
int faults_open(struct faults **ret_faults);
/* Gives back all that was leaked: memory, threads and tasks. */
void faults_close(struct faults *faults);

/* Blocks of block_bytes that nobody frees, at least sizeof(void *) each. Returns 0 or -ENOMEM. */
int leak_memory(struct faults *faults, size_t block_bytes, uint64_t count);
/* Frees them all. */
void free_leaked_memory(struct faults *faults, uint64_t *ret_blocks, uint64_t *ret_bytes);

/* A thread that never ends. Returns 0, -EAGAIN for one too many, or another negative errno. */
int leak_thread(struct faults *faults);

/* A task that two workers wait to finish, and never can: the first two occupy them, later ones stay
 * in the queue. Returns 0 or a negative errno. */
int leak_task(struct faults *faults);

/* Sleeps while it holds a lock that all callers share. Returns for how long it waited for it. */
uint64_t hold_lock_ns(struct faults *faults, uint64_t hold_ms);

/* These do not return. */
void crash_by_segv(void);
void crash_by_abort(void);
void crash_by_stack_overflow(void);

#endif
