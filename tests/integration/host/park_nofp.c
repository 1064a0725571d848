/* SPDX-License-Identifier: MIT */
/* optimised, without frame pointers: see CMakeLists.txt. */
#include "park.h"
