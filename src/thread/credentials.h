/* SPDX-License-Identifier: MIT */
#ifndef RTH_THREAD_CREDENTIALS_H
#define RTH_THREAD_CREDENTIALS_H

#include <stdbool.h>

/*
 * Whether a set*id call of the calling host thread may end differently on a thread of ours.
 *
 * Capabilities and securebits (PR_SET_KEEPCAPS, what setpriv and capsh use) belong to a thread;
 * glibc repeats a set*id on every thread and aborts the process when one of them answers
 * otherwise. Where this says true our threads must not exist during the call: those created
 * afterwards inherit the caller's. A few microseconds, signal-safe.
 */
bool rth__credentials_differ_sigsafe(void);

#endif /* RTH_THREAD_CREDENTIALS_H */
