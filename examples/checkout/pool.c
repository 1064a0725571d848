/* SPDX-License-Identifier: MIT */
/*
 * Worker threads and the queue before them. Work is done on the account of whoever queued it: each
 * entry is a task of rthooks, made with the labels of that thread, which the worker has for as long
 * as the work runs. So a profile shows the worker's time under the handler that asked for it, and
 * the worker's own waiting under nobody; /debug/pprof/tasks shows what waits and what runs, by who
 * queued it, and the status how long entries waited.
 */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <rthooks/task.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

#define QUEUE_MAX 10000u

struct task {
    struct task *next;
    void (*run)(void *argument);
    void *argument;
    struct rth_task *traced;
};

struct pool {
    pthread_mutex_t mutex; /* all below but workers */
    pthread_cond_t changed;
    struct task *first, **end;
    unsigned queued;
    bool stopping;
    unsigned worker_count;
    pthread_t workers[];
};

static void task_run(struct task *task)
{
    (void)rth_task_start(task->traced);
    task->run(task->argument);
    rth_task_end(task->traced);
    free(task);
}

/* The next task, NULL when there will be none. */
static struct task *next_task(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    while (!pool->first && !pool->stopping)
        (void)pthread_cond_wait(&pool->changed, &pool->mutex);
    struct task *task = pool->first;
    if (task) {
        pool->first = task->next;
        if (!pool->first)
            pool->end = &pool->first;
        pool->queued--;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return task;
}

static void *worker_main(void *argument)
{
    for (;;) {
        struct task *task = next_task(argument);
        if (!task)
            return NULL;
        task_run(task);
    }
}

int pool_submit(struct pool *pool, const char *name, void (*run)(void *argument), void *argument)
{
    struct task *task = malloc(sizeof(*task));
    if (!task)
        return -ENOMEM;
    *task = (struct task){.run = run, .argument = argument};
    /* Without rthooks there is no task, and nothing is to be done about it. */
    (void)rth_task_new(name, &task->traced);
    (void)pthread_mutex_lock(&pool->mutex);
    bool taken = pool->queued < QUEUE_MAX;
    if (taken) {
        *pool->end = task;
        pool->end = &task->next;
        pool->queued++;
        (void)pthread_cond_signal(&pool->changed);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    if (taken)
        return 0;
    rth_task_end(task->traced);
    free(task);
    return -EAGAIN;
}

struct call {
    void (*run)(void *argument);
    void *argument;
    sem_t done;
};

static void call_run(void *argument)
{
    struct call *call = argument;
    call->run(call->argument);
    (void)sem_post(&call->done);
}

int pool_call(struct pool *pool, const char *name, void (*run)(void *argument), void *argument)
{
    struct call call = {.run = run, .argument = argument};
    (void)sem_init(&call.done, 0, 0);
    int error = pool_submit(pool, name, call_run, &call);
    if (error == 0)
        while (sem_wait(&call.done) != 0)
            ; /* a signal came in between */
    (void)sem_destroy(&call.done);
    return error;
}

int pool_start(const char *name, unsigned workers, struct pool **ret_pool)
{
    struct pool *pool = calloc(1, sizeof(*pool) + workers * sizeof(pool->workers[0]));
    if (!pool)
        return -ENOMEM;
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->changed, NULL);
    pool->end = &pool->first;
    while (pool->worker_count < workers) {
        pthread_t *worker = &pool->workers[pool->worker_count];
        int error = pthread_create(worker, NULL, worker_main, pool);
        if (error != 0) {
            pool_stop(pool);
            return -error;
        }
        (void)pthread_setname_np(*worker, name);
        pool->worker_count++;
    }
    *ret_pool = pool;
    return 0;
}

void pool_stop(struct pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    (void)pthread_cond_broadcast(&pool->changed);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->worker_count; i++)
        (void)pthread_join(pool->workers[i], NULL);
    (void)pthread_cond_destroy(&pool->changed);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool);
}
