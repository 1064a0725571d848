/* SPDX-License-Identifier: MIT */
/* Attach and detach: the one exported name that is not libc's. */
#include "interpose/ops.h"

#include "interpose/alloc_real.h"
#include "interpose/blocked.h"
#include "interpose/boot.h"
#include "interpose/dl.h"
#include "interpose/environment.h"
#include "interpose/heap.h"
#include "interpose/real.h"
#include "interpose/sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

RTH__HOT_DATA const struct rth_interpose_ops *rth__ops_current;

RTH__EXPORT int rth_interpose_attach(const struct rth_interpose_ops *ops,
                                     struct rth_interpose_info *ret_info);

/* A longer table is a newer runtime's: its first members are the ones we know. */
static bool ops_usable(const struct rth_interpose_ops *ops)
{
    return ops->struct_size >= sizeof(*ops) && ops->version == RTH_INTERPOSE_ABI_VERSION &&
           ops->reserved == 0 && ops->enabled != NULL && ops->owner_pid != NULL &&
           ops->thread_prepare != NULL && ops->thread_abandon != NULL && ops->thread_run != NULL &&
           ops->child_calm != NULL && ops->child_forked_sigsafe != NULL &&
           ops->ids_change_begin != NULL && ops->ids_change_end != NULL &&
           ops->threads_quiesce != NULL && ops->threads_resume != NULL &&
           ops->signal_action_sigsafe != NULL && ops->signal_host_action_sigsafe != NULL &&
           ops->signal_is_runtimes_sigsafe != NULL && ops->heap_allocated_nomalloc != NULL &&
           ops->heap_freed_unseen_nomalloc != NULL && ops->heap_forget_nomalloc != NULL &&
           ops->heap_remember_nomalloc != NULL && ops->map_mark_nomalloc != NULL &&
           ops->map_is_known_nomalloc != NULL && ops->map_added_nomalloc != NULL &&
           ops->map_removed_nomalloc != NULL && ops->map_moved_nomalloc != NULL &&
           ops->sync_wait_begin_nomalloc != NULL && ops->sync_wait_end_nomalloc != NULL &&
           ops->sync_release_begin_nomalloc != NULL && ops->sync_release_end_nomalloc != NULL;
}

/* The linker's names for the ends of the section. */
extern const char __start_rth_heap_code[] __attribute__((visibility("hidden")));
extern const char __stop_rth_heap_code[] __attribute__((visibility("hidden")));

/* What every version of the structure has had. */
#define RTH__INFO_MIN_BYTES                                                                        \
    (offsetof(struct rth_interpose_info, loader_generation) + sizeof(const volatile uint64_t *))

static void fill_info(struct rth_interpose_info *ret_info)
{
    const struct rth__boot *boot = rth__interpose_boot();
    struct rth_interpose_info info = {
        .struct_size = ret_info->struct_size,
        .version = RTH_INTERPOSE_ABI_VERSION,
        .autostart = boot->autostart,
        .said_start = boot->said_start,
        .follow = boot->follow,
        .loader_generation = &rth__dl_generation,
        .saved_environment = rth__environment_saved(),
        .real_sigaction = rth__real()->sigaction,
        .thread_shared_set = rth__thread_shared_set,
        .heap_filter = &rth__heap_filter,
        .real_malloc = (const void *)rth__alloc_next()->malloc,
        .real_free = (const void *)rth__alloc_next()->free,
        .first_malloc = rth__heap_first_malloc(),
        .own_malloc = rth__heap_own_malloc(),
        .heap_code_start = (uintptr_t)__start_rth_heap_code,
        .heap_code_limit = (uintptr_t)__stop_rth_heap_code,
        .first_mutex_lock = dlsym(RTLD_DEFAULT, "pthread_mutex_lock"),
        .own_mutex_lock = rth__sync_own_mutex_lock(),
    };
    size_t bytes = ret_info->struct_size < sizeof(info) ? ret_info->struct_size : sizeof(info);
    memcpy(ret_info, &info, bytes);
}

int rth_interpose_attach(const struct rth_interpose_ops *ops, struct rth_interpose_info *ret_info)
{
    (void)rth__interpose_boot();
    if (ret_info != NULL && ret_info->struct_size < RTH__INFO_MIN_BYTES)
        return -EINVAL;
    if (ops != NULL) {
        if (!ops_usable(ops))
            return -EINVAL;
        const struct rth_interpose_ops *nobody = NULL;
        if (!__atomic_compare_exchange_n(&rth__ops_current, &nobody, ops, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_RELAXED))
            return -EBUSY;
    } else {
        __atomic_store_n(&rth__ops_current, NULL, __ATOMIC_RELEASE);
    }
    if (ret_info != NULL)
        fill_info(ret_info);
    return 0;
}
