/* SPDX-License-Identifier: MIT */
/*
 * `watch_action`: one thread asks the kernel itself for the action of SIGPROF, again and again,
 * until standard input ends; another uses the CPU. Prints how often the action was the default
 * again after it had been another, and how often it was asked.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has it. */
struct kernel_action {
    void *handler;
    unsigned long flags;
    void *restorer;
    unsigned long mask;
};

static volatile bool stop;
static volatile unsigned long sink;
static unsigned long asked, defaults;
static bool seen;

static void *burn(void *unused)
{
    while (!stop)
        sink = sink * 6364136223846793005u + 1;
    return unused;
}

static void *watch(void *unused)
{
    while (!stop) {
        struct kernel_action action = {0};
        if (syscall(SYS_rt_sigaction, SIGPROF, NULL, &action, sizeof(action.mask)) != 0)
            break;
        asked++;
        seen = seen || action.handler != (void *)SIG_DFL;
        defaults += seen && action.handler == (void *)SIG_DFL;
    }
    return unused;
}

int main(void)
{
    pthread_t threads[2];
    if (pthread_create(&threads[0], NULL, burn, NULL) != 0 ||
        pthread_create(&threads[1], NULL, watch, NULL) != 0)
        return 1;
    printf("ready\n");
    (void)fflush(stdout);
    while (getchar() != EOF)
        continue;
    stop = true;
    for (int i = 0; i < 2; i++)
        (void)pthread_join(threads[i], NULL);
    printf("%d %lu %lu\n", seen, defaults, asked);
    return 0;
}
