/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_RAWSYS_H
#define RTH_OS_RAWSYS_H

/*
 * System calls without libc's help: no cached pid, no cancellation, no errno. All return the
 * kernel's value, a negative errno on failure, and are safe in signal handlers, in vfork children
 * and under any lock.
 */

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <errno.h>

/* Calls through libc's syscall(3), keeping errno; the result is the kernel's. */
#define RTH__RAW(...)                                                                              \
    ({                                                                                             \
        int rth_saved_errno_ = errno;                                                              \
        long rth_result_ = syscall(__VA_ARGS__);                                                   \
        if (rth_result_ == -1)                                                                     \
            rth_result_ = -errno;                                                                  \
        errno = rth_saved_errno_;                                                                  \
        rth_result_;                                                                               \
    })

static inline pid_t rth__raw_getpid_sigsafe(void)
{
    return (pid_t)RTH__RAW(SYS_getpid);
}

static inline pid_t rth__raw_gettid_sigsafe(void)
{
    return (pid_t)RTH__RAW(SYS_gettid);
}

#endif /* RTH_OS_RAWSYS_H */
