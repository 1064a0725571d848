/* SPDX-License-Identifier: MIT */

/*
 * What /proc shows of a process, hooked or not. What may not be read is said, never guessed: a
 * process of another user, or one that dropped privileges, hides some of it.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "client/process.h"
#include "cmd/doctor.h"
#include "formats/elf.h"
#include "os/dir.h"
#include "os/fd.h"
#include "os/maps.h"
#include "os/procfs.h"

#define FD_SHARE_NOTE    0.8
#define FD_SHARE_PROBLEM 0.95

struct patient {
    struct report *report;
    struct target *target;
    int root_fd;
    pid_t pid;
    const struct rth_proc_status *status;
    struct process_maps maps;
};

static void check_identity(struct patient *patient)
{
    const struct rth_proc_status *status = patient->status;
    struct rth_proc_stat stat;
    char age[32] = "?";
    if (rth__proc_stat_read(patient->root_fd, patient->pid, 0, &stat) == 0) {
        duration_text(boot_seconds() - (double)stat.starttime_ticks / (double)sysconf(_SC_CLK_TCK),
                      age, sizeof(age));
        if (stat.state == 'Z')
            report_add(patient->report, FINDING_PROBLEM, "process",
                       "%s has ended; parent %d has not waited for it", status->name, status->ppid);
        else
            report_add(patient->report, FINDING_OK, "process", "%s, %s, age %s, parent %d",
                       status->name, rth__proc_state_name(stat.state), age, status->ppid);
    }
    if (status->ns_pid != patient->pid)
        report_add(patient->report, FINDING_OK, "namespace", "pid %d in its own pid namespace",
                   status->ns_pid);
    if (status->tracer_pid != 0)
        report_add(patient->report, FINDING_NOTE, "tracer", "process %d traces it",
                   status->tracer_pid);
    bool same = status->uid[0] == status->uid[1] && status->gid[0] == status->gid[1];
    report_add(patient->report, same ? FINDING_OK : FINDING_NOTE, "user",
               "uid %" PRIu32 " (effective %" PRIu32 "), gid %" PRIu32 " (effective %" PRIu32 ")",
               status->uid[0], status->uid[1], status->gid[0], status->gid[1]);
}

/* What kind of program it is, and what the kernel would say when it is started again. */
static void check_program(struct patient *patient)
{
    char path[PATH_MAX], link[64];
    bool deleted = false;
    int error = rth__proc_exe_read(patient->root_fd, patient->pid, path, sizeof(path), &deleted);
    if (error < 0) {
        report_add(patient->report, FINDING_NOTE, "program", "not readable: %s",
                   error == -ENOENT ? "a kernel thread, or it has ended" : strerror(-error));
        return;
    }
    report_add(patient->report, deleted ? FINDING_NOTE : FINDING_OK, "program", "%s%s", path,
               deleted ? " (replaced or deleted since: a restart runs another file)" : "");
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)patient->pid);
    RTH__AUTO_CLOSE int fd = rth__openat(AT_FDCWD, link, O_RDONLY);
    struct rth_elf_facts facts;
    struct stat info;
    if (fd < 0 || rth__elf_facts_read(fd, &facts) != 0 || fstat(fd, &info) < 0) {
        report_add(patient->report, FINDING_NOTE, "format", "the program file is not readable");
        return;
    }
    bool can_preload = !rth__elf_is_static(&facts) && facts.machine == rth__elf_own_machine() &&
                       facts.class_bits == rth__elf_own_class_bits() && !patient->maps.musl;
    report_add(patient->report, can_preload ? FINDING_OK : FINDING_NOTE, "format",
               "%u-bit %s, %s%s", facts.class_bits, rth__elf_machine_name(facts.machine),
               rth__elf_is_static(&facts) ? "linked statically"
               : patient->maps.musl       ? "musl"
               : patient->maps.glibc      ? "glibc"
                                          : facts.interpreter,
               can_preload ? "" : ": cannot be hooked by a preload");
    if ((info.st_mode & (S_ISUID | S_ISGID)) != 0)
        report_add(patient->report, FINDING_NOTE, "set-id",
                   "the program file is set%s (owner %u:%u): rthooks run refuses it for others",
                   (info.st_mode & S_ISUID) != 0 ? "uid" : "gid", (unsigned)info.st_uid,
                   (unsigned)info.st_gid);
    if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
        report_add(patient->report, FINDING_NOTE, "file capabilities",
                   "the program file has some: rthooks run refuses it except for root");
}

static void check_privileges(struct patient *patient)
{
    const struct rth_proc_status *status = patient->status;
    static const char *const seccomp_names[] = {"off", "strict", "filter"};
    if (status->cap_effective == 0)
        report_add(patient->report, FINDING_OK, "capabilities", "none");
    else
        report_add(patient->report, FINDING_OK, "capabilities", "effective %016" PRIx64,
                   status->cap_effective);
    if (status->no_new_privs >= 0)
        report_add(patient->report, FINDING_OK, "no_new_privs", "%s",
                   status->no_new_privs != 0 ? "on" : "off");
    if (status->seccomp >= 0 && status->seccomp <= 2)
        report_add(patient->report, status->seccomp == 1 ? FINDING_NOTE : FINDING_OK, "seccomp",
                   "%s", seccomp_names[status->seccomp]);
}

/* LD_PRELOAD as the process was started with it: the strings may have been written over since (a
 * program that sets its title does), and what the program has changed cannot be seen. */
static void check_preload(struct patient *patient)
{
    static const char key[] = "LD_PRELOAD=";
    enum { TEXT_BYTES = 1 << 20 };
    char path[64];
    snprintf(path, sizeof(path), "proc/%d/environ", (int)patient->pid);
    RTH__AUTO_CLOSE int fd = rth__openat(patient->root_fd, path, O_RDONLY);
    char *text = fd >= 0 ? malloc(TEXT_BYTES + 1) : NULL;
    ssize_t got = text != NULL ? rth__read_full(fd, text, TEXT_BYTES) : fd;
    if (got < 0) {
        report_add(patient->report, FINDING_NOTE, "LD_PRELOAD", "environment not readable: %s",
                   strerror((int)-got));
        free(text);
        return;
    }
    text[got] = '\0';
    const char *value = NULL;
    for (const char *at = text; at < text + got && value == NULL; at += strlen(at) + 1) {
        if (strncmp(at, key, sizeof(key) - 1) == 0)
            value = at + sizeof(key) - 1;
    }
    report_add(patient->report, FINDING_OK, "LD_PRELOAD", "%s",
               value != NULL && *value != '\0' ? value : "not set, as far as /proc shows");
    free(text);
}

static void check_threads(struct patient *patient)
{
    static const char letters[] = "RSDTtZXI";
    unsigned counts[sizeof(letters)] = {0}, total = 0;
    struct rth_dir dir;
    char path[64], text[256] = "";
    int error, tid;
    snprintf(path, sizeof(path), "proc/%d/task", (int)patient->pid);
    if ((error = rth__dir_open(&dir, patient->root_fd, path)) != 0) {
        report_add(patient->report, FINDING_NOTE, "threads", "not readable: %s", strerror(-error));
        return;
    }
    while ((tid = rth__dir_next_number(&dir, &error)) > 0) {
        struct rth_proc_stat stat;
        if (rth__proc_stat_read(patient->root_fd, patient->pid, tid, &stat) != 0)
            continue;
        const char *letter = strchr(letters, stat.state);
        total++;
        if (stat.state != '\0' && letter != NULL)
            counts[letter - letters]++;
    }
    rth__dir_close(&dir);
    for (size_t i = 0; letters[i] != '\0'; i++) {
        size_t used = strlen(text);
        if (counts[i] > 0)
            snprintf(text + used, sizeof(text) - used, "%s%u %s", used > 0 ? ", " : "", counts[i],
                     rth__proc_state_name(letters[i]));
    }
    bool stuck = counts[2] > 0 || counts[3] > 0; /* D, T */
    report_add(patient->report, stuck ? FINDING_NOTE : FINDING_OK, "threads", "%u: %s", total,
               text);
}

static void check_resources(struct patient *patient)
{
    struct rth_proc_limits limits;
    int open_files = rth__proc_fd_count(patient->root_fd, patient->pid);
    if (open_files < 0) {
        report_add(patient->report, FINDING_NOTE, "open files", "not readable: %s",
                   strerror(-open_files));
    } else if (rth__proc_limits_read(patient->root_fd, patient->pid, &limits) != 0 ||
               limits.open_files_soft == RTH_PROC_UNLIMITED || limits.open_files_soft == 0) {
        report_add(patient->report, FINDING_OK, "open files", "%d, no limit", open_files);
    } else {
        double share = (double)open_files / (double)limits.open_files_soft;
        report_add(patient->report,
                   share >= FD_SHARE_PROBLEM ? FINDING_PROBLEM
                   : share >= FD_SHARE_NOTE  ? FINDING_NOTE
                                             : FINDING_OK,
                   "open files", "%d of %" PRIu64 " (%.0f%%)", open_files, limits.open_files_soft,
                   100 * share);
    }
    report_add(patient->report, FINDING_OK, "memory",
               "%" PRIu64 " MiB resident, %" PRIu64 " MiB mapped",
               patient->status->vm_rss_kib / 1024, patient->status->vm_size_kib / 1024);
}

static void check_hooks(struct patient *patient)
{
    char message[PATH_MAX + 256];
    if (!patient->maps.readable)
        report_add(patient->report, FINDING_NOTE, "hooked", "its mappings are not readable");
    else if (patient->maps.runtime && patient->maps.interposer)
        report_add(patient->report, FINDING_OK, "hooked", "runtime and interposer are loaded");
    else if (patient->maps.runtime || patient->maps.interposer)
        report_add(patient->report, FINDING_OK, "hooked", "only the %s is loaded",
                   patient->maps.runtime ? "runtime" : "interposer");
    else
        report_add(patient->report, FINDING_OK, "hooked", "no");

    int error = target_find_socket(patient->target, message, sizeof(message));
    if (error == 0) {
        report_add(patient->report, FINDING_OK, "admin socket", "%s", patient->target->socket_path);
        if (!doctor_endpoint(patient->report, patient->target, NULL, message, sizeof(message)))
            report_add(patient->report, FINDING_PROBLEM, "admin socket", "%s", message);
    } else if (error == -ENOENT) {
        /* A forked child that was not adopted, RTHOOKS_ADMIN=off, or a process never hooked. */
        report_add(patient->report, FINDING_NOTE, "admin socket", "none%s",
                   patient->maps.runtime ? ": RTHOOKS_ADMIN=off, or not adopted (yet)" : "");
    } else {
        report_add(patient->report,
                   error == -EACCES || error == -EPERM ? FINDING_NOTE : FINDING_PROBLEM,
                   "admin socket", "%s", message);
    }
}

void doctor_process(struct report *report, struct target *target)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY);
    struct patient patient = {
        .report = report,
        .target = target,
        .root_fd = root_fd,
        .pid = target->pid,
        .status = &target->status,
        .maps = process_maps(root_fd, target->pid),
    };
    check_identity(&patient);
    check_program(&patient);
    check_privileges(&patient);
    check_preload(&patient);
    check_threads(&patient);
    check_resources(&patient);
    doctor_limits(report, patient.pid);
    check_hooks(&patient);
}
