/* SPDX-License-Identifier: MIT */
/*
 * The three listeners. They open once the effective ids have been stable (a daemon that drops
 * privileges does so in several steps), and the Unix socket moves when the effective uid changes.
 * Only the first process of a family has TCP listeners.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/family.h"
#include "core/service_thread.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/rawsys.h"
#include "os/rundir.h"
#include "rthooks/error.h"
#include "rthooks/log.h"

#define BACKLOG 128

static int listen_on(const struct rth_address *address)
{
    int fd =
        socket(address->socket.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int on = 1, both = address->any ? 0 : 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->socket.generic.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof(both));
    if (bind(fd, &address->socket.generic, address->socket_bytes) != 0 ||
        listen(fd, BACKLOG) != 0) {
        int error = -errno;
        (void)rth__close(fd);
        return error;
    }
    return fd;
}

/* ":PORT" on a host without IPv6. */
static void to_v4_any(struct rth_address *address)
{
    uint16_t port = rth__address_port(address);
    memset(&address->socket, 0, sizeof(address->socket));
    address->socket.v4.sin_family = AF_INET;
    address->socket.v4.sin_port = htons(port);
    address->socket_bytes = sizeof(address->socket.v4);
}

static int watch_listener(struct rth_admin_server *server, enum rth_admin_via via, int fd)
{
    int error = rth__admin_watch(server, fd, EPOLLIN, rth__admin_event(RTH_EVENT_LISTENER, via, 0));
    if (error != 0)
        (void)rth__close(fd);
    else
        server->listeners[via] = fd;
    return error;
}

static void open_tcp(struct rth_admin_server *server, enum rth_admin_via via,
                     const struct rth_address *wanted)
{
    struct rth_address address = *wanted;
    if (address.off || server->listeners[via] >= 0)
        return;
    int fd = listen_on(&address);
    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && address.any) {
        to_v4_any(&address);
        fd = listen_on(&address);
    }
    int error = fd < 0 ? fd : watch_listener(server, via, fd);
    char text[RTH_ADDRESS_TEXT_BYTES], reason[128];
    if (error == 0) {
        address.socket_bytes = sizeof(address.socket);
        (void)getsockname(fd, &address.socket.generic, &address.socket_bytes); /* port 0 */
        server->bound[via] = address;
        rth__address_format(&address, text, sizeof(text));
        rth__admin_publish(via, text, "", rth__address_port(&address));
        return;
    }
    rth__address_format(&address, text, sizeof(text));
    (void)snprintf(reason, sizeof(reason), "%s: %s", text,
                   error == -EADDRINUSE ? "the port is already in use" : rth_strerror(error));
    rth__admin_publish(via, "", reason, 0);
    if (!server->retry_tcp) /* a retry every second is not news every second */
        rth_log(RTH_LOG_WARN, error == -EADDRINUSE ? "admin.port_taken" : "admin.bind_failed",
                "address=%s error=\"%s\"", text, rth_strerror(error));
}

static const char *explain_folder(int error)
{
    switch (error) {
    case -EPERM:
        return "not ours (owner or mode)";
    case -ELOOP:
    case -ENOTDIR:
        return "not a folder";
    default:
        return rth_strerror(error);
    }
}

/* The first folder that is ours. Fills path and returns its fd, or fills reason. */
static int open_folder(const struct rth_admin_server *server, char *ret_path, size_t path_size,
                       char *ret_reason, size_t reason_size)
{
    int error = -ENOENT;
    for (unsigned i = 0; i < RTH_RUNDIR_CANDIDATES; i++) {
        char path[RTH_RUNDIR_PATH_BYTES];
        if (rth__rundir_candidate(i, server->euid, server->config->xdg_runtime_dir, path,
                                  sizeof(path)) != 0)
            continue;
        error = rth__rundir_open(rth__root_fd(), path, server->euid, true);
        if (error >= 0) {
            (void)snprintf(ret_path, path_size, "%s", path);
            return error;
        }
        if (error == -ENOENT) /* no such parent: this system does not have that folder */
            continue;
        (void)snprintf(ret_reason, reason_size, "%.80s: %s", path, explain_folder(error));
        rth_log(RTH_LOG_WARN, "admin.folder_refused", "path=%s error=\"%s\"", path,
                explain_folder(error));
    }
    return error;
}

static void open_unix(struct rth_admin_server *server)
{
    char folder[RTH_RUNDIR_PATH_BYTES] = "", reason[128] = "no folder for the socket";
    int folder_fd = open_folder(server, folder, sizeof(folder), reason, sizeof(reason));
    if (folder_fd < 0) {
        rth__admin_publish(RTH_VIA_UNIX, "", reason, 0);
        return;
    }
    int fd = rth__rundir_bind(folder_fd, server->pid, BACKLOG);
    int error = fd < 0 ? fd : watch_listener(server, RTH_VIA_UNIX, fd);
    if (error != 0) {
        (void)rth__close(folder_fd);
        (void)snprintf(reason, sizeof(reason), "%.80s: %s", folder, rth_strerror(error));
        rth__admin_publish(RTH_VIA_UNIX, "", reason, 0);
        rth_log(RTH_LOG_WARN, "admin.bind_failed", "folder=%s error=\"%s\"", folder,
                rth_strerror(error));
        return;
    }
    char name[32], path[RTH_RUNDIR_PATH_BYTES + sizeof(name)];
    rth__rundir_socket_name(server->pid, name, sizeof(name));
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    server->rundir_fd = folder_fd;
    rth__admin_publish(RTH_VIA_UNIX, path, "", 0);
}

static void close_unix(struct rth_admin_server *server)
{
    server->listeners[RTH_VIA_UNIX] = rth__close(server->listeners[RTH_VIA_UNIX]);
    if (server->rundir_fd >= 0)
        rth__rundir_remove(server->rundir_fd, server->pid);
    server->rundir_fd = rth__close(server->rundir_fd);
    rth__admin_publish(RTH_VIA_UNIX, "", "not open yet", 0);
}

static void open_first_only(struct rth_admin_server *server)
{
    open_tcp(server, RTH_VIA_TCP, &server->config->tcp);
    if (server->config->public_refusal != NULL)
        rth__admin_publish(RTH_VIA_PUBLIC, "", server->config->public_refusal, 0);
    else
        open_tcp(server, RTH_VIA_PUBLIC, &server->config->public_tcp);
}

static void look_at_ids(struct rth_admin_server *server)
{
    struct rth_admin_ids ids;
    rth__listeners_ids_now(&ids);
    if (ids.euid == server->euid && ids.egid == server->egid)
        return;
    bool moves = ids.euid != server->euid;
    rth__listeners_known_ids(server, &ids);
    if (moves && server->sockets_open) {
        close_unix(server);
        server->sockets_open = false;
    }
}

void rth__listeners_tick(struct rth_admin_server *server)
{
    look_at_ids(server);
    if (!server->sockets_open &&
        server->now_ns - server->ids_since_ns >= rth__admin_limits.ids_stable_ns) {
        rth__family_set_euid(server->euid);
        if (!server->config->tcp.off) /* off means the Unix socket too */
            open_unix(server);
        if (rth__family_is_first()) {
            if (server->rundir_fd >= 0)
                (void)rth__rundir_sweep(server->rundir_fd);
            open_first_only(server);
        }
        server->sockets_open = true;
    }
    if (server->sockets_open && server->retry_tcp && rth__family_is_first())
        open_first_only(server);
}

void rth__listeners_known_ids(struct rth_admin_server *server, const struct rth_admin_ids *ids)
{
    server->euid = ids->euid;
    server->egid = ids->egid;
    server->ids_since_ns = ids->since_ns;
}

void rth__listeners_ids_now(struct rth_admin_ids *ret_ids)
{
    ret_ids->euid = (uint32_t)RTH__RAW(SYS_geteuid);
    ret_ids->egid = (uint32_t)RTH__RAW(SYS_getegid);
    ret_ids->since_ns = rth__clock_monotonic_ns_sigsafe();
}

void rth__listeners_close(struct rth_admin_server *server)
{
    if (server->listeners[RTH_VIA_UNIX] >= 0)
        close_unix(server);
    for (int via = 0; via < RTH_VIA_COUNT; via++) {
        if (server->listeners[via] < 0)
            continue;
        server->listeners[via] = rth__close(server->listeners[via]);
        rth__admin_publish((enum rth_admin_via)via, "", "closed", 0);
    }
    server->sockets_open = false;
}
