/* SPDX-License-Identifier: MIT */
/* The slow paths of the allocation wrappers: to the runtime, when there is one. */
#include "interpose/heap.h"

#include "interpose/real.h"

#include <stdlib.h>

/* One that holds nothing: a shift, and the two words it leads to. */
static const uint64_t empty_filter[3] = {63, 0, 0};

RTH__HOT_DATA const struct rth_heap_filter *rth__heap_filter = (const void *)empty_filter;
__thread uint64_t rth__heap_unseen_allocs __attribute__((tls_model("initial-exec")));
__thread uint64_t rth__heap_unseen_frees __attribute__((tls_model("initial-exec")));

/* The runtime, where it may be called; in a child nobody adopted there is nothing to record. */
static const struct rth_interpose_ops *live_runtime(void)
{
    const struct rth_interpose_ops *ops = rth__ops();
    return ops != NULL && *ops->enabled != 0 ? ops : NULL;
}

RTH__HEAP_CODE __attribute__((noinline)) void rth__heap_due(struct rth_thread_shared *self,
                                                            const void *block, size_t size_bytes)
{
    const struct rth_interpose_ops *ops = live_runtime();
    if (ops == NULL)
        return;
    int saved_errno = errno;
    ops->heap_allocated_nomalloc(self != NULL ? &self->heap : NULL, block, size_bytes);
    errno = saved_errno;
}

RTH__HEAP_CODE __attribute__((noinline)) void rth__heap_allocated(const void *block,
                                                                  size_t size_bytes)
{
    struct rth_thread_shared *self = rth__self;
    if (self == NULL) {
        rth__heap_unseen_allocs++;
    } else {
        self->heap.allocs++;
        self->heap.bytes += size_bytes;
        if (self->heap.bytes < atomic_load_explicit(&self->heap.due, memory_order_relaxed))
            return;
    }
    rth__heap_due(self, block, size_bytes);
}

__attribute__((noinline)) void rth__heap_freed_unseen(void)
{
    const struct rth_interpose_ops *ops = live_runtime();
    rth__heap_unseen_frees++;
    if (ops != NULL)
        ops->heap_freed_unseen_nomalloc();
}

__attribute__((noinline)) bool rth__heap_forget(const void *block,
                                                struct rth_heap_sample *ret_sample)
{
    const struct rth_interpose_ops *ops = live_runtime();
    if (ops == NULL)
        return false;
    int saved_errno = errno;
    bool sampled = ops->heap_forget_nomalloc(block, ret_sample);
    errno = saved_errno;
    return sampled;
}

void rth__heap_remember(const struct rth_heap_sample *sample)
{
    const struct rth_interpose_ops *ops = live_runtime();
    int saved_errno = errno;
    if (ops != NULL)
        ops->heap_remember_nomalloc(sample);
    errno = saved_errno;
}

/* A wrapper of somebody else's in front of ours is no harm as long as it goes on to us: tried. By
 * its address, since compilers know that malloc changes no counter. */
const void *rth__heap_first_malloc(void)
{
    void *(*first)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
    if (first == NULL || (const void *)first == rth__heap_own_malloc())
        return rth__heap_own_malloc();
    uint64_t before = rth__heap_allocs();
    void *block = first(1);
    bool is_seen = rth__heap_allocs() != before;
    free(block);
    return is_seen ? rth__heap_own_malloc() : (const void *)first;
}
