/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/fd.h"
#include "os/lines.h"
#include "os/procfs.h"
#include "os/procfs_path.h"
#include "os/scan.h"

/* Undoes the escapes of a newline and a backslash; others are kept as they are. */
static bool scan_name(struct rth_scan *line, char ret_name[RTH_COMM_BYTES])
{
    size_t length = 0;

    while (line->at < line->end) {
        char c = *line->at++;

        if (c == '\\' && line->at < line->end && (*line->at == '\\' || *line->at == 'n'))
            c = *line->at++ == 'n' ? '\n' : '\\';
        if (length == RTH_COMM_BYTES - 1)
            return false;
        ret_name[length++] = c;
    }
    ret_name[length] = '\0';
    return true;
}

static bool scan_four_ids(struct rth_scan *line, uint32_t ret_ids[4])
{
    for (int i = 0; i < 4; i++) {
        uint64_t id;

        rth__scan_blanks(line);
        if (!rth__scan_uint(line, 10, UINT32_MAX, &id))
            return false;
        ret_ids[i] = (uint32_t)id;
    }
    return true;
}

/* One pid per namespace, outermost first; at least one. */
static bool scan_last_id(struct rth_scan *line, int *ret_id)
{
    do {
        if (!rth__scan_id(line, ret_id))
            return false;
        rth__scan_blanks(line);
    } while (!rth__scan_at_end(line));
    return true;
}

static bool scan_kib(struct rth_scan *line, uint64_t *ret_kib)
{
    return rth__scan_uint(line, 10, UINT64_MAX, ret_kib) && rth__scan_text(line, " kB");
}

static bool scan_mask(struct rth_scan *line, uint64_t *ret_mask)
{
    return rth__scan_uint(line, 16, UINT64_MAX, ret_mask);
}

static bool scan_queued(struct rth_scan *line, struct rth_proc_status *status)
{
    return rth__scan_uint(line, 10, UINT64_MAX, &status->sig_queued) && rth__scan_char(line, '/') &&
           rth__scan_uint(line, 10, UINT64_MAX, &status->sig_queued_limit);
}

enum field {
    FIELD_NAME,
    FIELD_TGID,
    FIELD_PID,
    FIELD_PPID,
    FIELD_TRACER_PID,
    FIELD_UID,
    FIELD_GID,
    FIELD_THREADS,
    FIELD_SIG_QUEUED,
    FIELD_SIG_BLOCKED,
    FIELD_SIG_IGNORED,
    FIELD_SIG_CAUGHT,
    FIELD_CAP_PERMITTED,
    FIELD_CAP_EFFECTIVE,
    FIELD_REQUIRED_COUNT, /* those above are in the status of every process */
    FIELD_NS_PID = FIELD_REQUIRED_COUNT,
    FIELD_VM_SIZE, /* kernel threads and zombies have no memory */
    FIELD_VM_RSS,
    FIELD_VM_DATA,
    FIELD_RSS_ANON,
    FIELD_RSS_FILE,
    FIELD_RSS_SHMEM,
    FIELD_VM_STACK,
    FIELD_NO_NEW_PRIVS,
    FIELD_SECCOMP,
    FIELD_SECCOMP_FILTERS,
    FIELD_SIG_PENDING,
    FIELD_SIG_PENDING_SHARED,
    FIELD_COUNT,
};

static const char *const field_keys[FIELD_COUNT] = {
    [FIELD_NAME] = "Name:",
    [FIELD_TGID] = "Tgid:",
    [FIELD_PID] = "Pid:",
    [FIELD_PPID] = "PPid:",
    [FIELD_TRACER_PID] = "TracerPid:",
    [FIELD_UID] = "Uid:",
    [FIELD_GID] = "Gid:",
    [FIELD_THREADS] = "Threads:",
    [FIELD_SIG_QUEUED] = "SigQ:",
    [FIELD_SIG_BLOCKED] = "SigBlk:",
    [FIELD_SIG_IGNORED] = "SigIgn:",
    [FIELD_SIG_CAUGHT] = "SigCgt:",
    [FIELD_CAP_PERMITTED] = "CapPrm:",
    [FIELD_CAP_EFFECTIVE] = "CapEff:",
    [FIELD_NS_PID] = "NSpid:",
    [FIELD_VM_SIZE] = "VmSize:",
    [FIELD_VM_RSS] = "VmRSS:",
    [FIELD_VM_DATA] = "VmData:",
    [FIELD_RSS_ANON] = "RssAnon:",
    [FIELD_RSS_FILE] = "RssFile:",
    [FIELD_RSS_SHMEM] = "RssShmem:",
    [FIELD_VM_STACK] = "VmStk:",
    [FIELD_NO_NEW_PRIVS] = "NoNewPrivs:",
    [FIELD_SECCOMP] = "Seccomp:",
    [FIELD_SECCOMP_FILTERS] = "Seccomp_filters:",
    [FIELD_SIG_PENDING] = "SigPnd:",
    [FIELD_SIG_PENDING_SHARED] = "ShdPnd:",
};

/* What the lines so far have told. */
struct status_scan {
    struct rth_proc_status status;
    int pid;
    uint32_t seen; /* bits of enum field */
};

/* Where a field of memory goes; NULL for another one. */
static uint64_t *memory_field(struct rth_proc_status *status, enum field field)
{
    switch (field) {
    case FIELD_VM_SIZE:
        return &status->vm_size_kib;
    case FIELD_VM_RSS:
        return &status->vm_rss_kib;
    case FIELD_VM_DATA:
        return &status->vm_data_kib;
    case FIELD_RSS_ANON:
        return &status->rss_anon_kib;
    case FIELD_RSS_FILE:
        return &status->rss_file_kib;
    case FIELD_RSS_SHMEM:
        return &status->rss_shmem_kib;
    case FIELD_VM_STACK:
        return &status->vm_stack_kib;
    default:
        return NULL;
    }
}

static bool scan_value(struct rth_scan *line, enum field field, struct status_scan *found)
{
    struct rth_proc_status *status = &found->status;
    uint64_t *memory_kib = memory_field(status, field);

    if (memory_kib)
        return scan_kib(line, memory_kib);
    switch (field) {
    case FIELD_NAME:
        return scan_name(line, status->name);
    case FIELD_TGID:
        return rth__scan_id(line, &status->tgid);
    case FIELD_PID:
        return rth__scan_id(line, &found->pid);
    case FIELD_PPID:
        return rth__scan_id(line, &status->ppid);
    case FIELD_TRACER_PID:
        return rth__scan_id(line, &status->tracer_pid);
    case FIELD_UID:
        return scan_four_ids(line, status->uid);
    case FIELD_GID:
        return scan_four_ids(line, status->gid);
    case FIELD_THREADS:
        return rth__scan_id(line, &status->threads);
    case FIELD_SIG_QUEUED:
        return scan_queued(line, status);
    case FIELD_SIG_BLOCKED:
        return scan_mask(line, &status->sig_blocked);
    case FIELD_SIG_IGNORED:
        return scan_mask(line, &status->sig_ignored);
    case FIELD_SIG_CAUGHT:
        return scan_mask(line, &status->sig_caught);
    case FIELD_CAP_PERMITTED:
        return scan_mask(line, &status->cap_permitted);
    case FIELD_CAP_EFFECTIVE:
        return scan_mask(line, &status->cap_effective);
    case FIELD_NS_PID:
        return scan_last_id(line, &status->ns_pid);
    case FIELD_NO_NEW_PRIVS:
        return rth__scan_id(line, &status->no_new_privs);
    case FIELD_SECCOMP:
        return rth__scan_id(line, &status->seccomp);
    case FIELD_SECCOMP_FILTERS:
        return rth__scan_id(line, &status->seccomp_filters);
    case FIELD_SIG_PENDING:
        return scan_mask(line, &status->sig_pending);
    case FIELD_SIG_PENDING_SHARED:
        return scan_mask(line, &status->sig_pending_shared);
    default:
        return false;
    }
}

/* The field whose key the line begins with; FIELD_COUNT when it is none of ours. */
static enum field scan_key(struct rth_scan *line)
{
    for (int field = 0; field < FIELD_COUNT; field++)
        if (rth__scan_text(line, field_keys[field]))
            return (enum field)field;
    return FIELD_COUNT;
}

/* A line of ours, once: 0, otherwise -EBADMSG. */
static int scan_status_line(struct rth_scan line, struct status_scan *found)
{
    enum field field = scan_key(&line);

    if (field == FIELD_COUNT)
        return 0;
    /* A name may begin with a blank: only the one tab goes. */
    if (!rth__scan_char(&line, '\t') || (found->seen & (1u << field)))
        return -EBADMSG;
    found->seen |= 1u << field;
    if (field != FIELD_NAME)
        rth__scan_blanks(&line);
    if (!scan_value(&line, field, found))
        return -EBADMSG;
    rth__scan_blanks(&line);
    return rth__scan_at_end(&line) ? 0 : -EBADMSG;
}

static int scan_status(struct rth_lines *lines, struct rth_proc_status *ret_status)
{
    struct status_scan found = {
        .status = {.no_new_privs = -1, .seccomp = -1, .seccomp_filters = -1}};
    const uint32_t required = (1u << FIELD_REQUIRED_COUNT) - 1;
    const char *line;
    size_t size_bytes;
    int result;

    while ((result = rth__lines_next(lines, &line, &size_bytes)) != 0) {
        if (result == -EMSGSIZE)
            continue;
        if (result == 1)
            result = scan_status_line((struct rth_scan){line, line + size_bytes}, &found);
        if (result < 0)
            return result;
    }
    if ((found.seen & required) != required)
        return -EBADMSG;
    if (!(found.seen & (1u << FIELD_NS_PID)))
        found.status.ns_pid = found.pid;
    *ret_status = found.status;
    return 0;
}

int rth__proc_status_parse(const char *text, size_t size_bytes, struct rth_proc_status *ret_status)
{
    struct rth_lines lines;

    rth__lines_of_text(&lines, text, size_bytes);
    return scan_status(&lines, ret_status);
}

int rth__proc_status_read(int root_fd, int pid, int tid, struct rth_proc_status *ret_status)
{
    /* By lines: the supplementary groups may take hundreds of KiB, the masks of CPUs and memory
     * nodes several; we need neither. */
    char path[RTH_PROC_PATH_BYTES], buffer[1024];
    struct rth_lines lines;

    rth__proc_path(pid, tid, "status", path);
    RTH__AUTO_CLOSE int fd = rth__openat(root_fd, path, O_RDONLY);
    if (fd < 0)
        return fd;
    rth__lines_of_fd(&lines, fd, buffer, sizeof(buffer));
    return scan_status(&lines, ret_status);
}
