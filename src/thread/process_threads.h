/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_PROCESS_THREADS_H
#define RTH_THREAD_PROCESS_THREADS_H

/*
 * The threads of a process as the kernel sees them, counted by what they do. Reads /proc, so it
 * covers threads of any age and origin and works for other processes too.
 */

#include <stdint.h>

struct rth_thread_counts {
    uint64_t total; /* the host's threads, without those of rthooks */
    uint64_t running, runnable, waiting, blocked_io;
};

/* pid: 0 for ourselves. 0 or a negative errno when the process is gone. Costs about 10 us per
 * thread. Runs on rth-work. */
int rth__thread_counts_read(int root_fd, int pid, struct rth_thread_counts *ret_counts);

#endif /* RTH_THREAD_PROCESS_THREADS_H */
