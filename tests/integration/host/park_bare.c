/* SPDX-License-Identifier: MIT */
/* with frame pointers and no unwind tables: see CMakeLists.txt. */
#include "park.h"
