/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>

#include "os/maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct rth_map parsed;

    (void)rth__map_line_parse((const char *)data, size_bytes, &parsed);
    return 0;
}
