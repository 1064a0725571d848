/* SPDX-License-Identifier: MIT */
/* The waits on descriptors, in a child that waits for its adoption. */
#include "unit/interpose/helper/stage.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

extern int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_bytes);
extern int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask, size_t fds_bytes);

/* ---- the calls: each fills result and extra ---- */

static void call_poll(const struct scene *scene, struct answer *answer)
{
    struct pollfd fd = {.fd = scene->ready_fd, .events = POLLIN, .revents = 99};
    nfds_t count = scene->event == BAD_ARGUMENT ? (nfds_t)-1 : 1;
    answer->result = FUNCTION(scene, poll)(&fd, count, limited(scene) ? limit_ms(scene) : -1);
    answer->extra = fd.revents;
}

static void call_poll_chk(const struct scene *scene, struct answer *answer)
{
    struct pollfd fd = {.fd = scene->ready_fd, .events = POLLIN, .revents = 99};
    answer->result =
        FUNCTION(scene, __poll_chk)(&fd, 1, limited(scene) ? limit_ms(scene) : -1, sizeof(fd));
    answer->extra = fd.revents;
}

static void call_ppoll(const struct scene *scene, struct answer *answer)
{
    struct pollfd fd = {.fd = scene->ready_fd, .events = POLLIN, .revents = 99};
    struct timespec limit = limit_of(scene);
    answer->result = FUNCTION(scene, ppoll)(&fd, 1, limited(scene) ? &limit : NULL, NULL);
    answer->extra = fd.revents;
}

static void call_ppoll_chk(const struct scene *scene, struct answer *answer)
{
    struct pollfd fd = {.fd = scene->ready_fd, .events = POLLIN, .revents = 99};
    struct timespec limit = limit_of(scene);
    answer->result =
        FUNCTION(scene, __ppoll_chk)(&fd, 1, limited(scene) ? &limit : NULL, NULL, sizeof(fd));
    answer->extra = fd.revents;
}

static void make_sets(const struct scene *scene, fd_set sets[2])
{
    FD_ZERO(&sets[0]);
    FD_ZERO(&sets[1]);
    FD_SET(scene->ready_fd, &sets[0]);
    FD_SET(scene->ready_fd, &sets[1]);
}

static long sets_of(const struct scene *scene, const fd_set sets[2])
{
    return (FD_ISSET(scene->ready_fd, &sets[0]) != 0) +
           2 * (FD_ISSET(scene->ready_fd, &sets[1]) != 0);
}

static void call_select(const struct scene *scene, struct answer *answer)
{
    fd_set sets[2];
    make_sets(scene, sets);
    struct timeval limit = {limit_ms(scene) / 1000, limit_ms(scene) % 1000 * 1000};
    int count = scene->event == BAD_ARGUMENT ? -1 : scene->ready_fd + 1;
    answer->result = FUNCTION(scene, select)(count, &sets[0], NULL, &sets[1], &limit);
    /* What is left: nothing, or less than all of it. */
    answer->extra = sets_of(scene, sets) + 10 * limit.tv_sec;
    if (limited(scene) && answer->result == 0)
        answer->extra += limit.tv_usec;
}

static void call_select_for_ever(const struct scene *scene, struct answer *answer)
{
    fd_set sets[2];
    make_sets(scene, sets);
    answer->result = FUNCTION(scene, select)(scene->ready_fd + 1, &sets[0], NULL, &sets[1], NULL);
    answer->extra = sets_of(scene, sets);
}

static void call_pselect(const struct scene *scene, struct answer *answer)
{
    fd_set sets[2];
    make_sets(scene, sets);
    struct timespec limit = limit_of(scene);
    answer->result = FUNCTION(scene, pselect)(scene->ready_fd + 1, &sets[0], NULL, &sets[1],
                                              limited(scene) ? &limit : NULL, NULL);
    answer->extra = sets_of(scene, sets);
}

static int epoll_of(const struct scene *scene)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 5};
    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, scene->ready_fd, &event) != 0)
        abort();
    return fd;
}

static void call_epoll_wait(const struct scene *scene, struct answer *answer)
{
    struct epoll_event event = {0};
    int max = scene->event == BAD_ARGUMENT ? 0 : 1;
    answer->result = FUNCTION(scene, epoll_wait)(epoll_of(scene), &event, max,
                                                 limited(scene) ? limit_ms(scene) : -1);
    answer->extra = event.data.u32;
}

static void call_epoll_pwait(const struct scene *scene, struct answer *answer)
{
    struct epoll_event event = {0};
    int max = scene->event == BAD_ARGUMENT ? 0 : 1;
    answer->result = FUNCTION(scene, epoll_pwait)(epoll_of(scene), &event, max,
                                                  limited(scene) ? limit_ms(scene) : -1, NULL);
    answer->extra = event.data.u32;
}

static void call_epoll_pwait2(const struct scene *scene, struct answer *answer)
{
    struct epoll_event event = {0};
    struct timespec limit = limit_of(scene);
    answer->result = FUNCTION(scene, epoll_pwait2)(epoll_of(scene), &event, 1,
                                                   limited(scene) ? &limit : NULL, NULL);
    answer->extra = event.data.u32;
}

static void call_accept(const struct scene *scene, struct answer *answer)
{
    int fd = scene->event == BAD_ARGUMENT ? -1 : scene->ready_fd;
    answer->result = FUNCTION(scene, accept)(fd, NULL, NULL);
    answer->extra = answer->result >= 0 ? fcntl((int)answer->result, F_GETFD) : 0;
}

static void call_accept4(const struct scene *scene, struct answer *answer)
{
    struct sockaddr_un address;
    socklen_t bytes = sizeof(address);
    int flags = scene->event == BAD_ARGUMENT ? -1 : SOCK_CLOEXEC;
    answer->result =
        FUNCTION(scene, accept4)(scene->ready_fd, (struct sockaddr *)&address, &bytes, flags);
    answer->extra = answer->result >= 0 ? fcntl((int)answer->result, F_GETFD) : 0;
    answer->extra += 100 * (long)bytes;
}

static void call_accept_without_blocking(const struct scene *scene, struct answer *answer)
{
    if (fcntl(scene->ready_fd, F_SETFL, O_NONBLOCK) != 0)
        abort();
    answer->result = FUNCTION(scene, accept)(scene->ready_fd, NULL, NULL);
}

static void call_accept_with_a_limit(const struct scene *scene, struct answer *answer)
{
    struct timeval limit = {.tv_usec = LONG_MS * 1000};
    if (setsockopt(scene->ready_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0)
        abort();
    answer->result = FUNCTION(scene, accept)(scene->ready_fd, NULL, NULL);
}

/* ---- the cases ---- */

static void poll_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_poll);
    (void)compare(call_poll, false, BAD_ARGUMENT);
}

static void fortified_poll_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_poll_chk);
}

static void ppoll_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_ppoll);
    (void)compare(call_ppoll, false, BAD_ARGUMENT);
}

static void fortified_ppoll_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_ppoll_chk);
}

static void select_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_select);
    (void)compare(call_select, false, BAD_ARGUMENT);
}

static void select_without_a_limit_answers_as_bare(void **state)
{
    (void)state;
    compare_late(call_select_for_ever, false, READY_LATE);
    compare_late(call_select_for_ever, false, SIGNAL_LATE);
}

static void pselect_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_pselect);
    (void)compare(call_pselect, false, BAD_ARGUMENT);
}

static void epoll_wait_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_epoll_wait);
    (void)compare(call_epoll_wait, false, BAD_ARGUMENT);
}

static void epoll_pwait_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_epoll_pwait);
    (void)compare(call_epoll_pwait, false, BAD_ARGUMENT);
}

static void epoll_pwait2_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_epoll_pwait2);
    (void)compare(call_epoll_pwait2, false, BAD_ARGUMENT);
}

static void accept_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_accept, true, READY_EARLY);
    compare_late(call_accept, true, READY_LATE);
    compare_early(call_accept, true, SIGNAL_EARLY);
    compare_late(call_accept, true, SIGNAL_LATE);
    compare_early(call_accept, true, BAD_ARGUMENT);
    handler_between_parts_interrupts(call_accept, true);
}

static void accept_goes_on_after_a_handler_that_restarts(void **state)
{
    (void)state;
    struct answer ours = compare(call_accept, true, RESTART_EARLY);
    assert_int_equal(ours.result, 0);
    assert_int_equal(ours.handled, 1);
}

static void accept_that_does_not_wait_for_ever_is_not_divided(void **state)
{
    (void)state;
    struct answer ours = compare(call_accept_without_blocking, true, NOTHING);
    assert_int_equal(ours.error, EAGAIN);
    assert_int_equal(ours.calm_points, 1);
    ours = compare(call_accept_with_a_limit, true, NOTHING);
    assert_int_equal(ours.error, EAGAIN);
    assert_int_equal(ours.calm_points, 1);
    ours = compare(call_accept_with_a_limit, true, SIGNAL_EARLY);
    assert_int_equal(ours.error, EINTR);
}

static void accept4_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_accept4, true, READY_EARLY);
    compare_late(call_accept4, true, READY_LATE);
    compare_late(call_accept4, true, SIGNAL_LATE);
    (void)compare(call_accept4, true, BAD_ARGUMENT);
}

static void child_that_is_never_adopted_waits_undivided(void **state)
{
    (void)state;
    attach_once();
    fake.never_adopts = true;
    struct answer ours = compare(call_poll, false, READY_LATE);
    assert_false(ours.adopted);
    assert_int_equal(ours.calm_points, 1);
}

static void owner_and_vfork_child_have_no_calm_points(void **state)
{
    (void)state;
    attach_once();
    assert_int_equal(poll(NULL, 0, 1), 0);
    pid_t child = vfork();
    if (child == 0)
        _exit(poll(NULL, 0, 1) == 0 ? 0 : 1);
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fake.calm_points, 0);
}

static void *poll_for_ever(void *argument)
{
    (void)argument;
    (void)poll(NULL, 0, -1);
    return NULL;
}

static void divided_wait_is_a_cancellation_point(void **state)
{
    (void)state;
    attach_once();
    pid_t child = fork();
    if (child == 0) {
        pthread_t threads[2];
        void *result = NULL;
        for (int i = 0; i < 2; i++) {
            struct timespec delay = {.tv_nsec = i * LONG_MS * 1000000L};
            if (pthread_create(&threads[i], NULL, poll_for_ever, NULL) != 0)
                _exit(1);
            /* libc's own, so that the waiting thread alone is calm. */
            ((__typeof__(nanosleep) *)libc_function("nanosleep"))(&delay, NULL);
            if (pthread_cancel(threads[i]) != 0 || pthread_join(threads[i], &result) != 0 ||
                result != PTHREAD_CANCELED)
                _exit(1);
        }
        _exit(0);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(
    cmocka_unit_test(poll_answers_as_bare), cmocka_unit_test(fortified_poll_answers_as_bare),
    cmocka_unit_test(ppoll_answers_as_bare), cmocka_unit_test(fortified_ppoll_answers_as_bare),
    cmocka_unit_test(select_answers_as_bare),
    cmocka_unit_test(select_without_a_limit_answers_as_bare),
    cmocka_unit_test(pselect_answers_as_bare), cmocka_unit_test(epoll_wait_answers_as_bare),
    cmocka_unit_test(epoll_pwait_answers_as_bare), cmocka_unit_test(epoll_pwait2_answers_as_bare),
    cmocka_unit_test(accept_answers_as_bare),
    cmocka_unit_test(accept_goes_on_after_a_handler_that_restarts),
    cmocka_unit_test(accept_that_does_not_wait_for_ever_is_not_divided),
    cmocka_unit_test(accept4_answers_as_bare),
    cmocka_unit_test(child_that_is_never_adopted_waits_undivided),
    cmocka_unit_test(owner_and_vfork_child_have_no_calm_points),
    cmocka_unit_test(divided_wait_is_a_cancellation_point))
