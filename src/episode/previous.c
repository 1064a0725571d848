/* SPDX-License-Identifier: MIT */
#include "episode/previous.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/identity.h"
#include "core/service_thread.h"
#include "episode/folder.h"
#include "episode/store.h"
#include "os/fd.h"
#include "os/procfs.h"
#include "rthooks/log.h"

/* Processes told apart; of more than that each episode may be named. */
#define PROCESSES_MAX 32

struct process {
    int pid;
    uint64_t starttime_ticks;
};

/* "FOLDER/ID/.ended" of the last episode about memory; "" before the first. Written by rth-work,
 * complete before has_marker is set. */
static char marker_path[RTH_EPISODE_PATH_BYTES + RTH_EPISODE_ID_BYTES + 24];
static _Atomic bool has_marker;

static bool is_about_memory(const struct rth_episode_name *name)
{
    return strncmp(name->trigger, "memory-", 7) == 0;
}

void rth__previous_remember(const char *folder_path, const struct rth_episode_name *name)
{
    if (!is_about_memory(name))
        return;
    char folder[RTH_EPISODE_ID_BYTES + 8];
    rth__episode_name_folder(name, folder);
    atomic_store_explicit(&has_marker, false, memory_order_relaxed);
    (void)snprintf(marker_path, sizeof(marker_path), "%s/%s/" RTH_EPISODE_ENDED, folder_path,
                   folder);
    atomic_store_explicit(&has_marker, true, memory_order_release);
}

static bool make_marker(int dir_fd, const char *path)
{
    int fd = rth__openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
    (void)rth__close(fd);
    return fd >= 0;
}

void rth__previous_note_end(void)
{
    if (atomic_exchange_explicit(&has_marker, false, memory_order_acq_rel))
        (void)make_marker(AT_FDCWD, marker_path);
}

void rth__previous_child_reset(void)
{
    atomic_store_explicit(&has_marker, false, memory_order_relaxed);
}

static bool has(int episode_fd, const char *marker)
{
    struct stat status;
    return fstatat(episode_fd, marker, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_alive(int pid, uint64_t starttime_ticks)
{
    struct rth_proc_stat stat;
    return rth__proc_stat_read(rth__root_fd(), pid, 0, &stat) == 0 &&
           stat.starttime_ticks == starttime_ticks && stat.state != 'Z';
}

/* Whether a later episode of that process was looked at. */
static bool was_seen(struct process *seen, size_t *count, const struct process *process)
{
    for (size_t i = 0; i < *count; i++)
        if (seen[i].pid == process->pid && seen[i].starttime_ticks == process->starttime_ticks)
            return true;
    if (*count < PROCESSES_MAX)
        seen[(*count)++] = *process;
    return false;
}

static void say(const struct rth_episode_name *name, const struct rth_episode_summary *summary,
                bool was_interrupted, const char *folder_path)
{
    char folder[RTH_EPISODE_ID_BYTES + 8];
    rth__episode_name_folder(name, folder);
    rth_log(RTH_LOG_WARN, "episode.previous",
            "a previous run (pid %d, %s at %s) left an episode%s: %.60s/%s", name->pid,
            name->trigger, summary->time, was_interrupted ? ", unfinished" : "", folder_path,
            folder);
}

/* One that this process took before it executed the program it is now. */
static bool is_own(const struct rth_episode_name *name, const struct rth_episode_summary *summary)
{
    const struct rth_identity *identity = rth__identity();
    return name->pid == identity->pid && summary->starttime_ticks == identity->starttime_ticks;
}

/* Of the same service on the same host: others' episodes are in the folder too. */
static void look_at(int episode_fd, const struct rth_episode_name *name, const char *folder_path,
                    struct process *seen, size_t *seen_count)
{
    struct rth_episode_summary summary;
    char host[72];
    if (has(episode_fd, RTH_EPISODE_REPORTED))
        return;
    rth__episode_summary_of(episode_fd, &summary);
    rth__episode_host(host);
    if (is_own(name, &summary)) {
        if (!atomic_load_explicit(&has_marker, memory_order_relaxed))
            rth__previous_remember(folder_path, name);
        return;
    }
    if (strcmp(summary.service, rth__identity()->service) != 0 || strcmp(summary.host, host) != 0)
        return;
    bool was_interrupted = strcmp(summary.state, "collecting") == 0;
    if ((!was_interrupted && !is_about_memory(name)) ||
        rth__episode_is_being_collected(episode_fd) || is_alive(name->pid, summary.starttime_ticks))
        return;
    struct process process = {name->pid, summary.starttime_ticks};
    bool is_last_word = !was_seen(seen, seen_count, &process) &&
                        (was_interrupted || !has(episode_fd, RTH_EPISODE_ENDED));
    /* Whoever makes the marker says it: more processes may be starting. */
    if (make_marker(episode_fd, RTH_EPISODE_REPORTED) && is_last_word)
        say(name, &summary, was_interrupted, folder_path);
}

void rth__previous_report(int folder_fd, const char *folder_path)
{
    uint32_t euid = (uint32_t)geteuid();
    struct process seen[PROCESSES_MAX];
    size_t seen_count = 0;
    struct rth_episode_found *found;
    for (size_t i = rth__episode_scan(folder_fd, euid, &found); i-- > 0;) {
        RTH__AUTO_CLOSE int fd = rth__episode_open(folder_fd, euid, &found[i].name);
        if (fd >= 0)
            look_at(fd, &found[i].name, folder_path, seen, &seen_count);
    }
}
