/* SPDX-License-Identifier: MIT */
#ifndef RTH_HEALTH_HEALTH_H
#define RTH_HEALTH_HEALTH_H

#include "core/capability.h"

/* The row "health": /livez, /readyz, /startupz, /healthz and /readyz/CHECK. */
extern const struct rth_capability rth__health_capability;

#endif /* RTH_HEALTH_HEALTH_H */
