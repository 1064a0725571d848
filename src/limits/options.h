/* SPDX-License-Identifier: MIT */
#ifndef RTH_LIMITS_OPTIONS_H
#define RTH_LIMITS_OPTIONS_H

#include "core/option.h"

#define RTH_LIMITS_OPTION_COUNT 10
extern const struct rth_option rth__limits_options[RTH_LIMITS_OPTION_COUNT];

#endif /* RTH_LIMITS_OPTIONS_H */
