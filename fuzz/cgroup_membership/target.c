/* SPDX-License-Identifier: MIT */
/* Any text gives places that are sound: a version with a path, or none, or an error. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check(const struct rth_cgroup_place *place)
{
    if (memchr(place->hierarchy, '\0', sizeof(place->hierarchy)) == NULL)
        abort();
    if (place->version != 0 ? place->hierarchy[0] != '/' || place->error != 0
                            : place->hierarchy[0] != '\0')
        abort();
    if (place->version < 0 || place->version > 2 ||
        (place->error != 0 && place->error != -EBADMSG && place->error != -ENAMETOOLONG))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct rth_cgroups cgroups;
    struct rth_chars chars;

    rth__chars_of_text(&chars, (const char *)data, size_bytes);
    if (rth__cgroup_membership_parse(&chars, &cgroups) != 0 || chars.at != chars.end)
        abort();
    check(&cgroups.memory);
    check(&cgroups.cpu);
    check(&cgroups.cpuset);
    check(&cgroups.unified);
    return 0;
}
