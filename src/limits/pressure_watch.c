/* SPDX-License-Identifier: MIT */
#include "limits/pressure_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/env.h"
#include "os/fd.h"
#include "rthooks/error.h"

/* Written before our threads exist. */
static char path[256];
static unsigned char to_write[256];
static size_t to_write_bytes;
/* The looking thread's. */
static int fd = -1;
static short events;
/* Static text; read by others. */
static const char *_Atomic reason_now = "";

static int value_of(char c)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

int rth__base64_decode(const char *text, unsigned char *ret_data, size_t capacity_bytes)
{
    size_t length = strlen(text);
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    if (length % 4 != 0)
        return -EINVAL;
    size_t used_bytes = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < length - padding; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return -EINVAL;
        bits = (bits << 6 | (unsigned)value) & 0xffffff;
        if (i % 4 == 0)
            continue;
        if (used_bytes == capacity_bytes)
            return -ENOSPC;
        ret_data[used_bytes++] = (unsigned char)(bits >> (2 * (3 - i % 4)));
    }
    return (int)used_bytes;
}

void rth__pressure_watch_configure(const char *const *environment)
{
    path[0] = '\0';
    to_write_bytes = 0;
    reason_now = "";
    fd = -1; /* what an earlier run, or the parent, had open: of another table */
    const char *given = rth__env_get(environment, "MEMORY_PRESSURE_WATCH");
    const char *write_text = rth__env_get(environment, "MEMORY_PRESSURE_WRITE");
    if (given == NULL || strcmp(given, "/dev/null") == 0)
        return;
    if (given[0] != '/' || strlen(given) >= sizeof(path)) {
        reason_now = "not an absolute path, or a long one";
        return;
    }
    (void)snprintf(path, sizeof(path), "%s", given);
    if (write_text == NULL)
        return;
    int decoded = rth__base64_decode(write_text, to_write, sizeof(to_write));
    if (decoded < 0)
        reason_now = "MEMORY_PRESSURE_WRITE is not base64";
    else
        to_write_bytes = (size_t)decoded;
}

static int open_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_fd < 0)
        return -errno;
    if (connect(socket_fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return socket_fd;
    int error = -errno;
    (void)close(socket_fd);
    return error;
}

static int open_watch(void)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return -errno;
    events = S_ISREG(info.st_mode) ? POLLPRI : POLLIN;
    if (S_ISSOCK(info.st_mode))
        return open_socket();
    return rth__openat(AT_FDCWD, path,
                       (to_write_bytes > 0 ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY);
}

void rth__pressure_watch_open(void)
{
    fd = -1; /* a number of another table, or none */
    if (path[0] == '\0' || reason_now[0] != '\0')
        return;
    fd = open_watch();
    if (fd < 0) {
        reason_now = rth_strerror(fd);
        return;
    }
    if (to_write_bytes > 0) {
        ssize_t written = rth__write_full(fd, to_write, to_write_bytes);
        if (written < 0) {
            reason_now = rth_strerror((int)written);
            fd = rth__close(fd);
        }
    }
}

bool rth__pressure_watch_fired(void)
{
    struct pollfd watched = {.fd = fd, .events = events};
    if (fd < 0 || poll(&watched, 1, 0) <= 0)
        return false;
    if ((watched.revents & events) == 0) { /* the other end is gone */
        reason_now = "closed by the other end";
        fd = rth__close(fd);
        return false;
    }
    char ignored[64];
    if (events == POLLIN && rth__read_some(fd, ignored, sizeof(ignored)) == 0) {
        reason_now = "closed by the other end";
        fd = rth__close(fd);
        return false;
    }
    return true;
}

const char *rth__pressure_watch_path(void)
{
    return path;
}

const char *rth__pressure_watch_reason(void)
{
    return atomic_load_explicit(&reason_now, memory_order_acquire);
}
