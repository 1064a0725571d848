/* SPDX-License-Identifier: MIT */
/*
 * Faults on request. What is leaked stays reachable from struct faults, as real leaks mostly do: a
 * list that only grows, threads and tasks that wait for an event that never comes. It comes when
 * the program ends, so that the end is clean.
 */
#include "faults.h"

#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEAKED_THREADS_MAX 256u
#define STUCK_WORKERS      2u

/* The head of a leaked block, within its bytes. */
struct leaked_block {
    struct leaked_block *next;
};

struct faults {
    pthread_mutex_t mutex; /* the event, the blocks and the threads */
    pthread_cond_t event_came;
    bool event;
    struct leaked_block *blocks;
    uint64_t block_count, block_bytes;
    pthread_t threads[LEAKED_THREADS_MAX];
    unsigned thread_count;
    struct pool *stuck;
    pthread_mutex_t contended; /* hold_lock_ns alone */
};

/* ---- memory -------------------------------------------------------------------------------- */

__attribute__((noinline)) int leak_memory(struct faults *faults, size_t block_bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct leaked_block *block = malloc(block_bytes);
        if (!block)
            return -ENOMEM;
        memset(block, 0x5a, block_bytes); /* so that it is resident too */
        (void)pthread_mutex_lock(&faults->mutex);
        block->next = faults->blocks;
        faults->blocks = block;
        faults->block_count++;
        faults->block_bytes += block_bytes;
        (void)pthread_mutex_unlock(&faults->mutex);
    }
    return 0;
}

void free_leaked_memory(struct faults *faults, uint64_t *ret_blocks, uint64_t *ret_bytes)
{
    (void)pthread_mutex_lock(&faults->mutex);
    struct leaked_block *block = faults->blocks;
    *ret_blocks = faults->block_count;
    *ret_bytes = faults->block_bytes;
    faults->blocks = NULL;
    faults->block_count = faults->block_bytes = 0;
    (void)pthread_mutex_unlock(&faults->mutex);
    while (block) {
        struct leaked_block *next = block->next;
        free(block);
        block = next;
    }
}

/* ---- threads and tasks --------------------------------------------------------------------- */

__attribute__((noinline)) static void wait_for_event_that_never_comes(void *argument)
{
    struct faults *faults = argument;
    (void)pthread_mutex_lock(&faults->mutex);
    while (!faults->event)
        (void)pthread_cond_wait(&faults->event_came, &faults->mutex);
    (void)pthread_mutex_unlock(&faults->mutex);
}

static void *leaked_thread_main(void *argument)
{
    wait_for_event_that_never_comes(argument);
    return NULL;
}

int leak_thread(struct faults *faults)
{
    int error = EAGAIN;
    (void)pthread_mutex_lock(&faults->mutex);
    if (faults->thread_count < LEAKED_THREADS_MAX) {
        pthread_t *thread = &faults->threads[faults->thread_count];
        error = pthread_create(thread, NULL, leaked_thread_main, faults);
        if (error == 0) {
            (void)pthread_setname_np(*thread, "leaked");
            faults->thread_count++;
        }
    }
    (void)pthread_mutex_unlock(&faults->mutex);
    return -error;
}

int leak_task(struct faults *faults)
{
    return pool_submit(faults->stuck, "leaked", wait_for_event_that_never_comes, faults);
}

/* ---- a lock -------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) uint64_t hold_lock_ns(struct faults *faults, uint64_t hold_ms)
{
    uint64_t asked_ns = monotonic_ns();
    (void)pthread_mutex_lock(&faults->contended);
    uint64_t waited_ns = monotonic_ns() - asked_ns;
    struct timespec left = {.tv_sec = (time_t)(hold_ms / 1000),
                            .tv_nsec = (long)(hold_ms % 1000) * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    (void)pthread_mutex_unlock(&faults->contended);
    return waited_ns;
}

/* ---- crashes ------------------------------------------------------------------------------- */

__attribute__((noinline)) void crash_by_segv(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

__attribute__((noinline)) void crash_by_abort(void)
{
    abort();
}

/* Volatile, so that compilers cannot know that the recursion has no end. */
static volatile bool deeper = true;

__attribute__((noinline)) static unsigned fill_stack(unsigned depth)
{
    volatile unsigned char frame[512];
    frame[0] = (unsigned char)depth;
    if (deeper)
        depth = fill_stack(depth + 1);
    return depth + frame[0];
}

__attribute__((noinline)) void crash_by_stack_overflow(void)
{
    (void)fill_stack(0);
}

/* ---- start and end ------------------------------------------------------------------------- */

int faults_open(struct faults **ret_faults)
{
    struct faults *faults = calloc(1, sizeof(*faults));
    if (!faults)
        return -ENOMEM;
    int error = pool_start("stuck", STUCK_WORKERS, &faults->stuck);
    if (error != 0) {
        free(faults);
        return error;
    }
    (void)pthread_mutex_init(&faults->mutex, NULL);
    (void)pthread_cond_init(&faults->event_came, NULL);
    (void)pthread_mutex_init(&faults->contended, NULL);
    *ret_faults = faults;
    return 0;
}

void faults_close(struct faults *faults)
{
    if (!faults)
        return;
    (void)pthread_mutex_lock(&faults->mutex);
    faults->event = true;
    (void)pthread_cond_broadcast(&faults->event_came);
    (void)pthread_mutex_unlock(&faults->mutex);
    pool_stop(faults->stuck);
    for (unsigned i = 0; i < faults->thread_count; i++)
        (void)pthread_join(faults->threads[i], NULL);
    uint64_t blocks, bytes;
    free_leaked_memory(faults, &blocks, &bytes);
    (void)pthread_mutex_destroy(&faults->contended);
    (void)pthread_cond_destroy(&faults->event_came);
    (void)pthread_mutex_destroy(&faults->mutex);
    free(faults);
}
