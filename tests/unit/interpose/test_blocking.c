/* SPDX-License-Identifier: MIT */
/*
 * Each blocking call runs twice in a forked child: libc's own, and ours while the child waits for
 * its adoption (50 ms after the first calm point). What both answered has to be equal.
 */
#include "helper/unit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

extern int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_bytes);
extern int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                       const sigset_t *mask, size_t fds_bytes);

/* ---- what happens to the child while it waits ---- */

enum event {
    NOTHING,       /* a limited wait runs out, long after the adoption */
    SHORT_NOTHING, /* a limited wait runs out before it */
    READY_EARLY,   /* the event comes before the adoption */
    READY_LATE,    /* and after it */
    SIGNAL_EARLY,  /* a handler without SA_RESTART runs before the adoption */
    SIGNAL_LATE,
    SIGNAL_AT_ADOPTION, /* between the two parts; ours alone */
    RESTART_EARLY,      /* as above, with SA_RESTART; ready follows */
    BAD_ARGUMENT,
};

#define LONG_MS  130
#define SHORT_MS 10

struct answer {
    long result;
    int error;  /* errno when the result is a failure */
    long extra; /* what the call wrote: events, sets, whole seconds left */
    volatile int handled;
    int calm_points; /* ours alone */
    volatile bool adopted;
    bool done;
};

struct scene {
    enum event event;
    bool bare;
    int ready_fd; /* readable when the event comes: a pipe, or a listening socket */
    struct answer *answer;
};

static struct answer *handler_answer;

static void on_signal(int signal_number)
{
    (void)signal_number;
    if (handler_answer != NULL)
        handler_answer->handled++;
}

/* The original of a wrapped function, or the wrapper. */
static void *libc_function(const char *name)
{
    static void *libc;
    if (libc == NULL)
        libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *function = dlsym(libc, name);
    if (function == NULL)
        abort();
    return function;
}

#define FUNCTION(scene, name)                                                                      \
    ((scene)->bare ? (__typeof__(name) *)libc_function(#name) : (__typeof__(name) *)name)

static int limit_ms(const struct scene *scene)
{
    return scene->event == NOTHING ? LONG_MS : scene->event == SHORT_NOTHING ? SHORT_MS : 20000;
}

static struct timespec limit_of(const struct scene *scene)
{
    if (scene->event == BAD_ARGUMENT)
        return (struct timespec){.tv_nsec = 1000000000};
    int ms = limit_ms(scene);
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Limited waits end by themselves, the others never. */
static bool limited(const struct scene *scene)
{
    return scene->event == NOTHING || scene->event == SHORT_NOTHING || scene->event == BAD_ARGUMENT;
}

/* ---- the calls: each fills result and extra ---- */

typedef void (*call_fn)(const struct scene *scene, struct answer *answer);

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

static void call_nanosleep(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec left = {-1, -1};
    answer->result = FUNCTION(scene, nanosleep)(&wait, &left);
    answer->extra = left.tv_sec;
}

static void call_clock_nanosleep(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec left = {-1, -1};
    answer->result = FUNCTION(scene, clock_nanosleep)(CLOCK_REALTIME, 0, &wait, &left);
    answer->extra = left.tv_sec;
}

static void call_clock_nanosleep_until(const struct scene *scene, struct answer *answer)
{
    struct timespec wait = limit_of(scene);
    struct timespec until;
    struct timespec left = {-1, -1};
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait.tv_sec + 1;
    until.tv_nsec = scene->event == BAD_ARGUMENT ? -1 : until.tv_nsec;
    if (wait.tv_sec == 0) {
        until.tv_sec -= 1;
        until.tv_nsec += wait.tv_nsec;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
    }
    answer->result =
        FUNCTION(scene, clock_nanosleep)(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &left);
    answer->extra = left.tv_sec;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    bool reached =
        now.tv_sec > until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec >= until.tv_nsec);
    answer->extra += 100 * reached;
}

static void call_sleep(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, sleep)(scene->event == NOTHING ? 1 : 20);
}

static void call_usleep(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, usleep)((useconds_t)limit_ms(scene) * 1000);
}

static void call_pause(const struct scene *scene, struct answer *answer)
{
    answer->result = FUNCTION(scene, pause)();
}

/* SIGUSR1 is blocked but in the call. */
static void call_sigsuspend(const struct scene *scene, struct answer *answer)
{
    sigset_t blocked;
    sigset_t before;
    sigset_t after;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    answer->result = FUNCTION(scene, sigsuspend)(&before);
    answer->error = errno;
    (void)sigprocmask(SIG_SETMASK, NULL, &after);
    answer->extra = sigismember(&after, SIGUSR1);
    errno = answer->error;
}

/* SIGUSR2 is waited for; it is blocked in every child. */
static sigset_t waited_set(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR2);
    return set;
}

static void call_sigwait(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    int number = -1;
    errno = 77;
    answer->result = FUNCTION(scene, sigwait)(&set, &number);
    answer->extra = number;
}

static void call_sigwaitinfo(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    siginfo_t info = {0};
    answer->result = FUNCTION(scene, sigwaitinfo)(&set, &info);
    answer->extra = info.si_signo * 1000L + info.si_code;
}

static void call_sigtimedwait(const struct scene *scene, struct answer *answer)
{
    sigset_t set = waited_set();
    siginfo_t info = {0};
    struct timespec limit = limit_of(scene);
    answer->result = FUNCTION(scene, sigtimedwait)(&set, &info, limited(scene) ? &limit : NULL);
    answer->extra = info.si_signo * 1000L + info.si_code;
}

/* ---- running a call in a child, and comparing ---- */

struct stage {
    int pipe[2];
    int listener;
    struct sockaddr_un address;
    socklen_t address_bytes;
    int started[2];
};

static void build_stage(struct stage *stage)
{
    assert_int_equal(pipe2(stage->pipe, O_CLOEXEC), 0);
    assert_int_equal(pipe2(stage->started, O_CLOEXEC), 0);
    stage->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(stage->listener >= 0);
    /* An empty name: the kernel picks an abstract one. */
    stage->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_int_equal(bind(stage->listener, (struct sockaddr *)&stage->address,
                          sizeof(stage->address.sun_family)),
                     0);
    stage->address_bytes = sizeof(stage->address);
    assert_int_equal(
        getsockname(stage->listener, (struct sockaddr *)&stage->address, &stage->address_bytes), 0);
    assert_int_equal(listen(stage->listener, 8), 0);
}

static void make_ready(const struct stage *stage, pid_t child)
{
    assert_int_equal(write(stage->pipe[1], "x", 1), 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&stage->address, stage->address_bytes),
                     0);
    (void)close(fd);
    (void)kill(child, SIGUSR2);
}

static char state_of(pid_t pid)
{
    char path[64];
    char stat[256] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, stat, sizeof(stat) - 1);
    (void)close(fd);
    const char *name_end = length > 0 ? strrchr(stat, ')') : NULL;
    return name_end != NULL ? name_end[2] : '?';
}

static void wait_until_asleep(pid_t child)
{
    const struct timespec pause_between = {.tv_nsec = 1000000};
    for (;;) {
        char state = state_of(child);
        if (state == 'S' || state == 'Z')
            return;
        (void)nanosleep(&pause_between, NULL);
    }
}

/* Nothing here is a matter of speed: what happens waits until the child waits. */
static void play_event(const struct stage *stage, const struct scene *scene, pid_t child)
{
    const struct timespec pause_between = {.tv_nsec = 1000000};
    enum event event = scene->event;
    bool late = event == READY_LATE || event == SIGNAL_LATE;
    while (late && !scene->bare && !fake.never_adopts && !scene->answer->adopted)
        (void)nanosleep(&pause_between, NULL);
    wait_until_asleep(child);
    if (event == READY_EARLY || event == READY_LATE)
        make_ready(stage, child);
    if (event == SIGNAL_EARLY || event == SIGNAL_LATE || event == RESTART_EARLY)
        (void)kill(child, SIGUSR1);
    if (event == RESTART_EARLY) {
        while (scene->answer->handled == 0)
            (void)nanosleep(&pause_between, NULL);
        wait_until_asleep(child);
        make_ready(stage, child);
    }
}

static void be_the_child(const struct stage *stage, const struct scene *scene, call_fn call)
{
    sigset_t set = waited_set();
    struct sigaction action = {.sa_handler = on_signal};
    if (scene->event == RESTART_EARLY)
        action.sa_flags = SA_RESTART;
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    handler_answer = scene->answer;
    fake.adopted = &scene->answer->adopted;
    if (scene->event == SIGNAL_AT_ADOPTION)
        fake.signal_on_adoption = SIGUSR1;
    (void)!write(stage->started[1], "s", 1);
    errno = 0;
    call(scene, scene->answer);
    scene->answer->error = scene->answer->result < 0 ? errno : 0;
    scene->answer->calm_points = fake.calm_points;
    scene->answer->done = true;
    _exit(0);
}

static struct answer run_call(call_fn call, bool on_socket, enum event event, bool bare)
{
    struct stage stage;
    char byte;
    build_stage(&stage);
    struct answer *answer =
        mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(answer != MAP_FAILED);
    struct scene scene = {event, bare, on_socket ? stage.listener : stage.pipe[0], answer};
    pid_t child = fork();
    if (child == 0)
        be_the_child(&stage, &scene, call);
    assert_int_equal(read(stage.started[0], &byte, 1), 1);
    play_event(&stage, &scene, child);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct answer copy = *answer;
    assert_true(copy.done);
    (void)munmap(answer, sizeof(*answer));
    (void)close(stage.pipe[0]);
    (void)close(stage.pipe[1]);
    (void)close(stage.started[0]);
    (void)close(stage.started[1]);
    (void)close(stage.listener);
    return copy;
}

static void attach_once(void)
{
    if (fake.enabled == NULL)
        assert_int_equal(fake_runtime_attach(), 0);
}

/* Returns our answer, after comparing it with the bare one. */
static struct answer compare(call_fn call, bool on_socket, enum event event)
{
    attach_once();
    struct answer bare = run_call(call, on_socket, event, true);
    struct answer ours = run_call(call, on_socket, event, false);
    if (bare.result >= 0 && on_socket)
        bare.result = ours.result = bare.result >= 0 && ours.result >= 0 ? 0 : -2;
    assert_int_equal(ours.result, bare.result);
    assert_int_equal(ours.error, bare.error);
    assert_int_equal(ours.extra, bare.extra);
    assert_int_equal(ours.handled, bare.handled);
    assert_int_equal(bare.calm_points, 0);
    return ours;
}

static void compare_late(call_fn call, bool on_socket, enum event event)
{
    struct answer ours = compare(call, on_socket, event);
    assert_true(ours.adopted);
    assert_true(ours.calm_points >= 2);
}

static void compare_early(call_fn call, bool on_socket, enum event event)
{
    struct answer ours = compare(call, on_socket, event);
    assert_true(ours.calm_points >= 1);
}

/* No bare counterpart: there the gap between two parts does not exist. */
static void handler_between_parts_interrupts(call_fn call, bool on_socket)
{
    attach_once();
    struct answer ours = run_call(call, on_socket, SIGNAL_AT_ADOPTION, false);
    assert_int_equal(ours.result, -1);
    assert_int_equal(ours.error, EINTR);
    assert_int_equal(ours.handled, 1);
    assert_true(ours.adopted);
}

static void waits_like_bare(call_fn call)
{
    compare_late(call, false, NOTHING);
    compare_early(call, false, SHORT_NOTHING);
    compare_early(call, false, READY_EARLY);
    compare_late(call, false, READY_LATE);
    compare_early(call, false, SIGNAL_EARLY);
    compare_late(call, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call, false);
}

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

static void sleeps_like_bare(call_fn call)
{
    compare_late(call, false, NOTHING);
    compare_early(call, false, SIGNAL_EARLY);
    compare_late(call, false, SIGNAL_LATE);
    attach_once();
    struct answer ours = run_call(call, false, SIGNAL_AT_ADOPTION, false);
    struct answer bare = run_call(call, false, SIGNAL_LATE, true);
    assert_int_equal(ours.result, bare.result);
    assert_int_equal(ours.error, bare.error);
    assert_int_equal(ours.extra, bare.extra);
}

static void nanosleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_nanosleep);
    (void)compare(call_nanosleep, false, BAD_ARGUMENT);
}

static void clock_nanosleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_clock_nanosleep);
    (void)compare(call_clock_nanosleep, false, BAD_ARGUMENT);
}

static void clock_nanosleep_until_a_time_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_clock_nanosleep_until);
    (void)compare(call_clock_nanosleep_until, false, BAD_ARGUMENT);
}

static void sleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_sleep);
}

static void usleep_answers_as_bare(void **state)
{
    (void)state;
    sleeps_like_bare(call_usleep);
}

static void pause_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_pause, false, SIGNAL_EARLY);
    compare_late(call_pause, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call_pause, false);
}

static void sigsuspend_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigsuspend, false, SIGNAL_EARLY);
    compare_late(call_sigsuspend, false, SIGNAL_LATE);
}

/* The signal is there before the call, and one comes while the child is adopted: both blocked
 * outside of the call, so neither may be lost. */
static void sigsuspend_sees_what_was_pending(void **state)
{
    (void)state;
    attach_once();
    struct answer ours = run_call(call_sigsuspend, false, SIGNAL_AT_ADOPTION, false);
    assert_int_equal(ours.result, -1);
    assert_int_equal(ours.error, EINTR);
    assert_int_equal(ours.extra, 1);
    assert_int_equal(ours.handled, 1);
    pid_t child = fork();
    if (child == 0) {
        sigset_t blocked;
        sigset_t before;
        (void)signal(SIGUSR1, on_signal);
        (void)sigemptyset(&blocked);
        (void)sigaddset(&blocked, SIGUSR1);
        (void)sigprocmask(SIG_BLOCK, &blocked, &before);
        (void)raise(SIGUSR1);
        errno = 0;
        handler_answer = &ours;
        ours.handled = 0;
        _exit(sigsuspend(&before) == -1 && errno == EINTR && ours.handled == 1 ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void sigwait_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigwait, false, READY_EARLY);
    compare_late(call_sigwait, false, READY_LATE);
    /* It is not interrupted. */
    compare_early(call_sigwait, false, RESTART_EARLY);
}

static void sigwaitinfo_answers_as_bare(void **state)
{
    (void)state;
    compare_early(call_sigwaitinfo, false, READY_EARLY);
    compare_late(call_sigwaitinfo, false, READY_LATE);
    compare_early(call_sigwaitinfo, false, SIGNAL_EARLY);
    compare_late(call_sigwaitinfo, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call_sigwaitinfo, false);
}

static void sigtimedwait_answers_as_bare(void **state)
{
    (void)state;
    waits_like_bare(call_sigtimedwait);
    (void)compare(call_sigtimedwait, false, BAD_ARGUMENT);
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
    cmocka_unit_test(accept4_answers_as_bare), cmocka_unit_test(nanosleep_answers_as_bare),
    cmocka_unit_test(clock_nanosleep_answers_as_bare),
    cmocka_unit_test(clock_nanosleep_until_a_time_answers_as_bare),
    cmocka_unit_test(sleep_answers_as_bare), cmocka_unit_test(usleep_answers_as_bare),
    cmocka_unit_test(pause_answers_as_bare), cmocka_unit_test(sigsuspend_answers_as_bare),
    cmocka_unit_test(sigsuspend_sees_what_was_pending), cmocka_unit_test(sigwait_answers_as_bare),
    cmocka_unit_test(sigwaitinfo_answers_as_bare), cmocka_unit_test(sigtimedwait_answers_as_bare),
    cmocka_unit_test(child_that_is_never_adopted_waits_undivided),
    cmocka_unit_test(owner_and_vfork_child_have_no_calm_points),
    cmocka_unit_test(divided_wait_is_a_cancellation_point))
