/* SPDX-License-Identifier: MIT */
/*
 * unshare and setns. The kernel refuses some of them to a process with more than one thread, and
 * ours would be the second one: for the length of such a call they are gone.
 */
#include "interpose/ops.h"
#include "interpose/real.h"

#include <errno.h>
#include <sys/stat.h>

/* unshare wants a single thread for these (kernel: check_unshare_flags, CLONE_NEWUSER implies
 * CLONE_THREAD). The others act on the calling thread alone. */
#define UNSHARE_ALONE (CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)

/* A joined thread counts until the kernel has reaped it: some microseconds, 50 ms at most. */
#define RETRIES     50
#define RETRY_AFTER ((const struct timespec){.tv_nsec = 1000000})

struct ns_call {
    int fd; /* -1: unshare */
    int flags;
};

static int ns_now(const struct ns_call *call)
{
    const struct rth__real *real = rth__real();
    return call->fd < 0 ? real->unshare(call->flags) : real->setns(call->fd, call->flags);
}

/* Threads of this process by the link count of its task folder; 0 without /proc. */
static unsigned long thread_count(void)
{
    struct stat folder;
    if (stat("/proc/self/task", &folder) != 0 || folder.st_nlink < 2)
        return 0;
    return (unsigned long)folder.st_nlink - 2;
}

static int ns_alone(const struct ns_call *call, const struct rth_interpose_ops *ops)
{
    int saved_errno = errno;
    int result;
    ops->threads_quiesce();
    for (int tried = 0;; tried++) {
        bool alone = thread_count() == 1; /* before the call: then its answer is the true one */
        errno = saved_errno;
        result = ns_now(call);
        if (result == 0 || (errno != EINVAL && errno != EUSERS) || alone || tried == RETRIES)
            break;
        struct timespec wait = RETRY_AFTER;
        (void)RTH__RAW(SYS_nanosleep, &wait, NULL);
    }
    saved_errno = errno;
    ops->threads_resume();
    errno = saved_errno;
    return result;
}

static int ns_call(struct ns_call call, bool wants_alone)
{
    const struct rth_interpose_ops *ops = wants_alone ? rth__ops_of_owner() : NULL;
    return ops != NULL ? ns_alone(&call, ops) : ns_now(&call);
}

RTH__EXPORT int unshare(int flags)
{
    return ns_call((struct ns_call){-1, flags}, (flags & UNSHARE_ALONE) != 0);
}

/* User and time namespaces want a single thread, a mount namespace a single user of the
 * filesystem context; with type 0 only the kernel knows which one it is. */
RTH__EXPORT int setns(int fd, int type)
{
    if (fd < 0)
        return rth__real()->setns(fd, type);
    return ns_call((struct ns_call){fd, type}, true);
}
