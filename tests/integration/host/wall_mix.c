/* SPDX-License-Identifier: MIT */
/*
 * Threads that wait and work in known shares, for a wall-clock profile:
 *   poll_main      waits in poll for ever            futex_main    in a bare futex system call
 *   burn_main      always wants the CPU              half_main     naps 30 ms, uses 10 ms of CPU
 *   turns_main     naps 15 ms in one function, 45 ms in another
 *   spawn_main     makes threads (brief_main) that nap 300 ms each, one after the other
 * Prints "ready"; at each line of standard input the nanoseconds that each thread has lived, then
 * used of the CPU ("life NAME NS CPU_NS"); at its end the waits that ended early ("interrupted N").
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int interrupted;

static long long clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void nap_ms(long ms)
{
    struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
    if (nanosleep(&nap, NULL) != 0)
        __atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
}

__attribute__((noinline)) static void use_cpu_ms(long ms)
{
    long long until_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until_ns)
        for (volatile int i = 0; i < 10000; i++)
            ;
}

static void *poll_main(void *unused)
{
    for (;;)
        if (poll(NULL, 0, -1) != 0)
            __atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
    return unused;
}

static void *futex_main(void *unused)
{
    static int word;
    for (;;)
        if (syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) != 0)
            __atomic_fetch_add(&interrupted, 1, __ATOMIC_RELAXED);
    return unused;
}

static void *burn_main(void *unused)
{
    for (;;)
        use_cpu_ms(1000);
    return unused;
}

static void *half_main(void *unused)
{
    for (;;) {
        nap_ms(30);
        use_cpu_ms(10);
    }
    return unused;
}

__attribute__((noinline)) static void short_turn(void)
{
    nap_ms(15);
    __asm__ volatile(""); /* no tail call */
}

__attribute__((noinline)) static void long_turn(void)
{
    nap_ms(45);
    __asm__ volatile("");
}

static void *turns_main(void *unused)
{
    for (;;) {
        short_turn();
        long_turn();
    }
    return unused;
}

static void *brief_main(void *unused)
{
    nap_ms(300);
    __asm__ volatile("");
    return unused;
}

static void *spawn_main(void *unused)
{
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, brief_main, NULL) == 0)
            (void)pthread_join(thread, NULL);
    }
    return unused;
}

static const struct {
    const char *name;
    void *(*main)(void *);
} kinds[] = {
    {"poll_main", poll_main}, {"futex_main", futex_main}, {"burn_main", burn_main},
    {"half_main", half_main}, {"turns_main", turns_main}, {"spawn_main", spawn_main},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(void)
{
    pthread_t threads[KINDS];
    long long began_ns[KINDS];
    char line[16];
    for (size_t i = 0; i < KINDS; i++) {
        began_ns[i] = clock_ns(CLOCK_MONOTONIC);
        if (pthread_create(&threads[i], NULL, kinds[i].main, NULL) != 0)
            return 2;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        for (size_t i = 0; i < KINDS; i++) {
            clockid_t clock;
            if (pthread_getcpuclockid(threads[i], &clock) == 0)
                (void)printf("life %s %lld %lld\n", kinds[i].name,
                             clock_ns(CLOCK_MONOTONIC) - began_ns[i], clock_ns(clock));
        }
        (void)fflush(stdout);
    }
    (void)printf("interrupted %d\n", __atomic_load_n(&interrupted, __ATOMIC_RELAXED));
    (void)fflush(stdout);
    _exit(0);
}
