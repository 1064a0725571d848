/* SPDX-License-Identifier: MIT */

/* What this system offers to rthooks. Features are tried, not read off a version number. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rthooks/rthooks.h>

#include "client/libraries.h"
#include "cmd/doctor.h"
#include "os/fd.h"
#include "os/rundir.h"

#define DEFAULT_PORT 6060

static void check_kernel(struct report *report)
{
    struct utsname name;
    if (uname(&name) == 0)
        report_add(report, FINDING_OK, "kernel", "%s %s %s", name.sysname, name.release,
                   name.machine);
}

/* Run in a child: it changes the table of descriptors. */
static void check_close_range(struct report *report)
{
    pid_t child = fork();
    if (child == 0)
        _exit(syscall(SYS_close_range, 3U, ~0U, 2U /* CLOSE_RANGE_UNSHARE */) == 0 ? 0 : errno);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        report_add(report, FINDING_PROBLEM, "close_range", "cannot fork: %s", strerror(errno));
    else if (status == 0)
        report_add(report, FINDING_OK, "close_range",
                   "our threads keep their descriptors apart from the host's");
    else
        report_add(report, FINDING_NOTE, "close_range",
                   "%s: closing one by one is used instead (before Linux 5.9, or forbidden)",
                   strerror(WEXITSTATUS(status)));
}

static void check_pidfd(struct report *report)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd >= 0) {
        (void)close(fd);
        report_add(report, FINDING_OK, "pidfd", "a process is named without reuse of its pid");
    } else {
        report_add(report, FINDING_NOTE, "pidfd", "pidfd_open: %s", strerror(errno));
    }
}

/* A forked child must read zeros: all our copied state is switched off that way. */
static void check_wipe_on_fork(struct report *report)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    volatile uint32_t *word =
        mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED) {
        report_add(report, FINDING_PROBLEM, "wipeonfork", "mmap: %s", strerror(errno));
        return;
    }
    *word = 1;
    void *page = (void *)(uintptr_t)word;
    if (madvise(page, page_bytes, MADV_WIPEONFORK) < 0) {
        report_add(report, FINDING_PROBLEM, "wipeonfork",
                   "%s: forked children cannot be told apart (Linux 4.14 is the oldest)",
                   strerror(errno));
    } else {
        pid_t child = fork();
        if (child == 0)
            _exit(*word == 0 ? 0 : 1);
        int status = -1;
        (void)(child > 0 && waitpid(child, &status, 0));
        if (status == 0)
            report_add(report, FINDING_OK, "wipeonfork", "forked children start inert");
        else
            report_add(report, FINDING_PROBLEM, "wipeonfork",
                       "a forked child still reads the parent's page");
    }
    (void)munmap(page, page_bytes);
}

static bool read_number(const char *path, long *ret_value)
{
    char text[64], *end;
    if (rth__read_file_at(AT_FDCWD, path, text, sizeof(text)) <= 0)
        return false;
    long value = strtol(text, &end, 10);
    if (end == text)
        return false;
    *ret_value = value;
    return true;
}

static void check_settings(struct report *report)
{
    long value;
    if (!read_number("/proc/sys/kernel/perf_event_paranoid", &value))
        report_add(report, FINDING_NOTE, "perf_events", "this kernel has no perf events");
    else if (value <= 2)
        report_add(report, FINDING_OK, "perf_events",
                   "perf_event_paranoid is %ld: a process may watch itself", value);
    else
        report_add(report, FINDING_NOTE, "perf_events",
                   "perf_event_paranoid is %ld: only root may use perf events", value);
    if (!read_number("/proc/sys/kernel/yama/ptrace_scope", &value))
        report_add(report, FINDING_OK, "ptrace_scope", "no Yama: the usual rules of /proc");
    else
        report_add(report, value >= 2 ? FINDING_NOTE : FINDING_OK, "ptrace_scope",
                   "%ld%s: /proc/PID of one's own processes is readable; debuggers are limited",
                   value, value == 0 ? " (off)" : "");
}

static void check_libraries(struct report *report)
{
    struct libraries libraries;
    char message[PATH_MAX + 256];
    if (libraries_find(&libraries, message, sizeof(message)) != 0) {
        report_add(report, FINDING_PROBLEM, "libraries", "%s", message);
        return;
    }
    report_add(report, FINDING_OK, "runtime", "%s (%s)", libraries.runtime, rth_version());
    report_add(report, FINDING_OK, "interposer", "%s", libraries.interposer);
}

static void check_environment(struct report *report)
{
    char message[1024] = "";
    const char *master = getenv("RTHOOKS");
    if (master != NULL && strcmp(master, "off") == 0) {
        report_add(report, FINDING_NOTE, "environment", "RTHOOKS=off: run starts without hooks");
        return;
    }
    int error =
        rth_environment_check((const char *const *)(void *)environ, message, sizeof(message));
    if (error == 0)
        report_add(report, FINDING_OK, "environment", "no malformed RTHOOKS_ variable");
    else
        report_add(report, error == -EINVAL ? FINDING_PROBLEM : FINDING_NOTE, "environment", "%s",
                   message);
}

static void check_port(struct report *report)
{
    RTH__AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(DEFAULT_PORT),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, 1) == 0)
        report_add(report, FINDING_OK, "port", "127.0.0.1:%d is free", DEFAULT_PORT);
    else
        report_add(report, FINDING_NOTE, "port",
                   "127.0.0.1:%d: %s; the next process answers on its Unix socket alone",
                   DEFAULT_PORT, strerror(errno));
}

/* The first folder that is there and ours, or whose parent would let us make it. Nothing is
 * made. */
static void check_socket_folder(struct report *report)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, geteuid(), getenv("XDG_RUNTIME_DIR"), path, sizeof(path)) != 0)
            continue;
        int fd = rth__rundir_open(root_fd, path, geteuid(), false);
        if (fd >= 0) {
            (void)close(fd);
            report_add(report, FINDING_OK, "socket folder", "%s is ours", path);
            return;
        }
        if (fd != -ENOENT) {
            report_add(report, FINDING_NOTE, "socket folder",
                       "%s is passed over: %s (it must be a directory of uid %u, mode 0700)", path,
                       strerror(-fd), (unsigned)geteuid());
            continue;
        }
        char parent[RTH_RUNDIR_PATH_BYTES];
        snprintf(parent, sizeof(parent), "%s", path);
        *strrchr(parent, '/') = '\0';
        if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) == 0) {
            report_add(report, FINDING_OK, "socket folder", "%s will be made when needed", path);
            return;
        }
    }
    report_add(report, FINDING_PROBLEM, "socket folder",
               "none can be used: processes will have no Unix socket");
}

void doctor_system(struct report *report)
{
    check_kernel(report);
    check_close_range(report);
    check_pidfd(report);
    check_wipe_on_fork(report);
    check_settings(report);
    doctor_limits(report, 0);
    check_libraries(report);
    check_environment(report);
    check_port(report);
    check_socket_folder(report);
}
