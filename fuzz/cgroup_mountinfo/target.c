/* SPDX-License-Identifier: MIT */
/* Every mount that comes out is sound, and it comes to an end. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct rth_cgroup_mount mount;
    struct rth_chars chars;
    const char *before;
    int result;

    rth__chars_of_text(&chars, (const char *)data, size_bytes);
    for (;;) {
        before = chars.at;
        result = rth__cgroup_mount_next(&chars, &mount);
        if (result == 0)
            break;
        if (chars.at == before || (result != 1 && result != -EBADMSG && result != -ENAMETOOLONG))
            abort();
        if (result < 0)
            continue;
        if ((mount.version != 1 && mount.version != 2) || mount.root[0] != '/' ||
            mount.mount[0] != '/' || rth__cgroup_path_has_parent(mount.mount) ||
            memchr(mount.root, '\0', sizeof(mount.root)) == NULL ||
            memchr(mount.mount, '\0', sizeof(mount.mount)) == NULL)
            abort();
    }
    if (chars.at != chars.end)
        abort();
    return 0;
}
