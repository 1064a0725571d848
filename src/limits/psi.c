/* SPDX-License-Identifier: MIT */
#include "limits/psi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "os/cgroup.h"
#include "os/fd.h"
#include "os/rawsys.h"
#include "os/scan.h"

#define STALLED_US 10000

static int fd = -1;
static bool has_total;
static uint64_t total_seen_us;

int rth__psi_total_parse(const char *text, const char *which, uint64_t *ret_total_us)
{
    static const char total[] = " total=";
    size_t which_bytes = strlen(which);
    for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        struct rth_scan scan = {text, end};
        if (!rth__scan_text(&scan, which) || scan.at == end || text[which_bytes] != ' ')
            continue;
        scan.at = memmem(text, (size_t)(end - text), total, sizeof(total) - 1);
        uint64_t value;
        if (scan.at == NULL || !rth__scan_text(&scan, total) ||
            !rth__scan_uint(&scan, 10, UINT64_MAX, &value) || !rth__scan_at_end(&scan))
            return -EBADMSG;
        *ret_total_us = value;
        return 0;
    }
    return -EBADMSG;
}

void rth__psi_forget(void)
{
    fd = -1;
    has_total = false;
}

void rth__psi_open(int root_fd, const char *folder)
{
    char path[RTH_CGROUP_PATH_BYTES + 32];
    fd = rth__close(fd);
    rth__psi_forget();
    if (folder[0] == '\0')
        return;
    (void)snprintf(path, sizeof(path), "%s/memory.pressure", folder);
    fd = rth__openat(root_fd, path, O_RDONLY);
}

bool rth__psi_has_stalled(void)
{
    char text[256];
    long got = fd < 0 ? -1 : RTH__RAW(SYS_pread64, fd, text, sizeof(text) - 1, 0);
    uint64_t total_us;
    if (got <= 0)
        return false;
    text[got] = '\0';
    if (rth__psi_total_parse(text, "some", &total_us) != 0)
        return false;
    bool stalled = has_total && total_us > total_seen_us && total_us - total_seen_us >= STALLED_US;
    has_total = true;
    total_seen_us = total_us;
    return stalled;
}
