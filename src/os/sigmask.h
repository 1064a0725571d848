/* SPDX-License-Identifier: MIT */
#ifndef RTH_OS_SIGMASK_H
#define RTH_OS_SIGMASK_H

/*
 * Every signal but the fault signals: a fault whose signal is blocked ends the process, whatever
 * handler the host has. Through pthread_sigmask, which leaves glibc's own signals alone.
 */

#include <signal.h>

void rth__sigmask_all_but_faults_sigsafe(sigset_t *ret_set);
/* Blocks them beside what is blocked already. */
void rth__sigmask_block_sigsafe(sigset_t *ret_before);
void rth__sigmask_restore_sigsafe(const sigset_t *before);

#endif /* RTH_OS_SIGMASK_H */
