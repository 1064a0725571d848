/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "os/procfs.h"
#include "os/procfs_path.h"
#include "os/scan.h"

static bool scan_hex(struct rth_scan *scan, uint64_t *ret_value)
{
    return rth__scan_text(scan, " 0x") && rth__scan_uint(scan, 16, UINT64_MAX, ret_value);
}

int rth__proc_syscall_parse(const char *text, size_t size_bytes,
                            struct rth_proc_syscall *ret_syscall)
{
    struct rth_proc_syscall call = {.number = -1};
    struct rth_scan scan = {.at = text, .end = text + size_bytes};

    if (size_bytes == 0 || text[size_bytes - 1] != '\n')
        return -EBADMSG;
    scan.end--;
    if (rth__scan_text(&scan, "running")) {
        call.running = true;
    } else {
        if (!rth__scan_int64(&scan, &call.number) || call.number < -1)
            return -EBADMSG;
        for (int i = 0; call.number >= 0 && i < RTH_PROC_SYSCALL_ARGUMENTS; i++)
            if (!scan_hex(&scan, &call.arguments[i]))
                return -EBADMSG;
        if (!scan_hex(&scan, &call.sp) || !scan_hex(&scan, &call.pc))
            return -EBADMSG;
    }
    if (!rth__scan_at_end(&scan))
        return -EBADMSG;
    *ret_syscall = call;
    return 0;
}

int rth__proc_syscall_read(int root_fd, int pid, int tid, struct rth_proc_syscall *ret_syscall)
{
    char text[256];
    ssize_t size_bytes = rth__proc_file_read(root_fd, pid, tid, "syscall", text, sizeof(text));

    if (size_bytes < 0)
        return (int)size_bytes;
    return rth__proc_syscall_parse(text, (size_t)size_bytes, ret_syscall);
}
