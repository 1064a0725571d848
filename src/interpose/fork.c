/* SPDX-License-Identifier: MIT */
/*
 * fork and _Fork: the child notes when it was born, from which its adoption counts. Everything
 * else about fork is the runtime's pthread_atfork handlers, which also run where libc forks by
 * itself (daemon, forkpty) but not for _Fork. vfork shares our memory and is left alone.
 */
#include "interpose/calm.h"
#include "interpose/real.h"

#include <errno.h>

static pid_t note_child(pid_t pid)
{
    if (pid != 0)
        return pid;
    rth__calm_forked();
    const struct rth_interpose_ops *ops = rth__ops_unadopted();
    if (ops != NULL)
        ops->child_forked_sigsafe();
    return pid;
}

RTH__EXPORT pid_t fork(void)
{
    return note_child(rth__real()->fork());
}

/* Signal-safe, unlike fork. glibc has it since 2.34. */
RTH__EXPORT pid_t _Fork(void)
{
    const struct rth__real *real = rth__real();
    if (real->_Fork == NULL) {
        errno = ENOSYS;
        return -1;
    }
    return note_child(real->_Fork());
}
