/* SPDX-License-Identifier: MIT */
#ifndef RTH_PROFILE_TASKS_TEXT_H
#define RTH_PROFILE_TASKS_TEXT_H

#include <stdbool.h>

#include "formats/sink.h"

/* debug=2: one block per live task. symbols: false for addresses alone. 0 or a negative errno.
 * rth-work. */
int rth__tasks_text(bool symbols, struct rth_sink *sink);

#endif /* RTH_PROFILE_TASKS_TEXT_H */
