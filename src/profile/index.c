/* SPDX-License-Identifier: MIT */
/*
 * /debug/pprof/: the page that Go users know, made from the artefacts of the capability table that
 * call themselves profiles. Scrapers read its rows with regular expressions, so their shape is
 * Go's, byte for byte; what the page says around them is ours.
 * Threads: rth-work. Cost: a walk over the table.
 */
#include "profile/index.h"

#include <string.h>

#include "core/redact.h"
#include "core/service_thread.h"
#include "os/procfs.h"
#include "profile/symbol.h"

#define CMDLINE_BYTES 16384
#define PROFILES_MAX  64

struct listed {
    const char *name; /* under /debug/pprof/ */
    const struct rth_artefact *artefact;
    uint64_t count;
};

struct list {
    struct listed profiles[PROFILES_MAX]; /* sorted by name: a handful, so insertion is enough */
    size_t count;
};

static void insert(struct list *list, const struct listed *profile)
{
    if (list->count == PROFILES_MAX)
        return;
    size_t at = list->count++;
    while (at > 0 && strcmp(list->profiles[at - 1].name, profile->name) > 0) {
        list->profiles[at] = list->profiles[at - 1];
        at--;
    }
    list->profiles[at] = *profile;
}

/* The artefact, or each of the names below it, when it is shown under /debug/pprof/. */
static void insert_artefact(struct list *list, const struct rth_artefact *artefact)
{
    static const char prefix[] = "/debug/pprof/";
    if ((artefact->flags & RTH_ARTEFACT_PROFILE) == 0 || artefact->description == NULL ||
        strncmp(artefact->path, prefix, sizeof(prefix) - 1) != 0)
        return;
    struct listed profile = {.name = artefact->path + sizeof(prefix) - 1, .artefact = artefact};
    if (artefact->name_below == NULL) {
        profile.count = artefact->count != NULL ? artefact->count() : 0;
        insert(list, &profile);
        return;
    }
    for (size_t i = 0; (profile.name = artefact->name_below(i)) != NULL; i++) {
        profile.count = artefact->count_below != NULL ? artefact->count_below(i) : 0;
        insert(list, &profile);
    }
}

static void read_list(struct list *ret_list)
{
    ret_list->count = 0;
    for (size_t i = 0; i < rth__capability_count(); i++) {
        const struct rth_capability *row = rth__capability_at(i);
        if (rth__capability_runtime_at(i)->state != RTH_CAPABILITY_RUNNING)
            continue;
        for (size_t k = 0; k < row->artefact_count; k++)
            insert_artefact(ret_list, &row->artefacts[k]);
    }
}

static int write_index(struct rth_call *call, struct rth_sink *sink)
{
    (void)call;
    struct list list;
    read_list(&list);
    (void)rth__sink_puts(sink, "<html>\n<head>\n<title>/debug/pprof/</title>\n<style>\n"
                               ".profile-name{\n\tdisplay:inline-block;\n\twidth:6rem;\n}\n"
                               "</style>\n</head>\n<body>\n/debug/pprof/\n<br>\n"
                               "<p>Add <code>?debug=1</code> for text.</p>\n<br>\n"
                               "Types of profiles available:\n<table>\n"
                               "<thead><td>Count</td><td>Profile</td></thead>\n");
    for (size_t i = 0; i < list.count; i++) {
        const struct listed *profile = &list.profiles[i];
        (void)rth__sink_printf(sink, "<tr><td>%llu</td><td><a href='%s?debug=1'>%s</a></td></tr>\n",
                               (unsigned long long)profile->count, profile->name, profile->name);
    }
    (void)rth__sink_puts(sink, "</table>\n<br>\n<p>\nProfile Descriptions:\n<ul>\n");
    for (size_t i = 0; i < list.count; i++)
        (void)rth__sink_printf(sink, "<li><div class=profile-name>%s: </div> %s</li>\n",
                               list.profiles[i].name, list.profiles[i].artefact->description);
    (void)rth__sink_puts(sink, "</ul>\n</p>\n</body>\n</html>\n");
    return sink->error;
}

static int write_cmdline(struct rth_call *call, struct rth_sink *sink)
{
    char cmdline[CMDLINE_BYTES];
    ssize_t length = rth__proc_cmdline_read(rth__root_fd(), 0, cmdline, sizeof(cmdline));
    if (length < 0)
        return rth__call_fail(call, 503, "cannot read /proc/self/cmdline: errno %d", (int)-length);
    /* Arguments are joined by NUL, without one at the end. */
    while (length > 0 && cmdline[length - 1] == '\0')
        length--;
    int64_t redact = 1;
    (void)rth__params_int64(&call->params, "redact", &redact);
    if (redact == 0 && call->peer_is_local_uid)
        return rth__sink_write(sink, cmdline, (size_t)length);
    rth__redact_cmdline(cmdline, (size_t)length, sink);
    return sink->error;
}

static const struct rth_artefact artefacts[] = {
    {
        .name = "index",
        .path = "/debug/pprof/",
        .content_type = "text/html; charset=utf-8",
        .write = write_index,
    },
    {
        .name = "cmdline",
        .path = "/debug/pprof/cmdline",
        .content_type = "text/plain; charset=utf-8",
        .description = "The command line invocation of the current program",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_BY_PID,
        .write = write_cmdline,
    },
    {
        .name = "symbol",
        .path = "/debug/pprof/symbol",
        .content_type = "text/plain; charset=utf-8",
        .description = "Function names of program counters, given with '+' between as the raw "
                       "query of a GET or the body of a POST",
        .flags = RTH_ARTEFACT_PROFILE | RTH_ARTEFACT_POST | RTH_ARTEFACT_BY_PID,
        .write = rth__symbol_write,
    },
};

const struct rth_capability rth__profile_capability = {
    .name = "profile",
    .artefacts = artefacts,
    .artefact_count = sizeof(artefacts) / sizeof(artefacts[0]),
};
