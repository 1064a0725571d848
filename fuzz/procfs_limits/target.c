/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>

#include "os/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct rth_proc_limits parsed;

    (void)rth__proc_limits_parse((const char *)data, size_bytes, &parsed);
    return 0;
}
