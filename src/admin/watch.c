/* SPDX-License-Identifier: MIT */
/*
 * The family as the endpoint sees it: an adopted child watches the first process and takes its
 * place when it ends; the first process buries members that ended and removes their sockets.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/family.h"
#include "core/service_thread.h"
#include "os/fd.h"
#include "os/procfs.h"
#include "os/rawsys.h"
#include "os/rundir.h"
#include "rthooks/log.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static bool is_alive(pid_t pid, uint64_t starttime_ticks)
{
    struct rth_proc_stat stat;
    int error = rth__proc_stat_read(rth__root_fd(), pid, 0, &stat);
    if (error != 0)
        return kill(pid, 0) == 0 || errno == EPERM; /* no /proc: the pid is all we have */
    return stat.state != 'Z' && stat.state != 'X' &&
           (starttime_ticks == 0 || stat.starttime_ticks == starttime_ticks);
}

static void remove_socket(const struct rth_admin_server *server,
                          const struct rth_family_member *member)
{
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, member->euid, server->config->xdg_runtime_dir, path,
                                  sizeof(path)) != 0)
            continue;
        RTH__AUTO_CLOSE int folder = rth__rundir_open(rth__root_fd(), path, member->euid, false);
        if (folder >= 0)
            rth__rundir_remove(folder, member->pid);
    }
}

static void bury_the_dead(struct rth_admin_server *server)
{
    size_t cursor = 0;
    struct rth_family_member member;
    while (rth__family_next(&cursor, &member)) {
        if (member.pid == server->pid || is_alive(member.pid, member.starttime_ticks))
            continue;
        rth__family_bury(member.pid, member.starttime_ticks);
        remove_socket(server, &member);
    }
}

static uint64_t starttime_of(pid_t pid)
{
    size_t cursor = 0;
    struct rth_family_member member;
    while (rth__family_next(&cursor, &member))
        if (member.pid == pid)
            return member.starttime_ticks;
    return 0;
}

static void watch(struct rth_admin_server *server, pid_t first_pid)
{
    rth__watch_close(server);
    server->watched_pid = first_pid;
    server->watched_starttime = starttime_of(first_pid);
    int fd = (int)RTH__RAW(SYS_pidfd_open, first_pid, 0);
    if (fd < 0)
        return; /* each tick looks */
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    server->first_fd = fd;
    if (rth__admin_watch(server, fd, EPOLLIN, rth__admin_event(RTH_EVENT_FIRST, 0, 0)) != 0)
        server->first_fd = rth__close(fd);
}

void rth__watch_first_ended(struct rth_admin_server *server)
{
    pid_t dead_pid = server->watched_pid;
    rth__watch_close(server);
    if (rth__family_take_over(dead_pid)) {
        server->retry_tcp = true; /* its listeners may linger for a moment */
        rth_log(RTH_LOG_INFO, "admin.took_over", "pid=%d from=%d", server->pid, dead_pid);
    }
}

void rth__watch_tick(struct rth_admin_server *server)
{
    if (rth__family_is_first()) {
        bury_the_dead(server);
        return;
    }
    pid_t first_pid = rth__family_first_pid();
    if (first_pid <= 0)
        return;
    if (server->watched_pid != first_pid)
        watch(server, first_pid);
    if (server->first_fd < 0 && !is_alive(first_pid, server->watched_starttime))
        rth__watch_first_ended(server);
}

void rth__watch_close(struct rth_admin_server *server)
{
    server->first_fd = rth__close(server->first_fd);
    server->watched_pid = 0;
}
