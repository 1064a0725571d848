/* SPDX-License-Identifier: MIT */
/*
 * A program that uses SIGPROF itself: `prof_owner CPU_MS LATE` counts the ticks of its ITIMER_PROF
 * (10 ms) while it uses CPU_MS of CPU. With LATE 1 it takes the signal only after a line on
 * standard input. Prints "ready"; at the end the ticks, the microseconds of CPU, and how many ticks
 * came with another siginfo, mask or stack than asked for.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t ticks, wrong;
static volatile unsigned long sink;
static char alternate[65536];

static void on_tick(int number, siginfo_t *info, void *context)
{
    sigset_t mask;
    char here;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
    ticks++;
    wrong += number != SIGPROF || info->si_signo != SIGPROF || info->si_code != SI_KERNEL ||
             context == NULL || sigismember(&mask, SIGPROF) != 1 ||
             sigismember(&mask, SIGUSR2) != 1 || sigismember(&mask, SIGUSR1) != 0 ||
             &here < alternate || &here >= alternate + sizeof(alternate);
}

/* The clock that ITIMER_PROF runs by; it counts whole ticks of the kernel, unlike getrusage. */
#define CPU_CLOCK ((clockid_t)-8)

static long cpu_us(void)
{
    struct timespec now;
    if (clock_gettime(CPU_CLOCK, &now) != 0)
        exit(6);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    char line[16];
    if (argc != 3)
        return 2;
    printf("ready\n");
    (void)fflush(stdout);
    if (argv[2][0] == '1' && fgets(line, sizeof(line), stdin) == NULL)
        return 3;
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    struct sigaction action = {.sa_sigaction = on_tick,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    (void)sigaddset(&action.sa_mask, SIGUSR2);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGPROF, &action, NULL) != 0)
        return 4;
    struct itimerval every = {{0, 10000}, {0, 10000}};
    long start_us = cpu_us(), until_us = start_us + strtol(argv[1], NULL, 10) * 1000;
    if (setitimer(ITIMER_PROF, &every, NULL) != 0)
        return 5;
    while (cpu_us() < until_us)
        for (int i = 0; i < 100000; i++)
            sink = sink * 6364136223846793005u + 1;
    long used_us = cpu_us() - start_us;
    struct itimerval never;
    memset(&never, 0, sizeof(never));
    (void)setitimer(ITIMER_PROF, &never, NULL);
    printf("%d %ld %d\n", (int)ticks, used_us, (int)wrong);
    return 0;
}
