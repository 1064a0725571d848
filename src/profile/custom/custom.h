/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_CUSTOM_CUSTOM_H
#define RTH_PROFILE_CUSTOM_CUSTOM_H

#include "core/capability.h"

/* The row "custom": /debug/pprof/NAME for each profile of the program's own. Ends rth_profile_write
 * too, so it comes behind every row that makes profiles. */
extern const struct rth_capability rth__custom_capability;

#endif /* RTH_PROFILE_CUSTOM_CUSTOM_H */
