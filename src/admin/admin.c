/* SPDX-License-Identifier: MIT */
/*
 * The admin endpoint: an HTTP/1.1 subset over epoll, inside the host.
 *
 * Purpose: serve every artefact and action of the capability table over TCP, the public listener
 * and a Unix socket, also when the host is wedged in malloc, in the loader, in stdio or in the
 * time zone: nothing here takes a lock or memory of the host's.
 * Threads: rth-admin runs the loop (server.c) in a descriptor table of its own; calls run on
 * rth-work; host threads only start, stop and nudge. No request ever creates a thread.
 * Locks: addresses_lock guards what others read of the sockets; everything else belongs to
 * rth-admin.
 * Failure: a port that is taken leaves the Unix socket, a folder that is not ours leaves TCP; the
 * status says why. Cost: one wake-up a second while idle.
 */
#include "admin/admin.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/options.h"
#include "admin/server.h"
#include "core/collect.h"
#include "core/env.h"
#include "core/family.h"
#include "core/identity.h"
#include "core/lock.h"
#include "core/service_thread.h"
#include "core/work.h"
#include "formats/json.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/futex.h"
#include "os/rundir.h"
#include "rthooks/error.h"
#include "rthooks/log.h"

/* rth-admin itself waits up to 5 s for the call that rth-work is at. */
#define JOIN_LIMIT_NS (7 * RTH_NS_PER_S)

static struct rth_lock addresses_lock = RTH_LOCK_INIT(RTH_RANK_ADMIN);
static struct rth_admin_addresses addresses; /* protected by addresses_lock */

/* Written by start before the thread exists, constant then but for the token. */
static struct rth_admin_config config;
static char xdg_runtime_dir[RTH_RUNDIR_PATH_BYTES];
static bool works_inline;

static struct rth_service_thread thread;
static struct rth_admin_server server; /* rth-admin's while it runs */
static _Atomic uint32_t stopping;      /* futex word */
/* Ids under which the sockets were open before a pause; since_ns 0: they were not. */
static struct rth_admin_ids before_pause;

void rth__admin_addresses(struct rth_admin_addresses *ret_addresses)
{
    RTH__LOCK_SCOPE(&addresses_lock);
    *ret_addresses = addresses;
}

void rth__admin_publish(enum rth_admin_via via, const char *address, const char *reason,
                        uint16_t port)
{
    RTH__LOCK_SCOPE(&addresses_lock);
    switch (via) {
    case RTH_VIA_TCP:
        (void)snprintf(addresses.tcp, sizeof(addresses.tcp), "%s", address);
        (void)snprintf(addresses.tcp_reason, sizeof(addresses.tcp_reason), "%s", reason);
        addresses.tcp_port = port;
        break;
    case RTH_VIA_PUBLIC:
        (void)snprintf(addresses.public_tcp, sizeof(addresses.public_tcp), "%s", address);
        (void)snprintf(addresses.public_reason, sizeof(addresses.public_reason), "%s", reason);
        break;
    default:
        (void)snprintf(addresses.unix_path, sizeof(addresses.unix_path), "%s", address);
        (void)snprintf(addresses.unix_reason, sizeof(addresses.unix_reason), "%s", reason);
    }
}

/* The thread found out too late for start to say it. */
static void mark_failed(const char *what, int error)
{
    rth_log(RTH_LOG_ERROR, "admin.failed", "step=\"%s\" error=\"%s\"", what, rth_strerror(error));
    for (size_t i = 0; i < rth__capability_count(); i++) {
        if (rth__capability_at(i) != &rth__admin_capability)
            continue;
        struct rth_capability_runtime *runtime = rth__capability_runtime_at(i);
        (void)snprintf(runtime->reason, sizeof(runtime->reason), "%s: %s", what,
                       rth_strerror(error));
        runtime->state = RTH_CAPABILITY_FAILED;
    }
}

/* The loop sleeps in epoll on descriptors that no host thread has: knock at one of its doors. */
static void knock_at(int family, const void *address, socklen_t size_bytes)
{
    RTH__AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        (void)connect(fd, address, size_bytes);
}

static void knock(void)
{
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct rth_address tcp;
    const char *tcp_text = at.tcp[0] != '\0' ? at.tcp : at.public_tcp;
    if (at.unix_path[0] != '\0' && strlen(at.unix_path) < sizeof(path.sun_path)) {
        memcpy(path.sun_path, at.unix_path, strlen(at.unix_path) + 1);
        knock_at(AF_UNIX, &path, sizeof(path));
    } else if (tcp_text[0] != '\0' && rth__address_parse(tcp_text, &tcp) == 0) {
        knock_at(tcp.socket.generic.sa_family, &tcp.socket.generic, tcp.socket_bytes);
    } /* else the sockets are not open yet, and the loop looks every 100 ms */
}

/* Everything between the wait and the loop. Returns what failed, NULL when nothing did. */
static const char *set_up(int *ret_error)
{
    *ret_error = rth__service_thread_private_fds();
    if (*ret_error != 0)
        return "descriptor table of our own";
    *ret_error = works_inline ? 0 : rth__work_start(); /* after it: rth-work shares the table */
    if (*ret_error != 0)
        return "thread rth-work";
    *ret_error = works_inline ? 0 : rth__collect_start(true, 0); /* likewise */
    if (*ret_error != 0)
        return "thread rth-collect";
    *ret_error = rth__admin_server_init(&server);
    return *ret_error != 0 ? "event loop" : NULL;
}

static void admin_main(void *userdata)
{
    (void)userdata;
    /* Without a pause before: the host starts up, and may be about to change its ids. */
    struct rth_admin_ids ids = before_pause;
    if (ids.since_ns == 0)
        rth__listeners_ids_now(&ids);
    int64_t open_ns =
        before_pause.since_ns == 0 ? ids.since_ns + rth__admin_limits.start_delay_ns : ids.since_ns;
    while (!stopping && rth__futex_wait_sigsafe(&stopping, 0, open_ns) != -ETIMEDOUT)
        ;
    if (stopping)
        return;
    rth__admin_server_prepare(&server);
    server.config = &config;
    server.stop = &stopping;
    server.works_inline = works_inline;
    server.pid = rth__identity()->pid;
    int error;
    const char *failed = set_up(&error);
    if (failed != NULL) {
        mark_failed(failed, error);
    } else {
        rth__listeners_known_ids(&server, &ids);
        if (works_inline)
            rth__work_inline_set(knock);
        rth__admin_loop(&server);
        if (works_inline)
            rth__work_inline_set(NULL);
        before_pause.since_ns = server.sockets_open ? server.ids_since_ns : 0;
        before_pause.euid = server.euid;
        before_pause.egid = server.egid;
    }
    rth__admin_server_end(&server);
    rth__collect_stop();
}

static int run_thread(void)
{
    stopping = 0;
    thread.name = "rth-admin";
    thread.main = admin_main;
    return rth__service_thread_start(&thread);
}

static int end_thread(void)
{
    stopping = 1;
    rth__work_cancel();
    rth__futex_wake_sigsafe(&stopping, INT_MAX);
    knock();
    return rth__service_thread_join(&thread, rth__clock_monotonic_ns_sigsafe() + JOIN_LIMIT_NS);
}

static int read_config(char *ret_reason, size_t reason_size)
{
    memset(&config, 0, sizeof(config));
    int error = rth__admin_options_check(ret_reason, reason_size);
    if (error != 0)
        return -ECANCELED; /* malformed: closed rather than open under a default */
    rth__admin_option_address(&config.tcp);
    rth__admin_option_public(&config.public_tcp);
    static char public_reason[RTH_REASON_BYTES];
    if (rth__admin_public_check(public_reason, sizeof(public_reason)) != 0)
        config.public_refusal = public_reason;
    config.token.path = rth__admin_option_token_file();
    config.allow_list = rth__admin_option_allow();
    config.read_only = rth__admin_option_readonly();
    config.xdg_runtime_dir = xdg_runtime_dir[0] != '\0' ? xdg_runtime_dir : NULL;
    if (config.tcp.off && config.public_tcp.off) {
        (void)snprintf(ret_reason, reason_size, "RTHOOKS_ADMIN=off");
        return -ECANCELED;
    }
    if (!config.tcp.off && !rth__address_is_loopback(&config.tcp) && config.token.path[0] == '\0') {
        (void)snprintf(ret_reason, reason_size,
                       "RTHOOKS_ADMIN is not a loopback address and no RTHOOKS_ADMIN_TOKEN_FILE "
                       "is set");
        return -EINVAL;
    }
    return 0;
}

static int start(char *ret_reason, size_t reason_size)
{
    const char *xdg = rth__env_get((const char *const *)environ, "XDG_RUNTIME_DIR");
    bool fits = xdg != NULL && strlen(xdg) < sizeof(xdg_runtime_dir);
    (void)snprintf(xdg_runtime_dir, sizeof(xdg_runtime_dir), "%s", fits ? xdg : "");
    int error = read_config(ret_reason, reason_size);
    if (error != 0)
        return error;
    works_inline = !rth__family_is_first();
    before_pause.since_ns = 0;
    rth__admin_publish(RTH_VIA_TCP, "", config.tcp.off ? "off" : "not open yet", 0);
    rth__admin_publish(RTH_VIA_UNIX, "", config.tcp.off ? "off" : "not open yet", 0);
    rth__admin_publish(RTH_VIA_PUBLIC, "", config.public_tcp.off ? "off" : "not open yet", 0);
    return run_thread();
}

static void stop(void)
{
    if (end_thread() != 0) {
        rth_log(RTH_LOG_ERROR, "admin.stuck", "thread=rth-admin waited_s=7");
        return;
    }
    explicit_bzero(config.token.token, sizeof(config.token.token));
}

void rth__admin_quiesce(void)
{
    if (thread.started)
        (void)end_thread();
}

void rth__admin_resume(void)
{
    if (!rth__capability_is_running("admin"))
        return;
    /* A call that outlasted quiesce may have ended by now. */
    int error = rth__service_thread_join(&thread, rth__clock_monotonic_ns_sigsafe());
    if (error == 0)
        error = run_thread();
    if (error != 0)
        mark_failed("thread rth-admin", error);
}

void rth__admin_unlink_at_exit(void)
{
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    if (at.unix_path[0] != '\0')
        (void)unlink(at.unix_path);
}

const struct rth_option_value *rth__admin_option(void)
{
    return rth__admin_options[0].value;
}

bool rth__admin_port_is_free(void)
{
    struct rth_address address;
    rth__admin_option_address(&address);
    if (address.off)
        return true;
    RTH__AUTO_CLOSE int fd =
        socket(address.socket.generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    return bind(fd, &address.socket.generic, address.socket_bytes) == 0 || errno != EADDRINUSE;
}

static void child_reset(void)
{
    rth__lock_reset(&addresses_lock);
    rth__service_thread_child_reset(&thread);
    memset(&addresses, 0, sizeof(addresses));
    memset(&server, 0, sizeof(server));
    memset(&rth__admin_counters, 0, sizeof(rth__admin_counters));
    rth__body_child_reset();
    stopping = 0;
}

static void member_address(struct rth_json *json, const char *key, const char *address,
                           const char *reason)
{
    rth__json_key(json, key);
    rth__json_object_begin(json);
    rth__json_member_string(json, "address", address[0] != '\0' ? address : NULL);
    if (reason[0] != '\0')
        rth__json_member_string(json, "reason", reason);
    rth__json_object_end(json);
}

static void status(struct rth_json *json)
{
    static const char *const causes[RTH_REJECT_COUNT] = {
        [RTH_REJECT_MALFORMED] = "malformed",
        [RTH_REJECT_HOST] = "host",
        [RTH_REJECT_ORIGIN] = "origin",
        [RTH_REJECT_TOKEN] = "token",
        [RTH_REJECT_PEER] = "peer",
        [RTH_REJECT_NOT_ALLOWED] = "not_allowed",
        [RTH_REJECT_READ_ONLY] = "read_only",
        [RTH_REJECT_NOT_FOUND] = "not_found",
        [RTH_REJECT_METHOD] = "method",
        [RTH_REJECT_HEAD_TIMEOUT] = "head_timeout",
        [RTH_REJECT_WRITE_TIMEOUT] = "write_timeout",
        [RTH_REJECT_EVICTED] = "evicted",
        [RTH_REJECT_MEMORY] = "memory",
    };
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    member_address(json, "tcp", at.tcp, at.tcp_reason);
    member_address(json, "unix", at.unix_path, at.unix_reason);
    member_address(json, "public", at.public_tcp,
                   config.public_refusal != NULL ? config.public_refusal : at.public_reason);
    rth__json_member_uint(json, "connections_open", rth__admin_counters.open_connections);
    rth__json_member_uint(json, "connections_accepted", rth__admin_counters.accepted);
    rth__json_member_uint(json, "requests", rth__admin_counters.requests);
    rth__json_member_uint(json, "hang_ups", rth__admin_counters.hang_ups);
    rth__json_member_uint(json, "body_bytes_held", rth__body_held_bytes());
    rth__json_key(json, "rejected");
    rth__json_object_begin(json);
    for (int cause = 0; cause < RTH_REJECT_COUNT; cause++)
        rth__json_member_uint(json, causes[cause], rth__admin_counters.rejected[cause]);
    rth__json_object_end(json);
}

/* The endpoint must not be open to a network without a token. */
static const char *conflict(const char *(*get)(const char *variable, const void *userdata),
                            const void *userdata)
{
    const char *text = get("RTHOOKS_ADMIN", userdata);
    const char *token = get("RTHOOKS_ADMIN_TOKEN_FILE", userdata);
    struct rth_address address;
    if (text == NULL || rth__address_parse(text, &address) != 0 || address.off ||
        rth__address_is_loopback(&address) || (token != NULL && token[0] != '\0'))
        return NULL;
    return "RTHOOKS_ADMIN: an address beyond loopback needs RTHOOKS_ADMIN_TOKEN_FILE";
}

const struct rth_capability rth__admin_capability = {
    .name = "admin",
    .conflict = conflict,
    .options = rth__admin_options,
    .option_count = RTH_ADMIN_OPTION_COUNT,
    .start = start,
    .stop = stop,
    .child_reset = child_reset,
    .status = status,
};
