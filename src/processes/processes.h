/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROCESSES_PROCESSES_H
#define RTH_PROCESSES_PROCESSES_H

#include "core/capability.h"

/* The row "processes": /debug/processes. */
extern const struct rth_capability rth__processes_capability;

#endif /* RTH_PROCESSES_PROCESSES_H */
