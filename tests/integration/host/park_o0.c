/* SPDX-License-Identifier: MIT */
/* compiled without optimisation: see CMakeLists.txt. */
#include "park.h"
