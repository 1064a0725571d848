/* SPDX-License-Identifier: MIT */
#ifndef RTH_CORE_FORK_H
#define RTH_CORE_FORK_H

/*
 * Which child becomes a process of ours, and when. A child is inert from its first instruction
 * (core/enable.h). It is adopted when it has lived RTH_FORK_ADOPT_NS without exec, at a calm point
 * reported by the interposer or by an API call: that is when a thread may be created safely and a
 * short-lived child (a shell's, a CGI's, a backend of one query) has proved that it is none.
 * RTHOOKS_FORK=now adopts in the fork handler, off never does.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/option.h"

#define RTH_FORK_ADOPT_NS (INT64_C(200) * 1000 * 1000)

#define RTH_FORK_OPTION_COUNT 1
extern const struct rth_option rth__fork_options[RTH_FORK_OPTION_COUNT];

/* adopt: resets every layer and starts the child's thread; called with RTH_RANK_FORK held.
 * forked_sigsafe: runs in every child that is noticed, before anything else of ours there.
 * interposed: calm points will be reported; without it a lazy child is adopted at once. */
int rth__fork_init(int (*adopt)(void), void (*forked_sigsafe)(void), bool interposed);
/* Children made from now on stay inert. */
void rth__fork_stop(void);
/* See struct rth_interpose_ops. */
int64_t rth__fork_child_calm(void);
void rth__fork_child_forked_sigsafe(void);
const char *rth__fork_mode_name(void);
/* Whether an interposer tells the runtime of the host's threads, children and waits. */
bool rth__fork_interposed(void);

#endif /* RTH_CORE_FORK_H */
