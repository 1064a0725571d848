/* SPDX-License-Identifier: MIT */
#include "os/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <time.h>

#include "os/clock.h"
#include "os/rawsys.h"

int rth__futex_wait_sigsafe(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / RTH_NS_PER_S),
        .tv_nsec = (long)(deadline_ns % RTH_NS_PER_S),
    };
    /* The BITSET form is the one whose timeout is absolute, and it reads CLOCK_MONOTONIC. */
    long result = RTH__RAW(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                           deadline_ns < 0 ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);
    return result == -EAGAIN ? 0 : (int)result;
}

void rth__futex_wake_sigsafe(_Atomic uint32_t *word, int count)
{
    (void)RTH__RAW(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}
