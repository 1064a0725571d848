/* SPDX-License-Identifier: MIT */
#include "os/futex.h"

#include <linux/futex.h>
#include <stddef.h>
#include <time.h>

#include "os/rawsys.h"

int rth__futex_wait_sigsafe(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / 1000000000),
        .tv_nsec = (long)(deadline_ns % 1000000000),
    };
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, FUTEX_WAIT a relative one. */
    long result = RTH__RAW(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                           deadline_ns < 0 ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);

    if (result == -EAGAIN)
        return 0;
    return (int)result;
}

void rth__futex_wake_sigsafe(_Atomic uint32_t *word, int count)
{
    (void)RTH__RAW(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
