/* SPDX-License-Identifier: MIT */
/*
 * A service that links rthooks and labels what it does.
 * shares:  burns CPU time 3 : 1 : 1 under handler=/checkout (on a worker, by a context handed
 * over), under handler=/search (on the main thread) and without labels (on both), and leaves blocks
 * by every way in between; a thread stands by with role=standby. threads: creates a thread inside a
 * block, which stands by. fork:    forks inside a block; the child burns in another one. crowd:
 * uses more label sets than there is room for, then burns in one more. Prints "ready" and runs
 * until standard input ends.
 */
#include <rthooks/context.h>
#include <rthooks/label.h>
#include <rthooks/rthooks.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;
static uint64_t seed = 88172645463325252u;

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Slices of random length, so that no rhythm of ours meets one of the kernel's. */
static int64_t random_ns(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % 400000);
}

#define BURN(name)                                                                                 \
    __attribute__((noinline)) void name(int64_t for_ns);                                           \
    void name(int64_t for_ns)                                                                      \
    {                                                                                              \
        int64_t until_ns = cpu_ns() + for_ns;                                                      \
        do                                                                                         \
            for (int i = 0; i < 2000; i++)                                                         \
                sink = sink * 6364136223846793005u + 1442695040888963407u;                         \
        while (cpu_ns() < until_ns);                                                               \
    }
BURN(burn_checkout)
BURN(burn_search)
BURN(burn_unlabelled)

static int ended(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    return poll(&input, 1, 0) != 0;
}

static void want(int is_true, const char *what)
{
    if (!is_true) {
        (void)printf("wrong: %s\n", what);
        exit(3);
    }
}

/* ---- blocks that end in every way ---------------------------------------------------------- */

static int by_return(const char *way)
{
    RTH_WITH_LABELS("way", way, "handler", "/left") {
        RTH_WITH_LABELS("inner", "yes") {
            return 1;
        }
    }
    return 0;
}

static void called(void *argument)
{
    struct rth_context *context = rth_context_current();
    want(context != NULL, "rth_do has labels");
    rth_context_unref(context);
    *(int *)argument += 1;
}

static jmp_buf landing;

__attribute__((noinline)) static void jump_out(void)
{
    RTH_WITH_LABELS("handler", "/jumped")
        longjmp(landing, 1);
}

__attribute__((noinline)) static void land(void)
{
    if (setjmp(landing) == 0)
        jump_out();
}

static void leave_every_way(struct rth_labels *labels)
{
    int calls = 0;
    want(by_return("return"), "return from inside");
    RTH_WITH_LABELS("way", "goto") {
        goto out;
    }
out:
    RTH_WITH_LABELS("way", "break") {
        break;
    }
    for (int i = 0; i < 3; i++)
        RTH_WITH_LABELS("way", "continue")
            continue;
    RTH_WITH_LABELS("way", "longjmp, and an end around it")
        land();
    rth_do(labels, called, &calls);
    want(calls == 1, "rth_do calls");
    want(rth_context_current() == NULL, "nothing is left behind");
}

/* ---- shares -------------------------------------------------------------------------------- */

static struct {
    struct rth_context *context;
    int64_t for_ns;
    sem_t asked, done;
} job;

static void *worker(void *argument)
{
    for (;;) {
        (void)sem_wait(&job.asked);
        struct rth_context_token token;
        want(rth_context_attach(job.context, &token) == 0, "attach");
        burn_checkout(3 * job.for_ns);
        want(rth_context_detach(&token) == 0, "detach");
        burn_unlabelled(job.for_ns / 2);
        rth_context_unref(job.context);
        (void)sem_post(&job.done);
    }
    return argument;
}

static void *stand_by(void *argument)
{
    const char *role = argument;
    if (role != NULL)
        RTH_WITH_LABELS("role", role, "api_token", "s3cret")
            (void)pause();
    (void)pause();
    return NULL;
}

static void start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    want(pthread_create(&thread, NULL, run, argument) == 0, "pthread_create");
    (void)pthread_detach(thread);
}

static void shares(void)
{
    const char *const pairs[] = {"way", "rth_do"};
    struct rth_labels *labels;
    char standby[] = "standby";
    want(rth_labels_new(pairs, 2, &labels) == 0, "rth_labels_new");
    (void)sem_init(&job.asked, 0, 0);
    (void)sem_init(&job.done, 0, 0);
    start_thread(worker, NULL);
    start_thread(stand_by, standby);
    char handler[16] = "";
    while (!ended()) {
        job.for_ns = random_ns();
        (void)snprintf(handler, sizeof(handler), "/check%s", "out");
        RTH_WITH_LABELS("handler", handler)
            job.context = rth_context_current();
        (void)sem_post(&job.asked);
        (void)sem_wait(&job.done);
        RTH_WITH_LABELS("handler", "/search")
            burn_search(job.for_ns);
        burn_unlabelled(job.for_ns / 2);
        leave_every_way(labels);
    }
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void threads(void)
{
    RTH_WITH_LABELS("handler", "/creator")
        start_thread(stand_by, NULL);
    while (!ended())
        burn_unlabelled(1000000);
}

static void fork_inside(void)
{
    RTH_WITH_LABELS("handler", "/parent") {
        pid_t pid = fork();
        if (pid == 0) {
            while (!ended())
                RTH_WITH_LABELS("step", "child")
                    burn_search(1000000);
            _exit(0);
        }
        (void)printf("child %d\n", pid);
        (void)fflush(stdout);
    }
    while (!ended())
        burn_unlabelled(1000000);
}

static void crowd(void)
{
    RTH_WITH_LABELS("kept", "before") {
        char number[32];
        for (int i = 0; i < 100000; i++) {
            (void)snprintf(number, sizeof(number), "request %d", i);
            RTH_WITH_LABELS("id", number)
                sink++;
        }
    }
    while (!ended()) {
        RTH_WITH_LABELS("never", "seen")
            burn_search(1000000);
        RTH_WITH_LABELS("kept", "before")
            burn_checkout(1000000);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"shares", shares}, {"threads", threads}, {"fork", fork_inside}, {"crowd", crowd}};
    struct rth_opts opts = RTH_OPTS_INIT;
    opts.service = "labels";
    int error = rth_start(&opts);
    want(error == 0, "rth_start");
    (void)printf("ready\n");
    (void)fflush(stdout);
    for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
        if (strcmp(argv[1], modes[i].name) == 0)
            modes[i].run();
    (void)printf("fine\n");
    return 0;
}
