/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CPU_CPU_H
#define RTH_PROFILE_CPU_CPU_H

#include "core/capability.h"

/* The row "cpu": /debug/pprof/profile. */
extern const struct rth_capability rth__cpu_capability;

#endif /* RTH_PROFILE_CPU_CPU_H */
