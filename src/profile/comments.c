/* SPDX-License-Identifier: MIT */
#include "profile/comments.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/capability.h"
#include "core/fork.h"
#include "rthooks/version.h"

void rth__comments_add(struct rth_comments *comments, const char *format, ...)
{
    unsigned left = RTH_COMMENTS_TEXT_BYTES - comments->used_bytes;
    if (comments->count == RTH_COMMENTS_MAX)
        return;
    char *line = comments->text + comments->used_bytes;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, left, format, arguments);
    va_end(arguments);
    if (length < 0 || (unsigned)length >= left)
        return;
    comments->lines[comments->count++] = line;
    comments->used_bytes += (unsigned)length + 1;
}

void rth__comments_init(struct rth_comments *comments)
{
    memset(comments, 0, sizeof(*comments));
    rth__comments_add(comments, "rthooks %s", RTH_VERSION);
    char names[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const char *name = rth__capability_at(i)->name;
        if (!rth__capability_is_running(name) || used + strlen(name) + 2 > sizeof(names))
            continue;
        int length =
            snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? "," : "", name);
        used += length > 0 ? (size_t)length : 0;
    }
    rth__comments_add(comments, "running: %s", names);
    rth__comments_add(comments, "hooks: %s",
                      rth__fork_interposed()
                          ? "allocations,mappings,threads,waits,signals,fork"
                          : "none (librthooks_interpose.so is not attached): threads are found by "
                            "looking, waits through the kernel alone");
}
