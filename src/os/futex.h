/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_FUTEX_H
#define RTH_OS_FUTEX_H

/* Process-private futexes: what our locks and wake-ups are made of. Both keep errno. */

#include <stdint.h>

/* Waits while *word == expected, until the absolute CLOCK_MONOTONIC deadline (negative: for ever).
 * Returns 0 when woken or the value differed, -ETIMEDOUT, or -EINTR. */
int rth__futex_wait_sigsafe(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
/* Wakes up to `count` waiters. */
void rth__futex_wake_sigsafe(_Atomic uint32_t *word, int count);

#endif /* RTH_OS_FUTEX_H */
