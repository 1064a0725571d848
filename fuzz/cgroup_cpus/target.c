/* SPDX-License-Identifier: MIT */
/* Masks and lists of processors: a verdict, and never a bit outside of the words. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    /* On the heap, so that a sanitizer sees what is written beside it. */
    struct rth_cpus *cpus = malloc(sizeof(*cpus));
    if (cpus == NULL)
        return 0;
    int mask = rth__cpus_mask_parse((const char *)data, size_bytes, cpus);
    int list = rth__cpus_list_parse((const char *)data, size_bytes, cpus);
    free(cpus);
    /* A list ends with a newline, which no mask has. */
    if ((mask != 0 && mask != -EBADMSG) || (list != 0 && list != -EBADMSG) ||
        (mask == 0 && list == 0))
        abort();
    return 0;
}
