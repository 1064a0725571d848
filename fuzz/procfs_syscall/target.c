/* SPDX-License-Identifier: MIT */
/* Refused text must leave the result untouched; accepted text gives a sound one. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct rth_proc_syscall parsed, before;
    memset(&parsed, 0xa5, sizeof(parsed));
    memcpy(&before, &parsed, sizeof(parsed));
    int result = rth__proc_syscall_parse((const char *)data, size_bytes, &parsed);
    if (result < 0) {
        if (result != -EBADMSG || memcmp(&before, &parsed, sizeof(parsed)) != 0)
            abort();
        return 0;
    }
    if (parsed.number < -1 || (parsed.running && (parsed.sp != 0 || parsed.pc != 0)))
        abort();
    return 0;
}
