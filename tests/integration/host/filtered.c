/* SPDX-License-Identifier: MIT */
/*
 * `filtered CALL ACTION SCOPE MS`: a program under a seccomp filter of its own. CALL: timer_create,
 * rt_sigaction or rt_sigreturn. ACTION: refuse (EPERM) or kill. SCOPE: all threads, or main (and
 * the threads it makes from then on). Then short and long threads use the CPU for MS milliseconds.
 * Prints "ready", then "done".
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long sink;

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int install(unsigned number, unsigned answer, unsigned flags)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

static void *burn(void *ms)
{
    long until_ms = now_ms() + (long)ms;
    while (now_ms() < until_ms)
        for (int i = 0; i < 10000; i++)
            sink = sink * 6364136223846793005u + 1;
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t lasting, passing;
    if (argc != 5)
        return 2;
    unsigned number = strcmp(argv[1], "timer_create") == 0   ? SYS_timer_create
                      : strcmp(argv[1], "rt_sigaction") == 0 ? SYS_rt_sigaction
                                                             : SYS_rt_sigreturn;
    unsigned answer =
        strcmp(argv[2], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | 1;
    unsigned flags = strcmp(argv[3], "all") == 0 ? SECCOMP_FILTER_FLAG_TSYNC : 0;
    long ms = strtol(argv[4], NULL, 10), until_ms = now_ms() + ms;
    printf("ready\n");
    (void)fflush(stdout);
    (void)getchar();
    if (install(number, answer, flags) != 0) {
        perror("seccomp");
        return 3;
    }
    until_ms = now_ms() + ms;
    printf("filtered\n");
    (void)fflush(stdout);
    if (pthread_create(&lasting, NULL, burn, (void *)ms) != 0)
        return 1;
    while (now_ms() < until_ms) {
        if (pthread_create(&passing, NULL, burn, (void *)5L) != 0)
            return 1;
        (void)pthread_join(passing, NULL);
    }
    (void)pthread_join(lasting, NULL);
    printf("done\n");
    return 0;
}
