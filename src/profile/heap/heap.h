/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_HEAP_HEAP_H
#define RTH_PROFILE_HEAP_HEAP_H

#include "core/capability.h"
#include "interpose/abi.h"

/* The row "heap": /debug/pprof/heap and /debug/pprof/allocs. */
extern const struct rth_capability rth__heap_capability;

/* What the interposer found out, or NULL without one. Before the row starts. */
void rth__heap_attach(const struct rth_interpose_info *info);

#endif /* RTH_PROFILE_HEAP_HEAP_H */
