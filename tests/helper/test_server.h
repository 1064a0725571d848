/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_HELPER_TEST_SERVER_H
#define RTH_TESTS_HELPER_TEST_SERVER_H

/*
 * The real admin server in the test's own process, over the test capability, and a client that
 * gives up (and fails the case) after CLIENT_LIMIT_MS instead of hanging.
 */

#include "helper/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/server.h"
#include "core/arena.h"
#include "core/enable.h"
#include "core/env.h"
#include "core/family.h"
#include "core/identity.h"
#include "core/service_thread.h"
#include "helper/test_capability.h"

#define CLIENT_LIMIT_MS 20000
/* No file uses all of these. */
#define RTH_TEST_MAYBE __attribute__((unused))
#define HOST           "Host: localhost\r\n"
#define CLOSE          "Connection: close\r\n"

#ifdef __SANITIZE_THREAD__
#define TEST_UNDER_TSAN 1
/*
 * The server's threads have a descriptor table of their own; ThreadSanitizer knows of one table
 * only and takes equal numbers for the same file. Its model of fds shows at the top frame.
 */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race_top:interceptor_close$\nrace_top:interceptor_read$\nrace_top:interceptor_write$\n"
           "race_top:interceptor_recv$\nrace_top:interceptor_send$\nrace_top:interceptor_sendmsg$\n"
           "race_top:interceptor_accept4$\nrace_top:interceptor_connect$\nrace_top:interceptor_"
           "socket$\n"
           "race_top:interceptor_epoll_ctl$\nrace_top:interceptor_epoll_wait$\nrace_top:"
           "interceptor_dup2$\n"
           "race_top:interceptor_listen$\nrace_top:interceptor_bind$\n";
}
#else
#define TEST_UNDER_TSAN 0
#endif

static const struct rth_capability *const test_table[] = {&test_capability, &rth__admin_capability};
static char test_folder[64]; /* what XDG_RUNTIME_DIR names */

/* Short waits at start; deadlines that no case meets unless it shortens them itself. */
RTH_TEST_MAYBE static void test_limits(void)
{
    rth__admin_limits.start_delay_ns = RTH_NS_PER_MS;
    rth__admin_limits.ids_stable_ns = RTH_NS_PER_MS;
    rth__admin_limits.tick_opening_ns = 5 * RTH_NS_PER_MS;
    rth__admin_limits.tick_ns = 50 * RTH_NS_PER_MS;
    rth__admin_limits.head_ns = 600 * RTH_NS_PER_S;
    rth__admin_limits.write_ns = 600 * RTH_NS_PER_S;
    rth__admin_limits.idle_ns = 600 * RTH_NS_PER_S;
}

RTH_TEST_MAYBE static void server_wait(void)
{
    struct rth_admin_addresses at;
    for (int i = 0; i < CLIENT_LIMIT_MS; i++) {
        rth__admin_addresses(&at);
        bool tcp = at.tcp[0] != '\0' || strcmp(at.tcp_reason, "not open yet") != 0;
        bool un = at.unix_path[0] != '\0' || strcmp(at.unix_reason, "not open yet") != 0;
        if (un && (tcp || !rth__family_is_first()))
            return;
        test_pause_us(1000);
    }
    fail_msg("the server did not open: tcp %s, unix %s", at.tcp_reason, at.unix_reason);
}

/* environment: "KEY=VALUE" and NULL; RTHOOKS_ADMIN is 127.0.0.1:0 unless given. */
RTH_TEST_MAYBE static void server_start_with(const char *const *environment)
{
    const char *all[16] = {"RTHOOKS_ADMIN=127.0.0.1:0"};
    size_t count = 1;
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        if (strncmp(environment[i], "RTHOOKS_ADMIN=", 14) == 0)
            all[0] = environment[i];
        else
            all[count++] = environment[i];
    }
    (void)snprintf(test_folder, sizeof(test_folder), "/tmp/rth-test-XXXXXX");
    assert_non_null(mkdtemp(test_folder));
    assert_int_equal(setenv("XDG_RUNTIME_DIR", test_folder, 1), 0);
    memset(&test_seen, 0, sizeof(test_seen));
    rth__capability_table_set(test_table, sizeof(test_table) / sizeof(test_table[0]));
    char message[512];
    assert_int_equal(rth__enable_init(), 0);
    assert_int_equal(rth__env_read(NULL, all, NULL, message, sizeof(message)), 0);
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(rth__identity_init(root_fd, NULL), 0);
    (void)close(root_fd);
    assert_int_equal(rth__family_init(getpid(), rth__identity()->starttime_ticks, geteuid()), 0);
    rth__enable_on(getpid(), 1);
    rth__capabilities_start();
}

RTH_TEST_MAYBE static void server_start(const char *const *environment)
{
    server_start_with(environment);
    server_wait();
}

RTH_TEST_MAYBE static void folder_remove(void)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/rthooks", test_folder);
    assert_int_equal(rmdir(path), 0); /* no socket file is left */
    assert_int_equal(rmdir(test_folder), 0);
}

RTH_TEST_MAYBE static void server_stop(void)
{
    rth__capabilities_stop();
    assert_int_equal(rth__admin_counters.open_exchanges, 0);
    assert_int_equal(rth__body_held_bytes(), 0);
    folder_remove();
}

/* What the runtime does when it adopts a forked child. */
RTH_TEST_MAYBE static void server_adopt(void)
{
    rth__arena_child_reset();
    rth__service_threads_child_reset();
    rth__work_child_reset();
    rth__capabilities_child_reset();
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rth__identity_child_reset(root_fd) != 0 ||
        rth__family_join(getpid(), rth__identity()->starttime_ticks, geteuid()) != 0)
        _exit(9);
    (void)close(root_fd);
    rth__enable_on(getpid(), 2);
    rth__capabilities_start();
}

/* ---- client -------------------------------------------------------------------------------- */

RTH_TEST_MAYBE static int connect_port(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

RTH_TEST_MAYBE static int connect_tcp(void)
{
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    int fd = connect_port(at.tcp_port);
    assert_true(fd >= 0);
    return fd;
}

RTH_TEST_MAYBE static int connect_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_bytes = strlen(path) + 1;
    assert_true(path_bytes <= sizeof(address.sun_path));
    memcpy(address.sun_path, path, path_bytes);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

RTH_TEST_MAYBE static int connect_unix(void)
{
    struct rth_admin_addresses at;
    rth__admin_addresses(&at);
    int fd = connect_path(at.unix_path);
    assert_true(fd >= 0);
    return fd;
}

RTH_TEST_MAYBE static void send_all(int fd, const char *text, size_t size_bytes)
{
    while (size_bytes > 0) {
        ssize_t sent = send(fd, text, size_bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server closed: what it said is read next */
        text += sent;
        size_bytes -= (size_t)sent;
    }
}

RTH_TEST_MAYBE static void send_text(int fd, const char *text)
{
    send_all(fd, text, strlen(text));
}

/* Reads once, at most capacity. 0 at the end, -1 on a reset. */
RTH_TEST_MAYBE static ssize_t read_some_of(int fd, char *data, size_t capacity)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (poll(&poll_fd, 1, CLIENT_LIMIT_MS) != 1)
        fail_msg("no answer within %d ms", CLIENT_LIMIT_MS);
    return recv(fd, data, capacity, 0);
}

struct reply {
    char *text; /* all that came, NUL-terminated */
    size_t size_bytes;
    int status;
    const char *body; /* into text */
    size_t body_bytes;
    bool reset;
};

RTH_TEST_MAYBE static void reply_parse(struct reply *reply)
{
    reply->status = reply->size_bytes > 12 ? (int)strtol(reply->text + 9, NULL, 10) : 0;
    const char *end = strstr(reply->text, "\r\n\r\n");
    reply->body = end != NULL ? end + 4 : reply->text + reply->size_bytes;
    reply->body_bytes = reply->size_bytes - (size_t)(reply->body - reply->text);
}

/* Until the server closes. */
RTH_TEST_MAYBE static struct reply read_to_end(int fd)
{
    size_t capacity = 1 << 16;
    struct reply reply = {.text = malloc(capacity)};
    for (;;) {
        if (capacity - reply.size_bytes < 2)
            reply.text = realloc(reply.text, capacity *= 2);
        ssize_t got =
            read_some_of(fd, reply.text + reply.size_bytes, capacity - reply.size_bytes - 1);
        reply.reset = got < 0;
        if (got <= 0)
            break;
        reply.size_bytes += (size_t)got;
    }
    reply.text[reply.size_bytes] = '\0';
    reply_parse(&reply);
    return reply;
}

/* Until `size_bytes` of body after the head are there. */
RTH_TEST_MAYBE static struct reply read_reply(int fd, size_t body_bytes)
{
    struct reply reply = {.text = calloc(1, 65536 + body_bytes)};
    for (;;) {
        ssize_t got = read_some_of(fd, reply.text + reply.size_bytes, 1);
        assert_int_equal(got, 1);
        reply.size_bytes++;
        reply_parse(&reply);
        if (strstr(reply.text, "\r\n\r\n") != NULL && reply.body_bytes == body_bytes)
            return reply;
    }
}

RTH_TEST_MAYBE static void reply_free(struct reply *reply)
{
    free(reply->text);
}

RTH_TEST_MAYBE static struct reply exchange_on(int fd, const char *text)
{
    send_text(fd, text);
    struct reply reply = read_to_end(fd);
    (void)close(fd);
    return reply;
}

/* One request over TCP, read until the server closes. */
RTH_TEST_MAYBE static struct reply ask(const char *text)
{
    return exchange_on(connect_tcp(), text);
}

RTH_TEST_MAYBE static struct reply get_on(int fd, const char *target)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n" HOST CLOSE "\r\n", target);
    return exchange_on(fd, text);
}

RTH_TEST_MAYBE static struct reply get(const char *target)
{
    return get_on(connect_tcp(), target);
}

RTH_TEST_MAYBE static void assert_status(const char *text, int status)
{
    struct reply reply = ask(text);
    if (reply.status != status)
        fail_msg("%.60s: got %d, want %d (%.200s)", text, reply.status, status, reply.text);
    reply_free(&reply);
}

RTH_TEST_MAYBE static bool has_line(const struct reply *reply, const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
    const char *found = strstr(reply->text, whole);
    return found != NULL && found < reply->body;
}

/* In place. True when the body ended with its last chunk. */
RTH_TEST_MAYBE static bool dechunk(struct reply *reply)
{
    const char *at = reply->body;
    size_t length = 0;
    char *out = reply->text + (reply->body - reply->text);
    for (;;) {
        char *end;
        unsigned long size = strtoul(at, &end, 16);
        if (end == at || strncmp(end, "\r\n", 2) != 0)
            return false;
        at = end + 2;
        if (size == 0)
            break;
        if (at + size + 2 > reply->text + reply->size_bytes)
            return false;
        memmove(out + length, at, size);
        length += size;
        at += size + 2;
    }
    reply->body_bytes = length;
    return true;
}

/* Waits for a counter another thread moves. */
RTH_TEST_MAYBE static void wait_for(_Atomic int *counter, int at_least)
{
    for (int i = 0; i < CLIENT_LIMIT_MS; i++) {
        if (*counter >= at_least)
            return;
        test_pause_us(1000);
    }
    fail_msg("the counter stays at %d", *counter);
}

RTH_TEST_MAYBE static void wait_for_no_exchange(void)
{
    for (int i = 0; i < CLIENT_LIMIT_MS && rth__admin_counters.open_exchanges != 0; i++)
        test_pause_us(1000);
    assert_int_equal(rth__admin_counters.open_exchanges, 0);
    assert_int_equal(rth__body_held_bytes(), 0);
}

#endif /* RTH_TESTS_HELPER_TEST_SERVER_H */
