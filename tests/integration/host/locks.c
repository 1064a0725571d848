/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait for each other, in known places and for a time that the program measures
 * itself. Reads one command a line ("NAME ROUNDS") and answers "done NAME waited=NS
 * until_unlock=NS": the time of all waits, and the part of it until the holder gave the lock back.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define HOLD_US  5000
#define WAITERS  2

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void pause_us(long us)
{
    struct timespec time = {.tv_nsec = us * 1000};
    nanosleep(&time, NULL);
}

static struct timespec in_a_minute(clockid_t clock)
{
    struct timespec until;
    clock_gettime(clock, &until);
    until.tv_sec += 60;
    return until;
}

/* ---- one holder, two waiters, round after round ---- */

struct scene {
    void (*take)(void), (*give)(void); /* by the holder */
    void (*waiter_take[WAITERS])(void);
    void (*waiter_give)(void);
};

static const struct scene *scene;
static _Atomic int round_now, waiting, finished;
static _Atomic int64_t waited_ns, since_sum_ns;

static void *wait_in_rounds(void *argument)
{
    int number = (int)(intptr_t)argument;
    for (int seen = 0;;) {
        while (round_now == seen)
            pause_us(100);
        seen = round_now;
        if (seen < 0)
            return NULL;
        int64_t since_ns = now_ns();
        since_sum_ns += since_ns;
        waiting++;
        scene->waiter_take[number]();
        waited_ns += now_ns() - since_ns;
        scene->waiter_give();
        finished++;
    }
}

static int64_t until_unlock_ns;

static void play(const struct scene *given, int rounds)
{
    pthread_t threads[WAITERS];
    scene = given;
    round_now = 0;
    waited_ns = until_unlock_ns = 0;
    for (intptr_t i = 0; i < WAITERS; i++)
        pthread_create(&threads[i], NULL, wait_in_rounds, (void *)i);
    for (int i = 1; i <= rounds; i++) {
        waiting = finished = 0;
        since_sum_ns = 0;
        given->take();
        round_now = i;
        while (waiting < WAITERS)
            pause_us(100);
        pause_us(HOLD_US);
        until_unlock_ns += WAITERS * now_ns() - since_sum_ns;
        given->give();
        while (finished < WAITERS)
            pause_us(100);
    }
    round_now = -1;
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- mutexes ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static mtx_t c11_mutex;

static NOINLINE void holder_take(void)
{
    pthread_mutex_lock(&mutex);
    __asm__ volatile("# 1");
}
static NOINLINE void holder_give(void)
{
    pthread_mutex_unlock(&mutex);
    __asm__ volatile("# 2");
}
static NOINLINE void first_waits(void)
{
    pthread_mutex_lock(&mutex);
    __asm__ volatile("# 3");
}
static NOINLINE void second_waits(void)
{
    struct timespec until = in_a_minute(CLOCK_MONOTONIC);
    pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &until);
    __asm__ volatile("# 4");
}
static NOINLINE void waiter_gives(void)
{
    pthread_mutex_unlock(&mutex);
    __asm__ volatile("# 5");
}
static const struct scene mutex_scene = {
    holder_take, holder_give, {first_waits, second_waits}, waiter_gives};

static NOINLINE void recursive_take(void)
{
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&recursive);
    __asm__ volatile("# 6");
}
static NOINLINE void recursive_inner(void)
{
    pthread_mutex_unlock(&recursive);
    __asm__ volatile("# 7");
}
static NOINLINE void recursive_outer(void)
{
    pthread_mutex_unlock(&recursive);
    __asm__ volatile("# 8");
}
static void recursive_give(void)
{
    recursive_inner();
    recursive_outer();
}
static NOINLINE void recursive_waiter_gives(void)
{
    pthread_mutex_unlock(&recursive);
    __asm__ volatile("# 101");
}
static NOINLINE void recursive_waits(void)
{
    pthread_mutex_lock(&recursive);
    __asm__ volatile("# 9");
}
static const struct scene recursive_scene = {
    recursive_take, recursive_give, {recursive_waits, recursive_waits}, recursive_waiter_gives};

static NOINLINE void c11_take(void)
{
    mtx_lock(&c11_mutex);
    __asm__ volatile("# 10");
}
static NOINLINE void c11_give(void)
{
    mtx_unlock(&c11_mutex);
    __asm__ volatile("# 11");
}
static NOINLINE void c11_waiter_gives(void)
{
    mtx_unlock(&c11_mutex);
    __asm__ volatile("# 102");
}
static NOINLINE void c11_waits(void)
{
    mtx_lock(&c11_mutex);
    __asm__ volatile("# 12");
}
static NOINLINE void c11_waits_timed(void)
{
    struct timespec until = in_a_minute(CLOCK_REALTIME);
    mtx_timedlock(&c11_mutex, &until);
    __asm__ volatile("# 13");
}
static const struct scene c11_scene = {
    c11_take, c11_give, {c11_waits, c11_waits_timed}, c11_waiter_gives};

/* ---- read-write locks ---- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static NOINLINE void writer_takes(void)
{
    pthread_rwlock_wrlock(&rwlock);
    __asm__ volatile("# 14");
}
static NOINLINE void writer_gives(void)
{
    pthread_rwlock_unlock(&rwlock);
    __asm__ volatile("# 15");
}
static NOINLINE void reader_waits(void)
{
    pthread_rwlock_rdlock(&rwlock);
    __asm__ volatile("# 16");
}
static NOINLINE void reader_takes(void)
{
    pthread_rwlock_rdlock(&rwlock);
    __asm__ volatile("# 17");
}
static NOINLINE void reader_gives(void)
{
    pthread_rwlock_unlock(&rwlock);
    __asm__ volatile("# 18");
}
static NOINLINE void writer_waits(void)
{
    struct timespec until = in_a_minute(CLOCK_REALTIME);
    pthread_rwlock_timedwrlock(&rwlock, &until);
    __asm__ volatile("# 19");
}
static const struct scene readers_scene = {
    writer_takes, writer_gives, {reader_waits, reader_waits}, reader_gives};
static const struct scene writers_scene = {
    reader_takes, reader_gives, {writer_waits, writer_waits}, writer_gives};

/* ---- conditions and semaphores: nobody holds what they wait for ---- */

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static _Atomic int items;

static void put_items(void)
{
    pthread_mutex_lock(&mutex);
    items += WAITERS;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
}
static NOINLINE void consumer_waits(void)
{
    pthread_mutex_lock(&mutex);
    while (items == 0)
        pthread_cond_wait(&condition, &mutex);
    items--;
    pthread_mutex_unlock(&mutex);
}
static NOINLINE void consumer_waits_timed(void)
{
    struct timespec until = in_a_minute(CLOCK_REALTIME);
    pthread_mutex_lock(&mutex);
    while (items == 0)
        pthread_cond_timedwait(&condition, &mutex, &until);
    items--;
    pthread_mutex_unlock(&mutex);
}
static void nothing(void)
{
}
static const struct scene condition_scene = {
    nothing, put_items, {consumer_waits, consumer_waits_timed}, nothing};

static void post_both(void)
{
    for (int i = 0; i < WAITERS; i++)
        sem_post(&semaphore);
}
static NOINLINE void semaphore_waits(void)
{
    while (sem_wait(&semaphore) != 0)
        continue;
}
static const struct scene semaphore_scene = {
    nothing, post_both, {semaphore_waits, semaphore_waits}, nothing};

/* A holder that gives its mutex back by waiting for a condition. */
static NOINLINE void holder_gives_by_waiting(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 2000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    while (pthread_cond_timedwait(&never, &mutex, &until) == 0)
        continue;
    pthread_mutex_unlock(&mutex);
}
static const struct scene waiting_scene = {
    holder_take, holder_gives_by_waiting, {first_waits, first_waits}, waiter_gives};

/* ---- all at once, for a while ---- */

static _Atomic int storm_until_s;
static pthread_mutex_t storm_mutexes[4] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER,
                                           PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static uint64_t storm_values[4];

static NOINLINE void *storm(void *argument)
{
    unsigned seed = (unsigned)(intptr_t)argument;
    for (int64_t end_ns = now_ns() + storm_until_s * INT64_C(1000000000); now_ns() < end_ns;) {
        for (int i = 0; i < 100; i++) {
            unsigned which = rand_r(&seed) % 4;
            pthread_mutex_lock(&storm_mutexes[which]);
            storm_values[which]++;
            void *block = malloc(rand_r(&seed) % 4096);
            __asm__ volatile("" : : "r"(block));
            free(block);
            pthread_mutex_unlock(&storm_mutexes[which]);
        }
    }
    return NULL;
}

static void run_storm(int seconds)
{
    pthread_t threads[8];
    storm_until_s = seconds;
    for (intptr_t i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, storm, (void *)(i + 1));
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    until_unlock_ns = 0;
    waited_ns = (int64_t)(storm_values[0] + storm_values[1] + storm_values[2] + storm_values[3]);
}

/* A child that waits in the same way. */
static void run_child(int rounds)
{
    pid_t child = fork();
    if (child == 0) {
        pause_us(500000);
        for (;;) {
            play(&mutex_scene, rounds);
            pause_us(500000);
        }
    }
    printf("child %d\n", (int)child);
}

/* A thread that waits for ever, for what the main thread holds. */
static void *wait_for_ever(void *unused)
{
    (void)unused;
    first_waits();
    return NULL;
}

static void run_stuck(int unused)
{
    pthread_t thread;
    (void)unused;
    pthread_mutex_lock(&mutex);
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    pthread_detach(thread);
}

static const struct {
    const char *name;
    const struct scene *scene;
    void (*run)(int number);
} commands[] = {
    {"mutex", &mutex_scene, NULL},
    {"recursive", &recursive_scene, NULL},
    {"c11", &c11_scene, NULL},
    {"readers", &readers_scene, NULL},
    {"writers", &writers_scene, NULL},
    {"condition", &condition_scene, NULL},
    {"semaphore", &semaphore_scene, NULL},
    {"waiting", &waiting_scene, NULL},
    {"storm", NULL, run_storm},
    {"child", NULL, run_child},
    {"stuck", NULL, run_stuck},
};

int main(void)
{
    char line[64], name[32];
    int number;
    setvbuf(stdout, NULL, _IOLBF, 0);
    mtx_init(&c11_mutex, mtx_plain);
    sem_init(&semaphore, 0, 0);
    puts("ready");
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "%31s %d", name, &number) != 2)
            return 1;
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
            if (strcmp(commands[i].name, name) != 0)
                continue;
            if (commands[i].scene != NULL)
                play(commands[i].scene, number);
            else
                commands[i].run(number);
        }
        printf("done %s waited=%lld until_unlock=%lld\n", name, (long long)waited_ns,
               (long long)until_unlock_ns);
    }
    return 0;
}
