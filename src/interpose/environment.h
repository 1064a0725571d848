/* SPDX-License-Identifier: MIT */
#ifndef RTH_INTERPOSE_ENVIRONMENT_H
#define RTH_INTERPOSE_ENVIRONMENT_H

/* Our entries of the environment: copied and taken out before main, put back for exec and spawn. */

#include "interpose/abi.h"

#include <stdbool.h>

/* Before main only (these read and change environ without a lock). */

/* Value of a variable of the environment, NULL when absent. */
const char *rth__environment_get(const char *variable);
/* Copies our entries; the copy's RTHOOKS_AUTOSTART says `meant`. False without memory. */
bool rth__environment_save(const char *meant);
/* Removes from environ what was saved. In place: nothing is allocated or moved. */
void rth__environment_take_out(void);

/* Any time after. */

/* The saved entries but LD_PRELOAD, NULL-terminated, never NULL. */
const char *const *rth__environment_saved(void);

/* An exec or spawn with its other arguments in `call`. */
typedef int (*rth__environment_call)(void *call, char *const envp[]);

/*
 * Calls fn with envp, or with envp and our entries in front where boot and the raw pid say that
 * the next image gets them. Returns what fn returned. Signal-safe; the new array lives on the
 * stack. Above 4,096 entries only the exec of the booted process itself maps memory for it; a
 * spawn, or a child that may share its parent's memory, goes through as it is.
 */
int rth__environment_exec(char *const envp[], rth__environment_call fn, void *call);
int rth__environment_spawn(char *const envp[], rth__environment_call fn, void *call);

#endif /* RTH_INTERPOSE_ENVIRONMENT_H */
