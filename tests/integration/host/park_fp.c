/* SPDX-License-Identifier: MIT */
/* optimised, with frame pointers: see CMakeLists.txt. */
#include "park.h"
