/* SPDX-License-Identifier: MIT */
/* The set*id family: after a success, sockets named by user have to move. */
#include "interpose/ops.h"
#include "interpose/real.h"

static int report(int result)
{
    const struct rth_interpose_ops *ops = result == 0 ? rth__ops_of_owner() : NULL;
    if (ops != NULL)
        ops->ids_changed();
    return result;
}

RTH__EXPORT int setuid(uid_t uid)
{
    return report(rth__real()->setuid(uid));
}

RTH__EXPORT int seteuid(uid_t effective)
{
    return report(rth__real()->seteuid(effective));
}

RTH__EXPORT int setreuid(uid_t real, uid_t effective)
{
    return report(rth__real()->setreuid(real, effective));
}

RTH__EXPORT int setresuid(uid_t real, uid_t effective, uid_t saved)
{
    return report(rth__real()->setresuid(real, effective, saved));
}

RTH__EXPORT int setgid(gid_t gid)
{
    return report(rth__real()->setgid(gid));
}

RTH__EXPORT int setegid(gid_t effective)
{
    return report(rth__real()->setegid(effective));
}

RTH__EXPORT int setregid(gid_t real, gid_t effective)
{
    return report(rth__real()->setregid(real, effective));
}

RTH__EXPORT int setresgid(gid_t real, gid_t effective, gid_t saved)
{
    return report(rth__real()->setresgid(real, effective, saved));
}
