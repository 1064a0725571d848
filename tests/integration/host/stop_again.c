/* SPDX-License-Identifier: MIT */
/*
 * `stop_again`: a busy program that is told by letters what to do, and prints what came of it.
 * s: rth_stop; r: rth_start; h: a handler of its own for SIGPROF; a: the action that is in force
 * for every signal that a profiler could use ("own", "default" or "other", and the number of
 * others); k: sends itself SIGPROF, and prints how often its handler ran. Ends with its input.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

static volatile unsigned long sink;
static volatile sig_atomic_t ticks;

static void *burn(void *unused)
{
    for (;;)
        sink = sink * 6364136223846793005u + 1;
    return unused;
}

static void own_handler(int number)
{
    (void)number;
    ticks++;
}

static void print_actions(void)
{
    struct sigaction action;
    const char *prof = "other";
    int others = 0;
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (sigaction(number, NULL, &action) != 0)
            continue;
        others += action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
                  action.sa_handler != own_handler;
        if (number == SIGPROF)
            prof = action.sa_handler == own_handler ? "own"
                   : action.sa_handler == SIG_DFL   ? "default"
                                                    : "other";
    }
    printf("%s %d\n", prof, others);
}

int main(void)
{
    int (*start)(const void *) = (int (*)(const void *))dlsym(RTLD_DEFAULT, "rth_start");
    int (*stop)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "rth_stop");
    struct sigaction action = {.sa_handler = own_handler};
    pthread_t thread;
    if (start == NULL || stop == NULL || pthread_create(&thread, NULL, burn, NULL) != 0)
        return 1;
    printf("ready\n");
    (void)fflush(stdout);
    for (int letter; (letter = getchar()) != EOF; (void)fflush(stdout)) {
        if (letter == 's')
            printf("stopped %d\n", stop());
        else if (letter == 'r')
            printf("started %d\n", start(NULL));
        else if (letter == 'h')
            printf("handler %d\n", sigaction(SIGPROF, &action, NULL));
        else if (letter == 'a')
            print_actions();
        else if (letter == 'k' && raise(SIGPROF) == 0)
            printf("ticks %d\n", (int)ticks);
    }
    return 0;
}
