/* SPDX-License-Identifier: MIT */
/*
 * `late_start LIBRARY MS`: threads are there and busy before librthooks is loaded and started by
 * hand. Prints "started" and the result of rth_start.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile unsigned long sink;

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noinline)) void early_work(long until_ms);
void early_work(long until_ms)
{
    while (now_ms() < until_ms)
        for (int i = 0; i < 10000; i++)
            sink = sink * 6364136223846793005u + 1;
}

static void *early_thread(void *until_ms)
{
    early_work((long)until_ms);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[3];
    if (argc != 3)
        return 2;
    long until_ms = now_ms() + strtol(argv[2], NULL, 10);
    for (int i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, early_thread, (void *)until_ms) != 0)
            return 1;
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    int (*start)(const void *) = (int (*)(const void *))dlsym(library, "rth_start");
    if (start == NULL)
        return 4;
    printf("started %d\n", start(NULL));
    (void)fflush(stdout);
    for (int i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    return 0;
}
