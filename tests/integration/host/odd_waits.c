/* SPDX-License-Identifier: MIT */
/*
 * odd_waits WHAT: threads that sleep where a careless reader of stacks goes wrong. Prints "ready",
 * and ends with its standard input.
 *   left       waits that were left by longjmp or cancellation, then another wait
 *   handler    a signal handler that waits while the thread waited
 *   names      threads with names of every kind
 *   vfork      the parent of a vfork child that lives on
 *   masked     a running thread that blocks every signal
 *   fork       a child with a thread of its own; prints its pid
 *   drop UID   threads of a process that has given up its user
 *   clone      threads that libc does not know: one runs, one sleeps
 *   churn      threads that come and go all the time
 *   move       at SIGUSR1 a thread goes from one wait to another, and a second one ends
 */
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static volatile int after; /* work behind a call keeps it from being a jump */
static sem_t never, moved;
static int pipe_fds[2];

static NOINLINE void poll_for_ever(void)
{
    struct pollfd readable = {.fd = pipe_fds[0], .events = POLLIN};
    (void)poll(&readable, 1, -1);
    after++;
}
static NOINLINE void sem_for_ever(void)
{
    while (sem_wait(&never) != 0)
        after++;
}

static pthread_t start(void *(*function)(void *), const char *name)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, (void *)name) != 0)
        exit(2);
    return thread;
}
static void set_name(const void *name)
{
    (void)prctl(PR_SET_NAME, name);
}
static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    (void)sigaction(number, &action, NULL);
}

/* ---- left ---- */

static __thread sigjmp_buf way_out;
static void jump_out(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}
static NOINLINE void leave_poll(void)
{
    if (sigsetjmp(way_out, 1) == 0)
        poll_for_ever();
    after++;
}
/* The next wait lies where the one that was left was. */
static void *left_same(void *name)
{
    set_name(name);
    leave_poll();
    sem_for_ever();
    return NULL;
}
/* The next wait lies above it: nothing writes over what was left. */
static NOINLINE void dig(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    if (depth > 0)
        dig(depth - 1);
    else
        poll_for_ever();
    after += room[0];
}
static void *left_above(void *name)
{
    set_name(name);
    if (sigsetjmp(way_out, 1) == 0)
        dig(8);
    sem_for_ever();
    return NULL;
}
static void wait_in_cleanup(void *argument)
{
    (void)argument;
    sem_for_ever();
}
static void *left_cancelled(void *name)
{
    set_name(name);
    pthread_cleanup_push(wait_in_cleanup, NULL);
    poll_for_ever();
    pthread_cleanup_pop(0);
    return NULL;
}
static void left(void)
{
    handle(SIGUSR1, jump_out);
    pthread_t same = start(left_same, "same"), above = start(left_above, "above");
    pthread_t cancelled = start(left_cancelled, "cancelled");
    usleep(100000);
    pthread_kill(same, SIGUSR1);
    pthread_kill(above, SIGUSR1);
    pthread_cancel(cancelled);
}

/* ---- handler ---- */

static NOINLINE void on_signal_poll(int number)
{
    poll_for_ever();
    after += number;
}
static NOINLINE void on_signal_sem(int number)
{
    sem_for_ever();
    after += number;
}
static void *interrupted_sleep(void *name)
{
    set_name(name);
    (void)nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    after++;
    return NULL;
}
static void handler(void)
{
    handle(SIGUSR1, on_signal_poll);
    handle(SIGUSR2, on_signal_sem);
    pthread_t polls = start(interrupted_sleep, "polls"), sems = start(interrupted_sleep, "sems");
    usleep(100000);
    pthread_kill(polls, SIGUSR1);
    pthread_kill(sems, SIGUSR2);
}

/* ---- names ---- */

static void *waits(void *name)
{
    if (name != NULL)
        set_name(name);
    for (;;)
        poll_for_ever(); /* ended by the signal that changes the user of a thread */
    return NULL;
}
static void names(void)
{
    (void)start(waits, "by prctl");
    pthread_setname_np(start(waits, NULL), "by pthread");
    (void)start(waits, "two\nlines]:");
    (void)start(waits, "caf\xc3\xa9 \xff\x1b");
}

/* ---- vfork, masked ---- */

static void *vforks(void *name)
{
    set_name(name);
    pid_t child = vfork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    return NULL;
}
static void *runs_masked(void *name)
{
    sigset_t all;
    set_name(name);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;)
        after++;
    return NULL;
}

/* ---- fork ---- */

static NOINLINE void child_main(void)
{
    (void)start(waits, "of the child");
    poll_for_ever();
    after++;
}
static void forks(void)
{
    (void)start(waits, "of the parent");
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        set_name("child");
        poll(NULL, 0, 1000); /* where it is adopted */
        child_main();
        exit(0);
    }
    printf("child %d\n", (int)child);
}

/* ---- clone ---- */

static int raw_runs(void *unused)
{
    (void)unused;
    for (;;)
        after++;
    return 0;
}
static int raw_sleeps(void *unused)
{
    (void)unused;
    for (long result;;) /* nothing of libc: this thread has no storage of its own for it */
        __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_pause) : "rcx", "r11", "memory");
    return 0;
}
static void clones(void)
{
    static char stacks[2][65536] __attribute__((aligned(16)));
    const int flags =
        CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    if (clone(raw_runs, stacks[0] + sizeof(stacks[0]), flags, NULL) < 0 ||
        clone(raw_sleeps, stacks[1] + sizeof(stacks[1]), flags, NULL) < 0)
        exit(2);
}

/* ---- churn ---- */

static void *lives_shortly(void *unused)
{
    after++;
    return unused;
}
static void *creates(void *name)
{
    set_name(name);
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, lives_shortly, NULL) == 0)
            (void)pthread_join(thread, NULL);
    }
    return NULL;
}

/* ---- drop, move ---- */

static NOINLINE void read_for_ever(void)
{
    char byte;
    after += (int)read(pipe_fds[0], &byte, 1);
    after++;
}
static void *reads(void *name)
{
    set_name(name);
    read_for_ever();
    return NULL;
}
static void drop(const char *user)
{
    uid_t id = (uid_t)atoi(user);
    (void)start(waits, "polls");
    (void)start(reads, "reads");
    if (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0)
        exit(2);
}
static void on_move(int number)
{
    (void)number;
    (void)sem_post(&moved);
    (void)sem_post(&moved);
}
static NOINLINE void first_place(void)
{
    while (sem_wait(&moved) != 0)
        after++;
    after++;
}
static NOINLINE void second_place(void)
{
    sem_for_ever();
    after++;
}
static void *moves(void *name)
{
    set_name(name);
    first_place();
    second_place();
    return NULL;
}
static NOINLINE void last_place(void)
{
    while (sem_wait(&moved) != 0)
        after++;
    after++;
}
static void *ends(void *name)
{
    set_name(name);
    last_place();
    return NULL;
}
static void move(void)
{
    (void)sem_init(&moved, 0, 0);
    handle(SIGUSR1, on_move);
    (void)start(moves, "moves");
    (void)start(ends, "ends");
    (void)start(waits, "stays");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    char byte;
    if (pipe(pipe_fds) != 0 || sem_init(&never, 0, 0) != 0)
        return 2;
    if (strcmp(what, "left") == 0)
        left();
    else if (strcmp(what, "handler") == 0)
        handler();
    else if (strcmp(what, "names") == 0)
        names();
    else if (strcmp(what, "vfork") == 0)
        (void)start(vforks, "vforks");
    else if (strcmp(what, "masked") == 0)
        (void)start(runs_masked, "masked");
    else if (strcmp(what, "fork") == 0)
        forks();
    else if (strcmp(what, "drop") == 0 && argc > 2)
        drop(argv[2]);
    else if (strcmp(what, "clone") == 0)
        clones();
    else if (strcmp(what, "churn") == 0)
        for (int i = 0; i < 4; i++)
            (void)start(creates, "creates");
    else if (strcmp(what, "move") == 0)
        move();
    else
        return 2;
    usleep(200000);
    puts("ready");
    (void)fflush(stdout);
    while (read(0, &byte, 1) != 0)
        continue;
    return 0;
}
