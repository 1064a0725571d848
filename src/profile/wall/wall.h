/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_WALL_WALL_H
#define RTH_PROFILE_WALL_WALL_H

#include "core/capability.h"

/* The row "wall": /debug/pprof/wall. */
extern const struct rth_capability rth__wall_capability;

#endif /* RTH_PROFILE_WALL_WALL_H */
