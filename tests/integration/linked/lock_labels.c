/* SPDX-License-Identifier: MIT */
/*
 * A holder and a waiter with a label each: role=holder keeps a mutex 5 ms, role=waiter waits for
 * it, and again under role=consumer for a condition. Prints "ready" when that has happened 40
 * times, and runs until standard input ends.
 */
#include <rthooks/label.h>
#include <rthooks/rthooks.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static _Atomic int rounds_held, rounds_waited, items;

static void pause_us(long us)
{
    struct timespec time = {.tv_nsec = us * 1000};
    nanosleep(&time, NULL);
}

static void *holds(void *unused)
{
    (void)unused;
    for (int i = 0; i < 40; i++) {
        while (rounds_waited < i)
            pause_us(100);
        pthread_mutex_lock(&mutex);
        rounds_held = i + 1;
        RTH_WITH_LABELS("role", "holder") {
            pause_us(5000);
            pthread_mutex_unlock(&mutex);
        }
    }
    return NULL;
}

static void *waits(void *unused)
{
    (void)unused;
    for (int i = 0; i < 40; i++) {
        while (rounds_held <= i)
            pause_us(100);
        RTH_WITH_LABELS("role", "waiter") {
            pthread_mutex_lock(&mutex);
        }
        pthread_mutex_unlock(&mutex);
        rounds_waited = i + 1;
    }
    return NULL;
}

static void *consumes(void *unused)
{
    (void)unused;
    for (int i = 0; i < 40; i++) {
        pthread_mutex_lock(&mutex);
        RTH_WITH_LABELS("role", "consumer") {
            while (items == 0)
                pthread_cond_wait(&condition, &mutex);
        }
        items--;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

int main(void)
{
    pthread_t holder, waiter, consumer;
    struct rth_opts opts = RTH_OPTS_INIT;
    if (rth_start(&opts) != 0)
        return 1;
    pthread_create(&holder, NULL, holds, NULL);
    pthread_create(&waiter, NULL, waits, NULL);
    pthread_join(holder, NULL);
    pthread_join(waiter, NULL);
    pthread_create(&consumer, NULL, consumes, NULL);
    for (int i = 0; i < 40; i++) {
        pause_us(5000);
        pthread_mutex_lock(&mutex);
        items++;
        pthread_cond_signal(&condition);
        pthread_mutex_unlock(&mutex);
    }
    pthread_join(consumer, NULL);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    return 0;
}
