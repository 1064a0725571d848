/* SPDX-License-Identifier: MIT */
#include "interpose/blocked.h"

__thread struct rth_thread_shared *rth__self __attribute__((tls_model("initial-exec")));

void rth__thread_shared_set(struct rth_thread_shared *shared)
{
    rth__self = shared;
}
