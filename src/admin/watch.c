/* SPDX-License-Identifier: MIT */
/*
 * The family as rth-admin cares for it: a child waits for the end of the first process, to take
 * its place; the first process clears away what dead members left.
 */
#include <errno.h>
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

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* Members whose start time is compared per tick: each costs a read of /proc. */
#define START_TIMES_PER_TICK 8

static bool is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

/* The pid is another process's by now, or only a zombie's. */
static bool is_other(const struct rth_family_member *member)
{
    struct rth_proc_stat stat;
    int error = rth__proc_stat_read(rth__root_fd(), member->pid, 0, &stat);
    if (error != 0)
        return error == -ENOENT || error == -ESRCH;
    return stat.starttime_ticks != member->starttime_ticks || stat.state == 'Z' ||
           stat.state == 'X';
}

static void bury(struct rth_admin_server *server, const struct rth_family_member *member)
{
    rth__family_bury(member->pid, member->starttime_ticks);
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, member->euid, server->config->xdg_runtime_dir, path,
                                  sizeof(path)) != 0)
            continue;
        RTH__AUTO_CLOSE int folder_fd = rth__rundir_open(rth__root_fd(), path, member->euid, false);
        if (folder_fd >= 0)
            rth__rundir_remove(folder_fd, member->pid);
    }
}

static void bury_the_dead(struct rth_admin_server *server)
{
    struct rth_family_member member;
    int compared = 0;
    for (size_t cursor = 0; rth__family_next(&cursor, &member);) {
        if (member.pid == server->pid)
            continue;
        bool dead = is_gone(member.pid);
        if (!dead && cursor > server->burial_cursor && compared < START_TIMES_PER_TICK) {
            compared++;
            server->burial_cursor = cursor;
            dead = is_other(&member);
        }
        if (dead)
            bury(server, &member);
    }
    if (compared < START_TIMES_PER_TICK)
        server->burial_cursor = 0;
}

static bool find_first(struct rth_family_member *ret_member)
{
    pid_t first_pid = rth__family_first_pid();
    for (size_t cursor = 0; rth__family_next(&cursor, ret_member);) {
        if (ret_member->pid == first_pid)
            return true;
    }
    return false;
}

static void watch_first(struct rth_admin_server *server)
{
    pid_t first_pid = rth__family_first_pid();
    struct rth_family_member member;
    if (first_pid <= 0)
        return;
    rth__watch_close(server);
    server->watched_pid = first_pid;
    long fd = RTH__RAW(SYS_pidfd_open, first_pid, 0);
    /* The fd is a process's for good; whether it is the right one is asked after. */
    if (fd == -ESRCH || (find_first(&member) && is_other(&member))) {
        if (fd >= 0)
            (void)rth__close((int)fd);
        rth__watch_first_ended(server);
        return;
    }
    if (fd >= 0 &&
        rth__admin_watch(server, (int)fd, EPOLLIN, rth__admin_event(RTH_EVENT_FIRST, 0, 0)) == 0)
        server->first_fd = (int)fd;
    else if (fd >= 0)
        (void)rth__close((int)fd);
}

void rth__watch_first_ended(struct rth_admin_server *server)
{
    pid_t dead_pid = server->watched_pid;
    rth__watch_close(server);
    if (dead_pid == 0 || !rth__family_take_over(dead_pid))
        return; /* another child was faster; the next tick watches it */
    server->retry_tcp = true;
    if (server->sockets_open)
        rth__listeners_tick(server);
}

void rth__watch_tick(struct rth_admin_server *server)
{
    if (rth__family_is_first())
        bury_the_dead(server);
    else if (server->watched_pid != rth__family_first_pid())
        watch_first(server);
    else if (server->first_fd < 0 && server->watched_pid > 0 && is_gone(server->watched_pid))
        rth__watch_first_ended(server); /* kernels before 5.3 */
}

void rth__watch_close(struct rth_admin_server *server)
{
    server->first_fd = rth__close(server->first_fd);
    server->watched_pid = 0;
}
