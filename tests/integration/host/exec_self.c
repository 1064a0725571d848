/* SPDX-License-Identifier: MIT */
/*
 * `exec_self N`: four threads use the CPU for 40 ms, then one of them (main or another, by turns)
 * executes the program anew with N - 1. The last one prints "done".
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;
static char **arguments;

static void *burn(void *unused)
{
    for (;;)
        sink = sink * 6364136223846793005u + 1;
    return unused;
}

static void *execute(void *unused)
{
    char number[24];
    (void)snprintf(number, sizeof(number), "%ld", strtol(arguments[1], NULL, 10) - 1);
    char *next[] = {arguments[0], number, NULL};
    (void)execv("/proc/self/exe", next);
    perror("execv");
    exit(1);
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    struct timespec pause = {.tv_nsec = 40000000};
    if (argc != 2)
        return 2;
    arguments = argv;
    long left = strtol(argv[1], NULL, 10);
    if (left == 0) {
        printf("done\n");
        return 0;
    }
    for (int i = 0; i < 3; i++)
        if (pthread_create(&thread, NULL, burn, NULL) != 0)
            return 1;
    (void)nanosleep(&pause, NULL);
    if (left % 2 == 0)
        (void)execute(NULL);
    if (pthread_create(&thread, NULL, execute, NULL) != 0)
        return 1;
    (void)pthread_join(thread, NULL);
    return 1;
}
