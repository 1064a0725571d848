/* SPDX-License-Identifier: MIT */
/* Any bytes: a name that is demangled fits and is terminated; nothing is written past the buffer.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const size_t capacities[] = {1, 40, RTH_DEMANGLED_BYTES};
    char *mangled = malloc(size_bytes + 1);
    char *name = malloc(RTH_DEMANGLED_BYTES + 1);
    if (mangled == NULL || name == NULL)
        abort();
    memcpy(mangled, data, size_bytes);
    mangled[size_bytes] = '\0';
    for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
        name[capacities[i]] = '#';
        int result = rth__demangle(mangled, name, capacities[i]);
        if (name[capacities[i]] != '#')
            abort();
        if (result == 0 && (memchr(name, '\0', capacities[i]) == NULL || name[0] == '\0'))
            abort();
        if (result != 0 && result != -ENOENT && result != -E2BIG && result != -ENOSPC)
            abort();
    }
    free(name);
    free(mangled);
    return 0;
}
