/* SPDX-License-Identifier: MIT */
/*
 * Known bytes at sites of their own, one size each from 16 B to 1 MiB and one of mixed sizes:
 * heap_sites THREADS. At a line on standard input it allocates and prints "site NAME OBJECTS BYTES"
 * per site and "held"; at the next one it frees all, from other threads than those that allocated,
 * and prints "freed"; ends at the third.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 8
#define MIXED       0

struct site {
    const char *name;
    size_t bytes, count;
    void *(*allocate)(size_t bytes);
    void **blocks;
    size_t all_bytes;
};

#define SITE(name)                                                                                 \
    __attribute__((noinline)) void *name(size_t bytes);                                            \
    void *name(size_t bytes)                                                                       \
    {                                                                                              \
        void *block = malloc(bytes);                                                               \
        __asm__ volatile("" : "+r"(block));                                                        \
        return block;                                                                              \
    }
SITE(site_16)
SITE(site_100)
SITE(site_1000)
SITE(site_4096)
SITE(site_20000)
SITE(site_150000)
SITE(site_1048576)
SITE(site_mixed)

/* About 24,000 samples each at 2 KiB where blocks are small; of large ones each is sampled. */
static struct site sites[] = {
    {"site_16", 16, 3000000, site_16, NULL, 0},
    {"site_100", 100, 480000, site_100, NULL, 0},
    {"site_1000", 1000, 55000, site_1000, NULL, 0},
    {"site_4096", 4096, 20000, site_4096, NULL, 0},
    {"site_20000", 20000, 3000, site_20000, NULL, 0},
    {"site_150000", 150000, 200, site_150000, NULL, 0},
    {"site_1048576", 1048576, 20, site_1048576, NULL, 0},
    {"site_mixed", MIXED, 60000, site_mixed, NULL, 0},
};
#define SITES (sizeof(sites) / sizeof(sites[0]))

static size_t threads;

static size_t size_of(const struct site *site, size_t i)
{
    return site->bytes != MIXED ? site->bytes : 16 + (i * 2654435761u) % 2033;
}

/* Thread t of all takes every block t, t + threads, …; small and large by turns. */
static void *allocates(void *number)
{
    size_t first = (size_t)(uintptr_t)number;
    for (size_t step = 0; step < 20; step++)
        for (size_t s = 0; s < SITES; s++) {
            size_t from = sites[s].count / 20 * step, to = sites[s].count / 20 * (step + 1);
            for (size_t i = from; i < to; i++)
                if (i % threads == first)
                    sites[s].blocks[i] = sites[s].allocate(size_of(&sites[s], i));
        }
    return NULL;
}

static void *frees(void *number)
{
    size_t first = ((size_t)(uintptr_t)number + 1) % threads;
    for (size_t s = 0; s < SITES; s++)
        for (size_t i = 0; i < sites[s].count; i++)
            if (i % threads == first)
                free(sites[s].blocks[i]);
    return NULL;
}

static void on_all_threads(void *(*function)(void *))
{
    pthread_t thread[THREADS_MAX];
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, function, (void *)(uintptr_t)i) != 0)
            exit(3);
    for (size_t i = 0; i < threads; i++)
        if (pthread_join(thread[i], NULL) != 0)
            exit(3);
}

static void wait_for_line(const char *said)
{
    (void)puts(said);
    (void)fflush(stdout);
    for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
        ;
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    if (threads < 1 || threads > THREADS_MAX)
        return 2;
    for (size_t s = 0; s < SITES; s++) {
        sites[s].blocks = calloc(sites[s].count, sizeof(void *));
        if (sites[s].blocks == NULL)
            return 3;
        for (size_t i = 0; i < sites[s].count; i++)
            sites[s].all_bytes += size_of(&sites[s], i);
    }
    wait_for_line("ready");
    on_all_threads(allocates);
    for (size_t s = 0; s < SITES; s++)
        (void)printf("site %s %zu %zu\n", sites[s].name, sites[s].count, sites[s].all_bytes);
    wait_for_line("held");
    on_all_threads(frees);
    wait_for_line("freed");
    return 0;
}
