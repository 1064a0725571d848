/* SPDX-License-Identifier: MIT */
#include "os/sigmask.h"

#include <pthread.h>
#include <stddef.h>

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

void rth__sigmask_all_but_faults_sigsafe(sigset_t *ret_set)
{
    (void)sigfillset(ret_set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        (void)sigdelset(ret_set, faults[i]);
}

void rth__sigmask_block_sigsafe(sigset_t *ret_before)
{
    sigset_t set;
    rth__sigmask_all_but_faults_sigsafe(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, ret_before);
}

void rth__sigmask_restore_sigsafe(const sigset_t *before)
{
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}
