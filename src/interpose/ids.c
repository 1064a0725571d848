/* SPDX-License-Identifier: MIT */
/*
 * The set*id family. Before the call the runtime looks whether its threads could answer it as the
 * caller does, and ends them for its length where not.
 */
#include "interpose/ops.h"
#include "interpose/real.h"

#include <errno.h>

/* CALL is evaluated between begin and end; errno is the call's. */
#define WITH_IDS_CHANGE(CALL)                                                                      \
    do {                                                                                           \
        const struct rth_interpose_ops *ops = rth__ops_of_owner();                                 \
        if (ops == NULL)                                                                           \
            return CALL;                                                                           \
        int saved_errno = errno;                                                                   \
        bool paused = ops->ids_change_begin();                                                     \
        errno = saved_errno;                                                                       \
        int result = CALL;                                                                         \
        saved_errno = errno;                                                                       \
        ops->ids_change_end(paused);                                                               \
        errno = saved_errno;                                                                       \
        return result;                                                                             \
    } while (0)

RTH__EXPORT int setuid(uid_t uid)
{
    WITH_IDS_CHANGE(rth__real()->setuid(uid));
}

RTH__EXPORT int seteuid(uid_t effective)
{
    WITH_IDS_CHANGE(rth__real()->seteuid(effective));
}

RTH__EXPORT int setreuid(uid_t real, uid_t effective)
{
    WITH_IDS_CHANGE(rth__real()->setreuid(real, effective));
}

RTH__EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    WITH_IDS_CHANGE(rth__real()->setresuid(real, effective, saved));
}

RTH__EXPORT int setgid(gid_t gid)
{
    WITH_IDS_CHANGE(rth__real()->setgid(gid));
}

RTH__EXPORT int setegid(gid_t effective)
{
    WITH_IDS_CHANGE(rth__real()->setegid(effective));
}

RTH__EXPORT int setregid(gid_t real, gid_t effective)
{
    WITH_IDS_CHANGE(rth__real()->setregid(real, effective));
}

RTH__EXPORT int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    WITH_IDS_CHANGE(rth__real()->setresgid(real, effective, saved));
}
