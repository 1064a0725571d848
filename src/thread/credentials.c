/* SPDX-License-Identifier: MIT */
#include "thread/credentials.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>

#include "core/service_thread.h"
#include "os/rawsys.h"

struct capability_sets {
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static bool read_sets(int tid, struct capability_sets *ret_sets)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, tid};
    return RTH__RAW(SYS_capget, &header, ret_sets->data) == 0;
}

bool rth__credentials_differ_sigsafe(void)
{
    if (RTH__RAW(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0) > 0)
        return true; /* ours have none set, so they would lose what the caller keeps */
    struct capability_sets caller, ours;
    int tids[RTH_SERVICE_THREAD_MAX];
    int count = rth__service_thread_tids(tids, RTH_SERVICE_THREAD_MAX);
    if (!read_sets(0, &caller))
        return false;
    for (int i = 0; i < count; i++)
        if (read_sets(tids[i], &ours) && memcmp(&caller, &ours, sizeof(caller)) != 0)
            return true;
    return false;
}
