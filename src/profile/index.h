/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_INDEX_H
#define RTH_PROFILE_INDEX_H

#include "core/capability.h"

/* The row "profile": the /debug/pprof/ index, cmdline and symbol. */
extern const struct rth_capability rth__profile_capability;

#endif /* RTH_PROFILE_INDEX_H */
