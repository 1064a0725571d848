/* SPDX-License-Identifier: MIT */
#ifndef RTH_METRICS_METRICS_H
#define RTH_METRICS_METRICS_H

#include "core/capability.h"

/* The row "metrics": /metrics, and what rthooks itself costs. */
extern const struct rth_capability rth__metrics_capability;

#endif /* RTH_METRICS_METRICS_H */
