/* SPDX-License-Identifier: MIT */
#ifndef CHECKOUT_POOL_H
#define CHECKOUT_POOL_H

struct pool;

/* Returns 0 or a negative errno. name: of the threads, at most 15 bytes. */
int pool_start(const char *name, unsigned workers, struct pool **ret_pool);

/* Queues run(argument), to be done on the account of the caller: with the labels that the calling
 * thread has now. name: the kind of work, for those who look. Returns 0, -EAGAIN when the queue is
 * full, -ENOMEM. */
int pool_submit(struct pool *pool, const char *name, void (*run)(void *argument), void *argument);

/* The same, and waits until it is done. Not from a worker of the same pool, which might be the one
 * that has to do it. */
int pool_call(struct pool *pool, const char *name, void (*run)(void *argument), void *argument);

/* Does what is queued still, then ends the threads. */
void pool_stop(struct pool *pool);

#endif
