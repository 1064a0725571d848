/* SPDX-License-Identifier: MIT */
/* How many processors a process may run on. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/cgroup_level.h"
#include "os/cgroup_parse.h"
#include "os/fd.h"
#include "os/lines.h"
#include "os/procfs_path.h"
#include "os/rawsys.h"
#include "os/scan.h"

#define TEXT_BYTES 3072 /* a mask of 8192 processors is 2303 characters */

static unsigned count_cpus(const uint32_t *words, size_t count)
{
    unsigned cpus = 0;
    for (size_t i = 0; i < count; i++)
        cpus += (unsigned)__builtin_popcount(words[i]);
    return cpus;
}

/* Of the main thread, as the kernel would schedule it now: processors that are off do not count. */
static unsigned count_of_scheduler(void)
{
    struct rth_cpus cpus = {.words = {0}};
    long size_bytes =
        RTH__RAW(SYS_sched_getaffinity, rth__raw_getpid_sigsafe(), sizeof(cpus.words), cpus.words);
    return size_bytes > 0 ? count_cpus(cpus.words, (size_t)size_bytes / sizeof(uint32_t)) : 0;
}

static int read_list(int root_fd, const char *path, struct rth_cpus *ret_cpus)
{
    char text[TEXT_BYTES];
    ssize_t size_bytes = rth__read_file_at(root_fd, path, text, sizeof(text));
    return size_bytes < 0 ? (int)size_bytes
                          : rth__cpus_list_parse(text, (size_t)size_bytes, ret_cpus);
}

/* "Cpus_allowed:" of the process's status, which holds many that the machine does not have. */
static int read_allowed(int root_fd, int pid, struct rth_cpus *ret_cpus)
{
    char path[RTH_PROC_PATH_BYTES], text[TEXT_BYTES];
    struct rth_lines lines;
    const char *line;
    size_t size_bytes;
    int result;

    rth__proc_path(pid, 0, "status", path);
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    rth__lines_of_fd(&lines, fd, text, sizeof(text));
    while ((result = rth__lines_next(&lines, &line, &size_bytes)) != 0) {
        if (result == -EMSGSIZE)
            continue;
        if (result < 0)
            return result;
        struct rth_scan scan = {line, line + size_bytes};
        if (!rth__scan_text(&scan, "Cpus_allowed:"))
            continue;
        rth__scan_blanks(&scan);
        return rth__cpus_mask_parse(scan.at, (size_t)(scan.end - scan.at), ret_cpus);
    }
    return -ENODATA;
}

static int read_cpuset(int root_fd, const struct rth_cgroup_place *cpuset,
                       struct rth_cpus *ret_cpus)
{
    char text[TEXT_BYTES];

    if (cpuset->version == 0)
        return -ENOENT;
    RTH__AUTO_CLOSE int fd =
        rth__cgroup_open(root_fd, cpuset->folder,
                         cpuset->version == 2 ? "cpuset.cpus.effective" : "cpuset.effective_cpus");
    if (fd < 0)
        return fd;
    ssize_t size_bytes = rth__cgroup_pread(fd, text, sizeof(text));
    return size_bytes < 0 ? (int)size_bytes
                          : rth__cpus_list_parse(text, (size_t)size_bytes, ret_cpus);
}

unsigned rth__cgroup_affinity(int root_fd, int pid, const struct rth_cgroup_place *cpuset)
{
    struct rth_cpus cpus, online;

    if (pid == 0 && rth__cgroup_root_is_live(root_fd)) {
        unsigned count = count_of_scheduler();
        if (count > 0)
            return count;
    }
    if (read_allowed(root_fd, pid, &cpus) < 0 && read_cpuset(root_fd, cpuset, &cpus) < 0)
        return 0;
    if (read_list(root_fd, "sys/devices/system/cpu/online", &online) == 0) {
        for (unsigned i = 0; i < RTH_CPUS_WORDS; i++)
            cpus.words[i] &= online.words[i];
    }
    return count_cpus(cpus.words, RTH_CPUS_WORDS);
}
