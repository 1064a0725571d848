/* SPDX-License-Identifier: MIT */
#ifndef RTH_UNWIND_MODULE_ROWS_H
#define RTH_UNWIND_MODULE_ROWS_H

/* The rows of each module: set once by rth__unwind_refresh, never taken back, so that a reader
 * needs no more than the pointer. */

#include <stdatomic.h>
#include <stdbool.h>

#include "record/module.h"
#include "unwind/rows.h"

extern _Atomic(const struct rth_rows *) rth__rows_of_module_sigsafe[RTH_MODULES_MAX];
/* A walk met code in no known range. */
extern _Atomic bool rth__unknown_code_met_sigsafe;

#endif /* RTH_UNWIND_MODULE_ROWS_H */
