/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_MMAP_MMAP_H
#define RTH_PROFILE_MMAP_MMAP_H

#include "core/capability.h"

/* The row "mmap": /debug/pprof/mmap. */
extern const struct rth_capability rth__mmap_capability;

#endif /* RTH_PROFILE_MMAP_MMAP_H */
