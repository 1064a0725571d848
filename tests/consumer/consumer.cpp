/* SPDX-License-Identifier: MIT */
/* The same from C++17. */

#include <rthooks/rthooks.h>

#include <cstdio>

int main()
{
    rth_opts opts = RTH_OPTS_INIT;
    opts.service = "consumer";
    opts.admin = "off";
    rth_status status = RTH_STATUS_INIT;
    if (rth_start(&opts) < 0 || rth_status_read(&status) < 0 || !status.running)
        return 1;
    std::printf("rthooks %s\n", rth_version());
    return rth_stop() == 0 ? 0 : 1;
}
