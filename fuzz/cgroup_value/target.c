/* SPDX-License-Identifier: MIT */
/* Refused text must leave the result untouched; accepted text gives a number the kernel could mean.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup_parse.h"

#define UNTOUCHED UINT64_C(0xa5a5a5a5a5a5a5a5)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* result 1: a value between the two; 0, -EBADMSG: none. */
static void check(int result, uint64_t value, uint64_t least, uint64_t most)
{
    if (result == 1 ? value < least || value > most
                    : (result != 0 && result != -EBADMSG) || value != UNTOUCHED)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const char *text = (const char *)data;
    uint64_t value = UNTOUCHED, period_us = UNTOUCHED;

    int result = rth__cgroup_memory_limit_parse(text, size_bytes, &value);
    check(result, value, 0, RTH_CGROUP_NO_LIMIT_BYTES - 1);
    value = UNTOUCHED;
    result = rth__cgroup_cpu_max_parse(text, size_bytes, &value, &period_us);
    check(result, value, 1, INT64_MAX);
    check(result, period_us, 1, INT64_MAX);
    value = UNTOUCHED;
    result = rth__cgroup_cfs_quota_parse(text, size_bytes, &value);
    check(result, value, 1, INT64_MAX);
    value = UNTOUCHED;
    result = rth__cgroup_number_parse(text, size_bytes, &value);
    check(result == 0 ? 1 : result, value, 0, INT64_MAX);
    value = UNTOUCHED;
    result = rth__meminfo_total_parse(text, size_bytes, &value);
    check(result == 0 ? 1 : result, value, 0, INT64_MAX);
    if (rth__cgroup_word_is_in(text, size_bytes, "memory") &&
        memmem(text, size_bytes, "memory", 6) == NULL)
        abort();
    return 0;
}
