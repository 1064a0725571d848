/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "os/procfs.h"
#include "os/procfs_path.h"
#include "os/scan.h"

/* Field numbers of proc(5). */
enum {
    FIELD_PPID = 4,
    FIELD_UTIME = 14,
    FIELD_STIME = 15,
    FIELD_CUTIME = 16,
    FIELD_CSTIME = 17,
    FIELD_NUM_THREADS = 20,
    FIELD_STARTTIME = 22,
    FIELD_VSIZE = 23,
    FIELD_RSS = 24,
    FIELD_PROCESSOR = 39,
};

static bool scan_field(struct rth_scan *scan, int field, struct rth_proc_stat *stat)
{
    int64_t ignored;
    uint64_t ignored_unsigned;

    switch (field) {
    case FIELD_PPID:
        return rth__scan_id(scan, &stat->ppid);
    case FIELD_UTIME:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->utime_ticks);
    case FIELD_STIME:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->stime_ticks);
    case FIELD_CUTIME:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->cutime_ticks);
    case FIELD_CSTIME:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->cstime_ticks);
    case FIELD_NUM_THREADS:
        return rth__scan_int64(scan, &stat->num_threads) && stat->num_threads >= 0;
    case FIELD_STARTTIME:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->starttime_ticks);
    case FIELD_VSIZE:
        return rth__scan_uint(scan, 10, UINT64_MAX, &stat->vsize_bytes);
    case FIELD_RSS:
        return rth__scan_int64(scan, &stat->rss_pages);
    case FIELD_PROCESSOR:
        return rth__scan_id(scan, &stat->processor);
    default:
        /* Some are signed, some use all 64 bits. */
        if (scan->at < scan->end && *scan->at == '-')
            return rth__scan_int64(scan, &ignored);
        return rth__scan_uint(scan, 10, UINT64_MAX, &ignored_unsigned);
    }
}

int rth__proc_stat_parse(const char *text, size_t size_bytes, struct rth_proc_stat *ret_stat)
{
    struct rth_proc_stat stat = {0};
    struct rth_scan scan = {.at = text, .end = text + size_bytes};

    /* What ends without a newline was cut, perhaps within a number. */
    if (size_bytes == 0 || text[size_bytes - 1] != '\n')
        return -EBADMSG;
    scan.end--;
    if (!rth__scan_id(&scan, &stat.pid) || !rth__scan_text(&scan, " ("))
        return -EBADMSG;

    /* The name may hold anything, a parenthesis and a newline too; the last one ends it. */
    const char *close = memrchr(scan.at, ')', (size_t)(scan.end - scan.at));
    if (!close || (size_t)(close - scan.at) >= sizeof(stat.comm))
        return -EBADMSG;
    memcpy(stat.comm, scan.at, (size_t)(close - scan.at));
    scan.at = close + 1;

    if (!rth__scan_char(&scan, ' ') || rth__scan_at_end(&scan))
        return -EBADMSG;
    stat.state = *scan.at++;
    if (!((stat.state >= 'A' && stat.state <= 'Z') || (stat.state >= 'a' && stat.state <= 'z')))
        return -EBADMSG;
    for (int field = FIELD_PPID; field <= FIELD_PROCESSOR; field++)
        if (!rth__scan_char(&scan, ' ') || !scan_field(&scan, field, &stat))
            return -EBADMSG;
    /* More fields may follow, in older and newer kernels fewer and more than in this one. */
    if (!rth__scan_at_end(&scan) && *scan.at != ' ')
        return -EBADMSG;
    *ret_stat = stat;
    return 0;
}

int rth__proc_stat_read(int root_fd, int pid, int tid, struct rth_proc_stat *ret_stat)
{
    char text[2048];
    ssize_t size_bytes = rth__proc_file_read(root_fd, pid, tid, "stat", text, sizeof(text));

    if (size_bytes < 0)
        return (int)size_bytes;
    return rth__proc_stat_parse(text, (size_t)size_bytes, ret_stat);
}

const char *rth__proc_state_name(char state)
{
    switch (state) {
    case 'R':
        return "running";
    case 'S':
        return "sleeping";
    case 'D':
        return "disk";
    case 'T':
        return "stopped";
    case 't':
        return "traced";
    case 'Z':
        return "zombie";
    case 'I':
        return "idle";
    default:
        return "dead";
    }
}
