/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CONTENTION_CONTENTION_H
#define RTH_PROFILE_CONTENTION_CONTENTION_H

#include "core/capability.h"
#include "interpose/abi.h"

/* The row "contention": /debug/pprof/mutex and /debug/pprof/block, time waited for locks. */
extern const struct rth_capability rth__contention_capability;

/* info: what the interposer said; NULL without one. Before the row starts. */
void rth__contention_attach(const struct rth_interpose_info *info);

#endif /* RTH_PROFILE_CONTENTION_CONTENTION_H */
