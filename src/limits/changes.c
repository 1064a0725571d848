/* SPDX-License-Identifier: MIT */
/*
 * Who wants to hear of changes. A watch is made on a thread of the host and called on rth-call; a
 * watch that was removed while its callback ran, or by it, keeps its memory.
 */
#include <errno.h>

#include "core/arena.h"
#include "core/call.h"
#include "rthooks/limits.h"

struct rth_limits_watch {
    struct rth_call_job job; /* first: the job is the watch */
    rth_limits_changed changed;
    void *userdata;
};

static void call_back(struct rth_call_job *job)
{
    const struct rth_limits_watch *watch = (const struct rth_limits_watch *)(void *)job;
    struct rth_limits limits = RTH_LIMITS_INIT;
    if (rth_limits_read(&limits) == 0)
        watch->changed(&limits, watch->userdata);
}

int rth_limits_on_change_add(rth_limits_changed changed, void *userdata,
                             struct rth_limits_watch **ret_watch)
{
    if (changed == NULL || ret_watch == NULL)
        return -EINVAL;
    struct rth_limits_watch *watch = rth__arena_alloc_nomalloc(sizeof(*watch));
    if (watch == NULL)
        return -ENOMEM;
    watch->job.run = call_back;
    watch->changed = changed;
    watch->userdata = userdata;
    if (rth__call_add(&watch->job) != 0) {
        rth__arena_free_nomalloc(watch, sizeof(*watch));
        return -EAGAIN;
    }
    *ret_watch = watch;
    return 0;
}

void rth_limits_on_change_remove(struct rth_limits_watch *watch)
{
    if (watch != NULL && rth__call_remove(&watch->job))
        rth__arena_free_nomalloc(watch, sizeof(*watch));
}
