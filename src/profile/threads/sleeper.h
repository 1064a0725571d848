/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_THREADS_SLEEPER_H
#define RTH_PROFILE_THREADS_SLEEPER_H

/*
 * The stack of a thread that sleeps, read in place: its program counter and stack pointer come
 * from the wrapped call it waits in, or from the kernel; its stack is copied (by a system call that
 * cannot fault) and unwound in the copy. The thread does not notice.
 */

#include "record/image.h"
#include "unwind/unwind.h"

#define RTH_SLEEPER_COPY_BYTES ((size_t)1024 * 1024)

/* Memory that one dump uses for all its threads; zeroed but for memory.root_fd. */
struct rth_sleeper_scratch {
    struct rth_image_reader memory;
    unsigned char copy[RTH_SLEEPER_COPY_BYTES];
    _Alignas(64) unsigned char cache[RTH_UNWIND_CACHE_BYTES];
};

/*
 * Returns the number of frames (at least 1); -EAGAIN when the thread moved meanwhile or runs;
 * -EACCES when the kernel does not show where it sleeps; another negative errno when it has ended.
 * rth-work. Cost: 5 us in a wrapped call, else 20 us.
 */
int rth__sleeper_unwind(int root_fd, int tid, struct rth_sleeper_scratch *scratch,
                        rth_frame *ret_frames, unsigned capacity, enum rth_unwind_end *ret_end);

#endif /* RTH_PROFILE_THREADS_SLEEPER_H */
