/* SPDX-License-Identifier: MIT */
/*
 * `lock_waits MODE [COUNT]`: threads that wait for locks and the like, in functions with telling
 * names. Prints "ready" when the threads are on their way into their waits, and ends with its
 * standard input.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE    __attribute__((noinline))
#define LOCKS       3
#define THREADS_MAX 2000

static pthread_mutex_t mutex[LOCKS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                       PTHREAD_MUTEX_INITIALIZER};
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static _Atomic unsigned started, futex_word;
static _Atomic int stop;
static unsigned circle; /* threads in it */
static volatile int after;

static void pause_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&left, NULL);
}

static void sleep_for_ever(void)
{
    for (;;)
        pause_ms(1000000);
}

/* ---- holders and waiters ---- */

static NOINLINE void keep_the_mutex(void)
{
    (void)pthread_mutex_lock(&mutex[0]);
    started++;
    sleep_for_ever();
    after++;
}

static NOINLINE void want_the_mutex(void)
{
    started++;
    (void)pthread_mutex_lock(&mutex[0]);
    after++;
}

static NOINLINE void keep_to_write(void)
{
    (void)pthread_rwlock_wrlock(&rwlock);
    started++;
    sleep_for_ever();
    after++;
}

static NOINLINE void keep_to_read(void)
{
    (void)pthread_rwlock_rdlock(&rwlock);
    started++;
    sleep_for_ever();
    after++;
}

static NOINLINE void want_to_read(void)
{
    started++;
    (void)pthread_rwlock_rdlock(&rwlock);
    after++;
}

static NOINLINE void want_to_write(void)
{
    started++;
    (void)pthread_rwlock_wrlock(&rwlock);
    after++;
}

static NOINLINE void want_news(void)
{
    (void)pthread_mutex_lock(&mutex[1]);
    started++;
    for (;;)
        (void)pthread_cond_wait(&condition, &mutex[1]);
}

static NOINLINE void want_a_turn(void)
{
    started++;
    while (sem_wait(&semaphore) != 0)
        continue;
    after++;
}

static NOINLINE void want_the_word(void)
{
    started++;
    for (;;)
        (void)syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static NOINLINE void go_without_unlocking(void)
{
    (void)pthread_mutex_lock(&mutex[0]);
    started++;
}

/* ---- circles ---- */

static NOINLINE void transfer(uintptr_t number)
{
    (void)pthread_mutex_lock(&mutex[number]);
    started++;
    while (started < circle)
        pause_ms(1);
    (void)pthread_mutex_lock(&mutex[(number + 1) % circle]);
    after++;
}

/* Both in the same order, each with the other's lock before its eyes all the time. */
static NOINLINE void take_turns(void)
{
    started++;
    while (!stop) {
        (void)pthread_mutex_lock(&mutex[0]);
        (void)pthread_mutex_lock(&mutex[1]);
        pause_ms(1);
        (void)pthread_mutex_unlock(&mutex[0]);
        pause_ms(1);
        (void)pthread_mutex_unlock(&mutex[1]);
    }
}

/* ---- threads ---- */

struct job {
    const char *name;
    void (*work)(void);
    void (*work_in_circle)(uintptr_t number);
    uintptr_t number;
};
static struct job jobs[THREADS_MAX];
static unsigned job_count;

static void *thread_main(void *argument)
{
    const struct job *job = argument;
    (void)pthread_setname_np(pthread_self(), job->name);
    if (job->work != NULL)
        job->work();
    else
        job->work_in_circle(job->number);
    return NULL;
}

static NOINLINE pthread_t begin_work(const char *name, void (*work)(void),
                                     void (*work_in_circle)(uintptr_t), uintptr_t number)
{
    pthread_t thread;
    struct job *job = &jobs[job_count++];
    unsigned before = started;
    *job = (struct job){name, work, work_in_circle, number};
    if (pthread_create(&thread, NULL, thread_main, job) != 0) {
        perror("lock_waits: pthread_create");
        exit(1);
    }
    while (started == before)
        pause_ms(1);
    return thread;
}

static void begin_many(const char *name, void (*work)(void), unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        (void)begin_work(name, work, NULL, 0);
}

static void begin_circle(unsigned count)
{
    static const char *const names[LOCKS] = {"worker-a", "worker-b", "worker-c"};
    circle = count;
    for (uintptr_t i = 0; i < count; i++)
        (void)begin_work(names[i], NULL, transfer, i);
}

/* Threads that come and go, waiting for the lock that is kept for a moment each time. */
static void *come_and_go(void *unused)
{
    (void)pthread_mutex_lock(&mutex[2]);
    pause_ms(1);
    (void)pthread_mutex_unlock(&mutex[2]);
    return unused;
}

static void *keep_creating(void *unused)
{
    while (!stop) {
        pthread_t thread[8];
        for (int i = 0; i < 8; i++)
            if (pthread_create(&thread[i], NULL, come_and_go, NULL) != 0)
                exit(1);
        for (int i = 0; i < 8; i++)
            (void)pthread_join(thread[i], NULL);
    }
    return unused;
}

static int begin(const char *mode, unsigned count)
{
    pthread_t thread;
    if (strcmp(mode, "mutex") == 0) {
        (void)begin_work("keeper", keep_the_mutex, NULL, 0);
        begin_many("waiter", want_the_mutex, count);
    } else if (strcmp(mode, "rwlock") == 0) {
        (void)begin_work("keeper", keep_to_write, NULL, 0);
        (void)begin_work("reader", want_to_read, NULL, 0);
        (void)begin_work("writer", want_to_write, NULL, 0);
    } else if (strcmp(mode, "readers") == 0) {
        begin_many("keeper", keep_to_read, 2);
        (void)begin_work("writer", want_to_write, NULL, 0);
    } else if (strcmp(mode, "others") == 0) {
        begin_many("condition", want_news, 2);
        (void)begin_work("semaphore", want_a_turn, NULL, 0);
        (void)begin_work("futex", want_the_word, NULL, 0);
    } else if (strcmp(mode, "circle") == 0) {
        begin_circle(count);
        begin_many("waiter", want_the_mutex, 2); /* beside it, not in it */
    } else if (strcmp(mode, "turns") == 0) {
        begin_many("turner", take_turns, 2);
    } else if (strcmp(mode, "ended") == 0) {
        (void)pthread_join(begin_work("gone", go_without_unlocking, NULL, 0), NULL);
        (void)begin_work("waiter", want_the_mutex, NULL, 0);
    } else if (strcmp(mode, "churn") == 0) {
        return pthread_create(&thread, NULL, keep_creating, NULL);
    } else {
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    char byte;
    (void)sem_init(&semaphore, 0, 0);
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    if (argc < 2 || count == 0 || count > THREADS_MAX - LOCKS || begin(argv[1], count) != 0) {
        fprintf(stderr, "usage: lock_waits MODE [COUNT]\n");
        return 2;
    }
    printf("ready\n");
    (void)fflush(stdout);
    (void)!read(STDIN_FILENO, &byte, 1);
    stop = 1;
    _exit(0);
}
