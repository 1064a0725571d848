/* SPDX-License-Identifier: MIT */
/* What a C service does with rthooks, in ten lines; prints the version it runs on. */

#include <rthooks/rthooks.h>

#include <stdio.h>

int main(void)
{
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "consumer";
    opts.admin = "off";
    int error = rth_start(&opts);
    if (error < 0) {
        fprintf(stderr, "rth_start: %s\n", rth_strerror(error));
        return 1;
    }
    printf("rthooks %s\n", rth_version());
    return rth_stop() == 0 ? 0 : 1;
}
