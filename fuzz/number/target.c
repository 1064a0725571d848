/* SPDX-License-Identifier: MIT */
/* A double written by us is read back by libc as the same double. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char text[RTH_NUMBER_BYTES];
    double value;
    if (size_bytes != sizeof(value))
        return 0;
    memcpy(&value, data, sizeof(value));
    size_t length = rth__number_double_go(value, text);
    if (length != strlen(text) || length >= sizeof(text))
        abort();
    if (value != value || value - value != 0)
        return 0;
    if (strtod(text, NULL) != value)
        abort();
    length = rth__number_double_json(value, text);
    if (length != strlen(text) || length >= sizeof(text) || strtod(text, NULL) != value)
        abort();
    return 0;
}
