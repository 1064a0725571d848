/* SPDX-License-Identifier: MIT */
/* Whole lines give the same whether they come at once or one by one. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup_parse.h"

#define COUNT 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static const struct rth_cgroup_key keys[COUNT] = {RTH_CGROUP_KEY("oom"), RTH_CGROUP_KEY("oom_kill"),
                                                  RTH_CGROUP_KEY("inactive_file")};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    uint64_t values[COUNT] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    uint64_t again[COUNT] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    const char *text = (const char *)data, *end = text + size_bytes;
    int result = rth__cgroup_keys_parse(text, size_bytes, keys, COUNT, values);

    if (result != -EBADMSG && (result < 0 || result > COUNT))
        abort();
    int known = 0;
    while (text < end && known >= 0) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t line_bytes = (size_t)((newline != NULL ? newline + 1 : end) - text);
        known = rth__cgroup_keys_parse(text, line_bytes, keys, COUNT, again);
        text += line_bytes;
    }
    if (known != result || memcmp(values, again, sizeof(values)) != 0)
        abort();
    for (int i = 0; i < COUNT; i++)
        if (values[i] != UINT64_MAX && values[i] > INT64_MAX)
            abort();
    return 0;
}
