/* SPDX-License-Identifier: MIT */
/*
 * `odd_threads KIND MS`: a thread that a sampler may stumble over uses the CPU in odd_work for MS
 * milliseconds, after a line on standard input. Prints "ready", then a line of its own, then
 * "done". raw_clone    made by a raw clone, with the thread pointer of its parent raw_no_tls   the
 * same without any thread pointer masked       blocks every signal; tells how often SIGPROF was
 * pending sigwait      blocks every signal after a while and waits for them; tells how often it got
 * SIGPROF stack_min    a stack of PTHREAD_STACK_MIN altstack     handles SIGPROF on an alternate
 * stack 2 KiB above the least possible registers    rbp holds anything, in code without unwind
 * information storm        SIGUSR2 10,000 times a second, whose handler calls backtrace() painted
 * tells how many bytes of its stack a signal needs at most: SIGUSR1 with an empty handler, then
 * whatever came main_exits   the main thread ends by pthread_exit before
 */
#include <execinfo.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES 262144
#define PAGE        4096

static long run_ms;
static volatile unsigned long sink;
static atomic_int ended;
static atomic_long count;

static long now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((noinline)) static void odd_work(long ms)
{
    for (long until_ms = now_ms() + ms; now_ms() < until_ms;)
        for (int i = 0; i < 10000; i++)
            sink = sink * 6364136223846793005u + 1;
}

static void *grow(size_t bytes)
{
    char *memory =
        mmap(NULL, bytes + (size_t)2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + PAGE, bytes, PROT_READ | PROT_WRITE) != 0)
        exit(4);
    return memory + PAGE;
}

/* ---- raw clones: no libc in them ---- */

__attribute__((noinline)) static void raw_work(void)
{
    while (atomic_load(&ended) == 0)
        for (int i = 0; i < 10000; i++)
            sink = sink * 6364136223846793005u + 1;
}

static int raw_thread(void *unused)
{
    (void)unused;
    raw_work();
    atomic_fetch_add(&ended, 1);
    for (;;)
        __asm__ volatile("syscall" ::"a"((long)SYS_exit), "D"(0L) : "rcx", "r11", "memory");
    __builtin_unreachable();
}

static void raw_clone(int more_flags)
{
    char *stack = grow(STACK_BYTES);
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    if (clone(raw_thread, stack + STACK_BYTES, flags | more_flags, NULL, NULL, NULL) < 0)
        exit(5);
    struct timespec all = {.tv_sec = run_ms / 1000};
    (void)nanosleep(&all, NULL);
    atomic_store(&ended, 1);
    while (atomic_load(&ended) < 2)
        (void)sched_yield();
}

/* ---- threads of their own ---- */

static void block_all(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
}

static void *masked(void *unused)
{
    sigset_t pending;
    block_all();
    for (long until_ms = now_ms() + run_ms; now_ms() < until_ms;) {
        odd_work(5);
        (void)sigpending(&pending);
        count += sigismember(&pending, SIGPROF) == 1;
    }
    return unused;
}

static void *waits_for_signals(void *unused)
{
    sigset_t all;
    const struct timespec moment = {.tv_nsec = 1000000};
    (void)sigfillset(&all);
    odd_work(run_ms / 3);
    block_all();
    for (long until_ms = now_ms() + 2 * run_ms / 3; now_ms() < until_ms;) {
        odd_work(3);
        count += sigtimedwait(&all, NULL, &moment) == SIGPROF;
    }
    return unused;
}

static void *plain(void *unused)
{
    odd_work(run_ms);
    return unused;
}

static void on_prof(int number)
{
    (void)number;
    count++;
}

static void *on_alternate_stack(void *unused)
{
    size_t bytes = getauxval(AT_MINSIGSTKSZ) + 2048;
    size_t whole = (bytes + PAGE - 1) / PAGE * PAGE;
    char *memory = grow(whole);
    stack_t stack = {.ss_sp = memory + (whole - bytes), .ss_size = bytes};
    struct sigaction action = {.sa_handler = on_prof, .sa_flags = SA_ONSTACK | SA_RESTART};
    memset(memory, 0x5a, whole - bytes);
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGPROF, &action, NULL) != 0)
        exit(6);
    for (long until_ms = now_ms() + run_ms; now_ms() < until_ms;)
        odd_work(10);
    /* What lies below it on its first page is not ours to write. */
    for (size_t i = 0; i < whole - bytes; i++)
        count += memory[i] != 0x5a;
    return unused;
}

/* Copies of the argument in rbp, and nothing that tells how to unwind from here. */
void registers_work(uint64_t value, uint64_t times);
__asm__(".text\n.globl registers_work\n.type registers_work, @function\nregisters_work:\n"
        "push %rbp\nmov %rdi, %rbp\n"
        "1: add $0x4f1bbcdc, %rax\n dec %rsi\n jnz 1b\n"
        "pop %rbp\nret\n.size registers_work, .-registers_work\n");

static void *uses_every_register(void *unused)
{
    char *edge = grow(PAGE);
    uint64_t seed = 88172645463325252u, values[6];
    for (long until_ms = now_ms() + run_ms; now_ms() < until_ms;) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        values[0] = seed;
        values[1] = (uintptr_t)edge + PAGE - 8 + seed % 16;
        values[2] = (uintptr_t)&seed + seed % 65536;
        values[3] = (uintptr_t)edge - 1 - seed % 16;
        values[4] = UINT64_MAX - seed % 32;
        values[5] = ((uintptr_t)&seed & ~UINT64_C(4095)) + seed % 4096;
        registers_work(values[seed >> 32 & 3], 400000);
        registers_work(values[4 + (seed >> 40 & 1)], 400000);
    }
    return unused;
}

static void unwinds(int number)
{
    void *frames[32];
    (void)number;
    count += backtrace(frames, 32) > 0;
}

static void *in_a_storm(void *unused)
{
    struct sigaction action = {.sa_handler = unwinds, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    struct itimerspec every = {{0, 100000}, {0, 100000}};
    timer_t timer;
    event._sigev_un._tid = (int)syscall(SYS_gettid);
    if (sigaction(SIGUSR2, &action, NULL) != 0 ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &every, NULL) != 0)
        exit(7);
    odd_work(run_ms);
    (void)timer_delete(timer);
    return unused;
}

/* ---- how deep a handler goes ---- */

#define PAINT 0xa5

static char *painted_low, *painted_high;

static void nothing(int number)
{
    (void)number;
}

__attribute__((noinline)) static long bytes_used(void)
{
    char *at = painted_low;
    while (at < painted_high && (unsigned char)*at == PAINT)
        at++;
    return painted_high - at;
}

/* Everything from well below this frame on is painted; then only the signal may write there. */
static void *paints(void *unused)
{
    char *here = __builtin_frame_address(0);
    (void)signal(SIGUSR1, nothing);
    /* Once before: the loader binds names deep down the stack. */
    (void)raise(SIGUSR1);
    odd_work(1);
    painted_low = here - 65536;
    painted_high = here - 1024;
    for (volatile char *at = painted_low; at < painted_high; at++)
        *at = (char)PAINT;
    (void)raise(SIGUSR1);
    long least = bytes_used();
    for (volatile char *at = painted_low; at < painted_high; at++)
        *at = (char)PAINT;
    odd_work(run_ms);
    printf("bytes %ld %ld\n", least, bytes_used());
    return unused;
}

/* ---- */

static const struct kind {
    const char *name;
    void *(*body)(void *);
} kinds[] = {{"masked", masked},    {"sigwait", waits_for_signals},
             {"stack_min", plain},  {"altstack", on_alternate_stack},
             {"storm", in_a_storm}, {"registers", uses_every_register},
             {"painted", paints},   {"main_exits", plain}};

static void *finish(void *thread)
{
    (void)pthread_join(*(pthread_t *)thread, NULL);
    printf("count %ld\ndone\n", (long)count);
    (void)fflush(stdout);
    exit(0);
}

int main(int argc, char **argv)
{
    static pthread_t thread, last;
    pthread_attr_t attributes;
    if (argc != 3)
        return 2;
    run_ms = strtol(argv[2], NULL, 10);
    printf("ready\n");
    (void)fflush(stdout);
    (void)getchar();
    (void)pthread_attr_init(&attributes);
    if (strcmp(argv[1], "stack_min") == 0)
        (void)pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN);
    if (strncmp(argv[1], "raw", 3) == 0) {
        raw_clone(strcmp(argv[1], "raw_no_tls") == 0 ? CLONE_SETTLS : 0);
        printf("count 0\ndone\n");
        return 0;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        if (pthread_create(&thread, &attributes, kinds[i].body, NULL) != 0)
            return 3;
        if (strcmp(argv[1], "main_exits") != 0)
            (void)finish(&thread);
        if (pthread_create(&last, NULL, finish, &thread) != 0)
            return 3;
        pthread_exit(NULL);
    }
    return 2;
}
