/* SPDX-License-Identifier: MIT */
/*
 * Waits on descriptors: poll, select, epoll and accept families. Everywhere but in a forked child
 * that waits for its adoption they are the original and nothing else; there, see calm.h.
 */
#include "interpose/blocked.h"
#include "interpose/calm.h"
#include "interpose/real.h"

#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/time.h>

/* The answer "nothing happened" of the calls here, while more parts are to come. */
static int part_result(int result, bool last)
{
    return result == 0 && !last ? RTH__PART_OVER : result;
}

/* ---- poll ---- */

struct poll_call {
    struct pollfd *fds;
    nfds_t count;
    const sigset_t *mask; /* ppoll alone */
};

static int64_t poll_timeout_to_ns(int timeout_ms)
{
    return timeout_ms < 0 ? RTH__FOREVER : timeout_ms * INT64_C(1000000);
}

static int try_poll(void *argument, int64_t wait_ns, bool last)
{
    const struct poll_call *call = argument;
    int timeout_ms = rth__ns_to_poll_ms(wait_ns);
    return part_result(rth__real()->poll(call->fds, call->count, timeout_ms), last);
}

static int try_ppoll(void *argument, int64_t wait_ns, bool last)
{
    const struct poll_call *call = argument;
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    const struct timespec *limit = wait_ns == RTH__FOREVER ? NULL : &wait;
    return part_result(rth__real()->ppoll(call->fds, call->count, limit, call->mask), last);
}

RTH__EXPORT int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->poll);
        return rth__real()->poll(fds, count, timeout_ms);
    }
    struct poll_call call = {.fds = fds, .count = count};
    return rth__calm_wait(poll_timeout_to_ns(timeout_ms), try_poll, &call);
}

RTH__EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                      const sigset_t *mask)
{
    if (!rth__calm_wanted() || (timeout != NULL && !rth__timespec_valid(timeout))) {
        RTH__BLOCKED_IN(rth__real()->ppoll);
        return rth__real()->ppoll(fds, count, timeout, mask);
    }
    struct poll_call call = {.fds = fds, .count = count, .mask = mask};
    return rth__calm_wait(rth__timespec_to_ns(timeout), try_ppoll, &call);
}

/* What fortified callers call; the original aborts the program when the array is too short. */
RTH__EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_bytes)
{
    if (!rth__calm_wanted() || fds_bytes / sizeof(*fds) < count) {
        RTH__BLOCKED_IN(rth__real()->__poll_chk);
        return rth__real()->__poll_chk(fds, count, timeout_ms, fds_bytes);
    }
    return poll(fds, count, timeout_ms);
}

RTH__EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                            const sigset_t *mask, size_t fds_bytes)
{
    if (!rth__calm_wanted() || fds_bytes / sizeof(*fds) < count) {
        RTH__BLOCKED_IN(rth__real()->__ppoll_chk);
        return rth__real()->__ppoll_chk(fds, count, timeout, mask, fds_bytes);
    }
    return ppoll(fds, count, timeout, mask);
}

/* ---- select ---- */

/* Sets of more descriptors are not copied to the stack: such a call is not divided. */
#define SELECT_FDS_MAX 65536

/* A part that ends without an event clears the sets, so parts run on copies. */
struct select_call {
    int count;
    size_t set_bytes;
    fd_set *sets[3];   /* the caller's: read, write, except; each may be NULL */
    fd_set *copies[3]; /* scratch of set_bytes each */
    const sigset_t *mask;
};

static int try_select(void *argument, int64_t wait_ns, bool last)
{
    struct select_call *call = argument;
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    const struct timespec *limit = wait_ns == RTH__FOREVER ? NULL : &wait;
    const struct rth__real *real = rth__real();
    if (last)
        return real->pselect(call->count, call->sets[0], call->sets[1], call->sets[2], limit,
                             call->mask);
    fd_set *sets[3] = {NULL};
    for (int i = 0; i < 3; i++)
        if (call->sets[i] != NULL)
            sets[i] = memcpy(call->copies[i], call->sets[i], call->set_bytes);
    int result = real->pselect(call->count, sets[0], sets[1], sets[2], limit, call->mask);
    for (int i = 0; i < 3 && result > 0; i++)
        if (sets[i] != NULL)
            memcpy(call->sets[i], sets[i], call->set_bytes);
    return part_result(result, last);
}

/* In its own frame, which holds the copies. Whole longs: what the kernel reads and writes. */
static int select_in_parts(int count, fd_set *const sets[3], int64_t caller_ns,
                           const sigset_t *mask)
{
    const size_t bits = 8 * sizeof(long);
    size_t set_bytes = ((size_t)count + bits - 1) / bits * sizeof(long);
    char *copies = alloca(3 * set_bytes + 1);
    struct select_call call = {.count = count, .set_bytes = set_bytes, .mask = mask};
    for (size_t i = 0; i < 3; i++) {
        call.sets[i] = sets[i];
        call.copies[i] = (fd_set *)(void *)(copies + i * set_bytes);
    }
    return rth__calm_wait(caller_ns, try_select, &call);
}

RTH__EXPORT int select(int count, fd_set *read_set, fd_set *write_set, fd_set *except_set,
                       struct timeval *timeout)
{
    bool divided = rth__calm_wanted() && count >= 0 && count <= SELECT_FDS_MAX &&
                   (timeout == NULL ||
                    (timeout->tv_sec >= 0 && timeout->tv_usec >= 0 && timeout->tv_usec < 1000000));
    if (!divided) {
        RTH__BLOCKED_IN(rth__real()->select);
        return rth__real()->select(count, read_set, write_set, except_set, timeout);
    }
    fd_set *const sets[3] = {read_set, write_set, except_set};
    if (timeout == NULL)
        return select_in_parts(count, sets, RTH__FOREVER, NULL);
    struct timespec wait = {timeout->tv_sec, timeout->tv_usec * 1000};
    int64_t wait_ns = rth__timespec_to_ns(&wait);
    int64_t deadline_ns = rth__deadline_ns(wait_ns);
    int result = select_in_parts(count, sets, wait_ns, NULL);
    /* Linux writes back what is left. */
    if (deadline_ns != RTH__FOREVER) {
        wait = rth__ns_to_timespec(result == 0 ? 0 : rth__left_ns(deadline_ns));
        *timeout = (struct timeval){wait.tv_sec, wait.tv_nsec / 1000};
    }
    return result;
}

RTH__EXPORT int pselect(int count, fd_set *read_set, fd_set *write_set, fd_set *except_set,
                        const struct timespec *timeout, const sigset_t *mask)
{
    if (!rth__calm_wanted() || count < 0 || count > SELECT_FDS_MAX ||
        (timeout != NULL && !rth__timespec_valid(timeout))) {
        RTH__BLOCKED_IN(rth__real()->pselect);
        return rth__real()->pselect(count, read_set, write_set, except_set, timeout, mask);
    }
    fd_set *const sets[3] = {read_set, write_set, except_set};
    return select_in_parts(count, sets, rth__timespec_to_ns(timeout), mask);
}

/* ---- epoll ---- */

struct epoll_call {
    int epoll_fd;
    int max_events;
    struct epoll_event *events;
    const sigset_t *mask;
};

static int try_epoll(void *argument, int64_t wait_ns, bool last)
{
    const struct epoll_call *call = argument;
    int result = rth__real()->epoll_pwait(call->epoll_fd, call->events, call->max_events,
                                          rth__ns_to_poll_ms(wait_ns), call->mask);
    return part_result(result, last);
}

static int try_epoll_pwait2(void *argument, int64_t wait_ns, bool last)
{
    const struct epoll_call *call = argument;
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    int result = rth__real()->epoll_pwait2(call->epoll_fd, call->events, call->max_events,
                                           wait_ns == RTH__FOREVER ? NULL : &wait, call->mask);
    return part_result(result, last);
}

RTH__EXPORT int epoll_wait(int epoll_fd, struct epoll_event *events, int max_events, int timeout_ms)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->epoll_wait);
        return rth__real()->epoll_wait(epoll_fd, events, max_events, timeout_ms);
    }
    struct epoll_call call = {epoll_fd, max_events, events, NULL};
    return rth__calm_wait(poll_timeout_to_ns(timeout_ms), try_epoll, &call);
}

RTH__EXPORT int epoll_pwait(int epoll_fd, struct epoll_event *events, int max_events,
                            int timeout_ms, const sigset_t *mask)
{
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->epoll_pwait);
        return rth__real()->epoll_pwait(epoll_fd, events, max_events, timeout_ms, mask);
    }
    struct epoll_call call = {epoll_fd, max_events, events, mask};
    return rth__calm_wait(poll_timeout_to_ns(timeout_ms), try_epoll, &call);
}

RTH__EXPORT int epoll_pwait2(int epoll_fd, struct epoll_event *events, int max_events,
                             const struct timespec *timeout, const sigset_t *mask)
{
    const struct rth__real *real = rth__real();
    if (real->epoll_pwait2 == NULL) {
        errno = ENOSYS;
        return -1;
    }
    if (!rth__calm_wanted() || (timeout != NULL && !rth__timespec_valid(timeout))) {
        RTH__BLOCKED_IN(rth__real()->epoll_pwait2);
        return real->epoll_pwait2(epoll_fd, events, max_events, timeout, mask);
    }
    struct epoll_call call = {epoll_fd, max_events, events, mask};
    return rth__calm_wait(rth__timespec_to_ns(timeout), try_epoll_pwait2, &call);
}

/* ---- accept ---- */

struct accept_call {
    __typeof__(accept4) *original4; /* NULL: plain accept */
    int fd;
    int flags;
    struct sockaddr *address;
    socklen_t *address_bytes;
};

static int accept_now(const struct accept_call *call)
{
    if (call->original4 != NULL)
        return call->original4(call->fd, call->address, call->address_bytes, call->flags);
    return rth__real()->accept(call->fd, call->address, call->address_bytes);
}

/*
 * accept is restarted after handlers with SA_RESTART, poll never is. Which handler ended a poll
 * cannot be told, only which are installed: as long as all of them restart, so do we. A program
 * with one that does not has to expect EINTR.
 */
static bool handlers_all_restart(void)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (rth__real()->sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL &&
            action.sa_handler != SIG_IGN && (action.sa_flags & SA_RESTART) == 0)
            return false;
    }
    return true;
}

static int try_accept(void *argument, int64_t wait_ns, bool last)
{
    const struct accept_call *call = argument;
    if (last)
        return accept_now(call);
    struct pollfd readable = {.fd = call->fd, .events = POLLIN};
    struct timespec wait = rth__ns_to_timespec(wait_ns);
    int result = rth__real()->ppoll(&readable, 1, &wait, NULL);
    if (result == 0)
        return RTH__PART_OVER;
    /* An error of the descriptor is accept's to name. */
    return result > 0 ? accept_now(call) : -1;
}

/* Would accept wait for a connection without a limit? Only then it is divided. */
static bool accept_blocks(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    struct timeval limit = {0};
    socklen_t limit_bytes = sizeof(limit);
    int listening = 0;
    socklen_t listening_bytes = sizeof(listening);
    return flags >= 0 && (flags & O_NONBLOCK) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &listening_bytes) == 0 &&
           listening != 0 && getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &limit_bytes) == 0 &&
           limit.tv_sec == 0 && limit.tv_usec == 0;
}

static int accept_calmly(struct accept_call *call)
{
    int saved_errno = errno;
    bool blocks = accept_blocks(call->fd);
    errno = saved_errno;
    /* One that does not block is a calm point without a wait. */
    int result;
    do
        result = rth__calm_wait(blocks ? RTH__FOREVER : 0, try_accept, call);
    while (blocks && result < 0 && errno == EINTR && rth__calm_wanted() && handlers_all_restart());
    if (result >= 0)
        errno = saved_errno;
    return result;
}

RTH__EXPORT int accept(int fd, __SOCKADDR_ARG address, socklen_t *address_bytes)
{
    struct sockaddr *plain = address.__sockaddr__;
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->accept);
        return rth__real()->accept(fd, address, address_bytes);
    }
    struct accept_call call = {.fd = fd, .address = plain, .address_bytes = address_bytes};
    return accept_calmly(&call);
}

RTH__EXPORT int accept4(int fd, __SOCKADDR_ARG address, socklen_t *address_bytes, int flags)
{
    struct sockaddr *plain = address.__sockaddr__;
    if (!rth__calm_wanted()) {
        RTH__BLOCKED_IN(rth__real()->accept4);
        return rth__real()->accept4(fd, address, address_bytes, flags);
    }
    struct accept_call call = {.original4 = rth__real()->accept4,
                               .fd = fd,
                               .flags = flags,
                               .address = plain,
                               .address_bytes = address_bytes};
    return accept_calmly(&call);
}
