/* SPDX-License-Identifier: MIT */
/*
 * A service that links rthooks and does what lines on standard input say:
 * "interval BYTES" sets the interval and prints "interval RESULT"; "run COUNT BYTES" keeps blocks
 * of counted_site; "free" frees them; "restart" stops rthooks and starts it again; "handlers" keeps
 * blocks under handler=/checkout and /search, on this thread and on one that inherits them, and
 * some under none. Prints "done" after each.
 */
#include <rthooks/label.h>
#include <rthooks/profile.h>
#include <rthooks/rthooks.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITE(name)                                                                                 \
    __attribute__((noinline)) void *name(size_t bytes);                                            \
    void *name(size_t bytes)                                                                       \
    {                                                                                              \
        void *block = malloc(bytes);                                                               \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }
SITE(counted_site)
SITE(checkout_site)
SITE(search_site)
SITE(shared_site)
SITE(bare_site)

#define KEPT_MAX 2000000
static void **kept;
static size_t kept_count;
static void *handled[4096];
static size_t handled_count;

static void keep(void *block)
{
    handled[handled_count++] = block;
}

static void *inherits(void *unused)
{
    for (int i = 0; i < 30; i++)
        keep(shared_site(200));
    return unused;
}

static void on_a_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, inherits, NULL) != 0 || pthread_join(thread, NULL) != 0)
        exit(3);
}

static void handlers(void)
{
    RTH_WITH_LABELS("handler", "/checkout") {
        for (int i = 0; i < 100; i++)
            keep(checkout_site(100));
        on_a_thread();
    }
    RTH_WITH_LABELS("handler", "/search") {
        for (int i = 0; i < 50; i++)
            keep(search_site(300));
        for (int i = 0; i < 20; i++)
            keep(shared_site(400));
    }
    for (int i = 0; i < 10; i++)
        keep(bare_site(500));
}

static void run(size_t count, size_t bytes)
{
    for (size_t i = 0; i < count && kept_count < KEPT_MAX; i++)
        kept[kept_count++] = counted_site(bytes);
}

static void free_all(void)
{
    while (kept_count > 0)
        free(kept[--kept_count]);
}

int main(void)
{
    char line[256];
    long long first;
    unsigned long count, bytes;
    kept = calloc(KEPT_MAX, sizeof(*kept));
    if (kept == NULL || rth_start(NULL) != 0)
        return 3;
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "interval %lld", &first) == 1)
            (void)printf("interval %d\n", rth_heap_interval_set(first));
        else if (sscanf(line, "run %lu %lu", &count, &bytes) == 2)
            run(count, bytes);
        else if (strcmp(line, "handlers\n") == 0)
            handlers();
        else if (strcmp(line, "free\n") == 0)
            free_all();
        else if (strcmp(line, "restart\n") == 0) {
            if (rth_stop() != 0 || rth_start(NULL) != 0)
                return 3;
        } else
            return 2;
        (void)puts("done");
        (void)fflush(stdout);
    }
    rth_stop();
    return 0;
}
