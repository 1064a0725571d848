/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_SLEEPER_H
#define RTH_PROFILE_THREADS_SLEEPER_H

/*
 * The stack of a thread that sleeps, read in place: its program counter and stack pointer come
 * from the kernel, or from the wrapped call it waits in; its stack is copied (by a system call that
 * cannot fault) and unwound in the copy. The thread does not notice.
 */

#include "profile/threads/frame_pointer.h"
#include "record/image.h"
#include "thread/wait.h"
#include "unwind/unwind.h"

#define RTH_SLEEPER_COPY_BYTES ((size_t)1024 * 1024)

/* Memory that one dump uses for all its threads; zeroed but for memory.root_fd. */
struct rth_sleeper_scratch {
    struct rth_image_reader memory;
    rth_frame frames[RTH_UNWIND_FRAMES_MAX]; /* the result */
    struct rth_frame_pointer_search search;
    unsigned char copy[RTH_SLEEPER_COPY_BYTES];
    _Alignas(64) unsigned char cache[RTH_UNWIND_CACHE_BYTES];
};

struct rth_sleeper_stack {
    unsigned count; /* of scratch->frames, at least 1 */
    enum rth_unwind_end end;
    bool fp_searched;            /* the frame pointer was found by frame_pointer.h */
    struct rth_thread_wait wait; /* at the same moment */
};

/*
 * 0; -EAGAIN when the thread moved meanwhile or runs; -EACCES when the kernel does not show where
 * it sleeps; -EFAULT when its stack cannot be read; -ESRCH when it has ended; another negative
 * errno when /proc could not be read. rth-work. Cost: 10 to 20 us.
 */
int rth__sleeper_unwind(int root_fd, int tid, struct rth_sleeper_scratch *scratch,
                        struct rth_sleeper_stack *ret_stack);

#endif /* RTH_PROFILE_THREADS_SLEEPER_H */
