/* SPDX-License-Identifier: MIT */
#ifndef RTH_TESTS_INTERPOSE_STAGE_H
#define RTH_TESTS_INTERPOSE_STAGE_H

/*
 * Each blocking call runs twice in a forked child: libc's own, and ours while the child waits for
 * its adoption (50 ms after the first calm point). What both answered has to be equal.
 */

#include "helper/unit.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "unit/interpose/helper/fake.h"

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

static inline void on_signal(int signal_number)
{
    (void)signal_number;
    if (handler_answer != NULL)
        handler_answer->handled++;
}

/* The original of a wrapped function, or the wrapper. */
static inline void *libc_function(const char *name)
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

static inline int limit_ms(const struct scene *scene)
{
    return scene->event == NOTHING ? LONG_MS : scene->event == SHORT_NOTHING ? SHORT_MS : 20000;
}

static inline struct timespec limit_of(const struct scene *scene)
{
    if (scene->event == BAD_ARGUMENT)
        return (struct timespec){.tv_nsec = 1000000000};
    int ms = limit_ms(scene);
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Limited waits end by themselves, the others never. */
static inline bool limited(const struct scene *scene)
{
    return scene->event == NOTHING || scene->event == SHORT_NOTHING || scene->event == BAD_ARGUMENT;
}

typedef void (*call_fn)(const struct scene *scene, struct answer *answer);

/* SIGUSR2 is waited for; it is blocked in every child. */
static inline sigset_t waited_set(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGUSR2);
    return set;
}

/* ---- running a call in a child, and comparing ---- */

struct stage {
    int pipe[2];
    int listener;
    struct sockaddr_un address;
    socklen_t address_bytes;
    int started[2];
};

static inline void build_stage(struct stage *stage)
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

static inline void make_ready(const struct stage *stage, pid_t child)
{
    assert_int_equal(write(stage->pipe[1], "x", 1), 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&stage->address, stage->address_bytes),
                     0);
    (void)close(fd);
    (void)kill(child, SIGUSR2);
}

static inline char state_of(pid_t pid)
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

static inline void wait_until_asleep(pid_t child)
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
static inline void play_event(const struct stage *stage, const struct scene *scene, pid_t child)
{
    const struct timespec pause_between = {.tv_nsec = 1000000};
    enum event event = scene->event;
    bool late = event == READY_LATE || event == SIGNAL_LATE;
    while (late && !scene->bare && !fake.never_adopts && !scene->answer->adopted)
        (void)nanosleep(&pause_between, NULL);
    wait_until_asleep(child);
    /* The kernel counts a timer's slack (50 us) to what is left of a sleep: let it pass. */
    (void)nanosleep(&pause_between, NULL);
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

static inline void be_the_child(const struct stage *stage, const struct scene *scene, call_fn call)
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

static inline struct answer run_call(call_fn call, bool on_socket, enum event event, bool bare)
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

static inline void attach_once(void)
{
    if (fake.enabled == NULL)
        assert_int_equal(fake_runtime_attach(), 0);
}

/* Returns our answer, after comparing it with the bare one. */
static inline struct answer compare(call_fn call, bool on_socket, enum event event)
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

static inline void compare_late(call_fn call, bool on_socket, enum event event)
{
    struct answer ours = compare(call, on_socket, event);
    assert_true(ours.adopted);
    assert_true(ours.calm_points >= 2);
}

static inline void compare_early(call_fn call, bool on_socket, enum event event)
{
    struct answer ours = compare(call, on_socket, event);
    assert_true(ours.calm_points >= 1);
}

/* No bare counterpart: there the gap between two parts does not exist. */
static inline void handler_between_parts_interrupts(call_fn call, bool on_socket)
{
    attach_once();
    struct answer ours = run_call(call, on_socket, SIGNAL_AT_ADOPTION, false);
    assert_int_equal(ours.result, -1);
    assert_int_equal(ours.error, EINTR);
    assert_int_equal(ours.handled, 1);
    assert_true(ours.adopted);
}

static inline void waits_like_bare(call_fn call)
{
    compare_late(call, false, NOTHING);
    compare_early(call, false, SHORT_NOTHING);
    compare_early(call, false, READY_EARLY);
    compare_late(call, false, READY_LATE);
    compare_early(call, false, SIGNAL_EARLY);
    compare_late(call, false, SIGNAL_LATE);
    handler_between_parts_interrupts(call, false);
}

#endif /* RTH_TESTS_INTERPOSE_STAGE_H */
