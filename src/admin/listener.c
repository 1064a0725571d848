/* SPDX-License-Identifier: MIT */
/*
 * Which sockets are open. They open once the effective ids have been the same for a while (a server
 * that is about to drop privileges must not get a socket of root's), and the Unix socket moves when
 * the effective user changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/family.h"
#include "core/service_thread.h"
#include "os/fd.h"
#include "os/rawsys.h"
#include "os/rundir.h"
#include "rthooks/error.h"
#include "rthooks/log.h"

#define BACKLOG 128

static int listen_on(const struct rth_address *address)
{
    int fd = socket(address->socket.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    0);
    if (fd < 0)
        return -errno;
    int one = 1, zero = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->any)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (bind(fd, &address->socket.generic, address->socket_bytes) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = -errno;
    (void)close(fd);
    return error;
}

static void start_listening(struct rth_admin_server *server, enum rth_admin_via via, int fd)
{
    server->listeners[via] = fd;
    (void)rth__admin_watch(server, fd, EPOLLIN, rth__admin_event(RTH_EVENT_LISTENER, via, 0));
}

static bool open_tcp(struct rth_admin_server *server, enum rth_admin_via via,
                     const struct rth_address *address)
{
    if (address->off || server->listeners[via] >= 0)
        return true;
    char text[RTH_ADDRESS_TEXT_BYTES], reason[128];
    rth__address_format(address, text, sizeof(text));
    int fd = listen_on(address);
    if (fd < 0) {
        (void)snprintf(reason, sizeof(reason), "%s: %s", text, rth_strerror(fd));
        rth__admin_publish(via, "", reason, 0);
        rth_log(RTH_LOG_WARN, via == RTH_VIA_TCP ? "admin.port_taken" : "admin.public_port_taken",
                "address=%s error=\"%s\"", text, rth_strerror(fd));
        return false;
    }
    struct rth_address *bound = &server->bound[via];
    *bound = *address;
    bound->socket_bytes = sizeof(bound->socket);
    (void)getsockname(fd, &bound->socket.generic, &bound->socket_bytes); /* the port of ":0" */
    rth__address_format(bound, text, sizeof(text));
    start_listening(server, via, fd);
    rth__admin_publish(via, text, "", rth__address_port(bound));
    return true;
}

static void open_unix(struct rth_admin_server *server)
{
    char reason[128] = "no folder is ours";
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES], name[32];
        if (rth__rundir_candidate(i, server->euid, server->config->xdg_runtime_dir, path,
                                  sizeof(path)) != 0)
            continue;
        int folder = rth__rundir_open(rth__root_fd(), path, server->euid, true);
        int fd = folder < 0 ? folder : rth__rundir_bind(folder, server->pid, BACKLOG);
        if (fd < 0) {
            (void)snprintf(reason, sizeof(reason), "%.80s: %s", path, rth_strerror(fd));
            (void)rth__close(folder);
            continue;
        }
        server->rundir_fd = folder;
        (void)rth__rundir_sweep(folder);
        rth__rundir_socket_name(server->pid, name, sizeof(name));
        char full[RTH_RUNDIR_PATH_BYTES + sizeof(name) + 1];
        (void)snprintf(full, sizeof(full), "%s/%s", path, name);
        start_listening(server, RTH_VIA_UNIX, fd);
        rth__admin_publish(RTH_VIA_UNIX, full, "", 0);
        return;
    }
    rth__admin_publish(RTH_VIA_UNIX, "", reason, 0);
    rth_log(RTH_LOG_WARN, "admin.no_socket", "reason=\"%s\"", reason);
}

static void close_unix(struct rth_admin_server *server)
{
    if (server->rundir_fd >= 0)
        rth__rundir_remove(server->rundir_fd, server->pid);
    server->rundir_fd = rth__close(server->rundir_fd);
    server->listeners[RTH_VIA_UNIX] = rth__close(server->listeners[RTH_VIA_UNIX]);
}

static void open_sockets(struct rth_admin_server *server)
{
    if (!server->config->tcp.off && server->listeners[RTH_VIA_UNIX] < 0)
        open_unix(server);
    if (rth__family_is_first()) {
        (void)open_tcp(server, RTH_VIA_TCP, &server->config->tcp);
        if (server->config->public_refusal == NULL)
            (void)open_tcp(server, RTH_VIA_PUBLIC, &server->config->public_tcp);
    } else {
        rth__admin_publish(RTH_VIA_TCP, "", "the first process of the family has it", 0);
    }
    server->sockets_open = true;
}

/* System calls: libc's own would do too, but these say that the thread's ids are meant. */
static bool ids_changed(struct rth_admin_server *server)
{
    uint32_t euid = (uint32_t)RTH__RAW(SYS_geteuid);
    uint32_t egid = (uint32_t)RTH__RAW(SYS_getegid);
    bool changed = euid != server->euid || egid != server->egid || server->ids_since_ns == 0;
    server->euid = euid;
    server->egid = egid;
    return changed;
}

void rth__listeners_tick(struct rth_admin_server *server)
{
    if (ids_changed(server)) {
        server->ids_since_ns = server->now_ns;
        server->sockets_open = false;
        close_unix(server);
        rth__family_set_euid(server->euid);
    }
    if (!server->sockets_open &&
        server->now_ns - server->ids_since_ns >= rth__admin_limits.ids_stable_ns)
        open_sockets(server);
    if (server->retry_tcp && server->sockets_open) {
        bool tcp = open_tcp(server, RTH_VIA_TCP, &server->config->tcp);
        bool other = server->config->public_refusal != NULL ||
                     open_tcp(server, RTH_VIA_PUBLIC, &server->config->public_tcp);
        server->retry_tcp = !tcp || !other;
    }
}

void rth__listeners_resume_ids(struct rth_admin_server *server, uint32_t euid, uint32_t egid)
{
    server->euid = euid;
    server->egid = egid;
    server->ids_since_ns = server->now_ns - rth__admin_limits.ids_stable_ns;
}

void rth__listeners_close(struct rth_admin_server *server)
{
    close_unix(server);
    for (int via = 0; via < RTH_VIA_COUNT; via++) {
        server->listeners[via] = rth__close(server->listeners[via]);
        rth__admin_publish((enum rth_admin_via)via, "", "stopped", 0);
    }
}
