/* SPDX-License-Identifier: MIT */
/*
 * `thread_exits MS`: for MS milliseconds starts threads that use a little CPU and end by every
 * route: return, pthread_exit, cancellation, a raw exit system call, detached. Prints "ended N" and
 * then waits for the end of its standard input.
 * `thread_exits MS process`: after MS a thread ends the whole process, with status 5.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;
static _Atomic int detached;

static void burn(int times)
{
    for (int i = 0; i < times; i++)
        sink = sink * 6364136223846793005u + 1;
}

static void *returns(void *argument)
{
    burn(200000);
    return argument;
}

static void *exits(void *argument)
{
    burn(200000);
    pthread_exit(argument);
}

static void *is_cancelled(void *argument)
{
    for (;;) {
        burn(20000);
        pthread_testcancel();
    }
    return argument;
}

static void *leaves_by_system_call(void *argument)
{
    burn(200000);
    (void)syscall(SYS_exit, 0);
    return argument;
}

static void *is_detached(void *argument)
{
    (void)pthread_detach(pthread_self());
    burn(200000);
    detached--;
    return argument;
}

static void *ends_the_process(void *argument)
{
    (void)argument;
    burn(200000);
    exit(5);
}

static pthread_t start(void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0) {
        perror("pthread_create");
        exit(1);
    }
    return thread;
}

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
    static void *(*const joined[])(void *) = {returns, exits, is_cancelled, leaves_by_system_call};
    if (argc < 2)
        return 2;
    long until_ms = now_ms() + strtol(argv[1], NULL, 10), count = 0;
    while (now_ms() < until_ms) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            threads[i] = start(joined[i]);
        detached++;
        (void)start(is_detached);
        (void)pthread_cancel(threads[2]);
        for (int i = 0; i < 4; i++)
            (void)pthread_join(threads[i], NULL);
        count += 5;
    }
    while (detached > 0)
        (void)sched_yield();
    printf("ended %ld\n", count);
    (void)fflush(stdout);
    if (argc > 2 && strcmp(argv[2], "process") == 0)
        (void)pthread_join(start(ends_the_process), NULL);
    while (getchar() != EOF)
        continue;
    return 0;
}
