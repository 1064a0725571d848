/* SPDX-License-Identifier: MIT */
#include "limits/cpu_cap.h"

#include "os/clock.h"
#include "rthooks/limits.h"

unsigned rth__cpu_cap_percent(int state)
{
    return state >= RTH_MEMORY_CRITICAL ? 50 : state >= RTH_MEMORY_SHED ? 25 : 10;
}

bool rth__cpu_cap_fill(struct rth_cpu_cap *cap, int64_t now_ns, double cpus, unsigned percent)
{
    if (cap->filled_ns == 0) {
        cap->tokens_ns = RTH_CPU_CAP_BURST_NS;
    } else if (now_ns > cap->filled_ns) {
        /* More than a minute fills any bucket: no product runs over. */
        int64_t passed_ns = now_ns - cap->filled_ns;
        if (passed_ns > 60 * RTH_NS_PER_S)
            passed_ns = 60 * RTH_NS_PER_S;
        cap->tokens_ns += (int64_t)((double)passed_ns * cpus * percent / 100);
        if (cap->tokens_ns > RTH_CPU_CAP_BURST_NS)
            cap->tokens_ns = RTH_CPU_CAP_BURST_NS;
    }
    cap->filled_ns = now_ns;
    return cap->tokens_ns > 0;
}

void rth__cpu_cap_take(struct rth_cpu_cap *cap, int64_t used_ns)
{
    if (used_ns > 0)
        cap->tokens_ns -= used_ns;
}
