/* SPDX-License-Identifier: MIT */
#ifndef RTH_METRICS_PROCESS_H
#define RTH_METRICS_PROCESS_H

#include "core/capability.h"

/* The row "process": the nine process_* series every Prometheus user knows. */
extern const struct rth_capability rth__process_capability;

#endif /* RTH_METRICS_PROCESS_H */
