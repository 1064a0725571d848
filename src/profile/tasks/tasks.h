/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_TASKS_TASKS_H
#define RTH_PROFILE_TASKS_TASKS_H

#include "core/capability.h"

/* The row "tasks": /debug/pprof/tasks. */
extern const struct rth_capability rth__tasks_capability;

#endif /* RTH_PROFILE_TASKS_TASKS_H */
