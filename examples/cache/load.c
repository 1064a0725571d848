/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"

#define NS_PER_S INT64_C(1000000000)
/* What a client that was refused waits before it comes again. */
#define REFUSED_PAUSE_NS 1000000

struct running {
    struct cache *cache;
    const struct load *load;
    int64_t begun_ns, end_ns;
    _Atomic uint64_t asked_bytes;
    _Atomic uint64_t next_key;
};

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void pause_ns(int64_t ns)
{
    struct timespec pause = {ns / NS_PER_S, ns % NS_PER_S};
    (void)nanosleep(&pause, NULL);
}

static void write_value(void *value, size_t size_bytes, uint64_t key)
{
    memset(value, (int)(key & 0xff), size_bytes);
}

/* xorshift64: sizes, not secrets. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* False: the load is over. Waits where there is a rate. */
static bool may_go_on(struct running *running, uint64_t size_bytes)
{
    const struct load *load = running->load;
    uint64_t asked = atomic_fetch_add(&running->asked_bytes, size_bytes);
    if (load->insert_bytes != 0 && asked >= load->insert_bytes)
        return false;
    int64_t now = now_ns();
    if (load->rate != 0) {
        int64_t due_ns =
            running->begun_ns + (int64_t)((double)asked / (double)load->rate * (double)NS_PER_S);
        if (due_ns > running->end_ns)
            due_ns = running->end_ns;
        if (due_ns > now) {
            pause_ns(due_ns - now);
            now = due_ns;
        }
    }
    return now < running->end_ns;
}

static void *insert_values(void *argument)
{
    struct running *running = argument;
    const struct load *load = running->load;
    uint64_t span = load->value_max_bytes - load->value_min_bytes + 1;
    uint64_t random = atomic_fetch_add(&running->next_key, 1) + UINT64_C(0x9e3779b97f4a7c15);
    for (;;) {
        uint64_t size_bytes = load->value_min_bytes + next_random(&random) % span;
        if (!may_go_on(running, size_bytes))
            return NULL;
        uint64_t key = atomic_fetch_add(&running->next_key, 1);
        if (cache_put(running->cache, key, size_bytes, write_value) != 0)
            pause_ns(REFUSED_PAUSE_NS);
    }
}

int load_run(struct cache *cache, const struct load *load)
{
    struct running running = {.cache = cache, .load = load, .begun_ns = now_ns()};
    running.end_ns = running.begun_ns + (int64_t)load->seconds * NS_PER_S;
    pthread_t *threads = calloc(load->threads, sizeof(*threads));
    if (threads == NULL)
        return -ENOMEM;
    unsigned started = 0;
    int error = 0;
    while (started < load->threads && error == 0) {
        error = -pthread_create(&threads[started], NULL, insert_values, &running);
        started += error == 0;
    }
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    free(threads);
    return error;
}
