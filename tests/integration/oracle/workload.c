/* SPDX-License-Identifier: MIT */
#include "oracle/workload.h"

#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <wchar.h>

#define NOINLINE __attribute__((noinline))

unsigned char workload_alternate_stack[WORKLOAD_ALTERNATE_BYTES];

static volatile uint64_t sink;

/* Frames that save more and more registers. */
static NOINLINE uint64_t leaf(uint64_t a, uint64_t b)
{
    return a * 31 + b;
}

static NOINLINE uint64_t saves_some(uint64_t a)
{
    uint64_t first = leaf(a, 1), second = leaf(first, 2);
    return leaf(first, second) ^ first;
}

static NOINLINE uint64_t saves_all(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t x = leaf(a, b), y = leaf(b, c), z = leaf(c, a), u = leaf(x, y), v = leaf(y, z);
    uint64_t sum = saves_some(x) + leaf(y, u);
    return leaf(sum, v) + leaf(x, z) + leaf(u, v) + a + b + c + y;
}

/* Many arguments: pushed around the call. */
static NOINLINE uint64_t ten_arguments(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                                       uint64_t f, uint64_t g, uint64_t h, uint64_t i, uint64_t j)
{
    return saves_all(a + b, c + d, e + f) + g + h + i + j;
}

/* A frame of a size known at run time: counted from rbp. */
static NOINLINE uint64_t variable_frame(unsigned bytes)
{
    volatile unsigned char *local = __builtin_alloca(bytes);
    for (unsigned i = 0; i < bytes; i += 64)
        local[i] = (unsigned char)i;
    return saves_some(local[0]) + local[bytes - 1];
}

/* A stack realigned for a vector. */
static NOINLINE uint64_t realigned_frame(uint64_t a)
{
    _Alignas(64) volatile uint64_t vector[16];
    for (unsigned i = 0; i < 16; i++)
        vector[i] = leaf(a, i);
    return saves_some(vector[3]) + vector[15];
}

static NOINLINE uint64_t realigned_and_variable(unsigned bytes)
{
    _Alignas(64) volatile uint64_t vector[8] = {0};
    volatile unsigned char *local = __builtin_alloca(bytes);
    local[bytes / 2] = 3;
    vector[2] = saves_all(bytes, vector[1], local[bytes / 2]);
    return vector[2];
}

/* More than a page of locals: probed, or subtracted at once. */
static NOINLINE uint64_t large_frame(uint64_t a)
{
    volatile unsigned char local[9000];
    local[a % 9000] = (unsigned char)a;
    local[8999] = 1;
    return leaf(local[a % 9000], local[8999]);
}

/* The saves happen on one path only. */
static NOINLINE uint64_t shrink_wrapped(uint64_t a)
{
    if (a % 3 != 0)
        return a;
    uint64_t b = saves_some(a), c = saves_some(b);
    return saves_all(a, b, c);
}

static NOINLINE uint64_t tail_called(uint64_t a)
{
    return a % 2 == 0 ? saves_some(a) : leaf(a, 3);
}

static uint64_t (*volatile indirect)(uint64_t) = tail_called;

static NOINLINE uint64_t tail_caller(uint64_t a)
{
    sink += saves_some(a);
    return indirect(a + 1);
}

static NOINLINE uint64_t recursive(unsigned n)
{
    return n < 2 ? n : recursive(n - 1) + recursive(n - 2);
}

static jmp_buf jump;

static NOINLINE __attribute__((noreturn)) void jumps_away(int value)
{
    longjmp(jump, value);
}

static NOINLINE void set_and_jump(void)
{
    volatile int round = 0;
    if (setjmp(jump) < 3)
        jumps_away(++round);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    sink += saves_all((uint64_t)number, sink, 3) + variable_frame(300);
}

static void signals(void)
{
    stack_t alternate = {.ss_sp = workload_alternate_stack, .ss_size = WORKLOAD_ALTERNATE_BYTES};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    (void)sigaltstack(&alternate, NULL);
    (void)sigaction(SIGUSR1, &action, NULL);
    action.sa_flags |= SA_ONSTACK;
    (void)sigaction(SIGUSR2, &action, NULL);
    for (unsigned i = 0; i < 4; i++) {
        (void)raise(SIGUSR1);
        (void)raise(SIGUSR2);
    }
}

static int compare_ints(const void *left, const void *right)
{
    int a = *(const int *)left, b = *(const int *)right;
    return (int)saves_some(0) * 0 + (a > b) - (a < b);
}

/* libc's own code, compiled and by hand, through the PLT. */
static void library_calls(unsigned round)
{
    char text[256], other[256];
    int numbers[40];
    struct timespec now;
    regex_t regex;
    for (int i = 0; i < 40; i++)
        numbers[i] = (int)((unsigned)i * 7919u % 101u);
    qsort(numbers, 40, sizeof(numbers[0]), compare_ints);
    int key = numbers[17];
    sink += bsearch(&key, numbers, 40, sizeof(numbers[0]), compare_ints) != NULL;
    (void)snprintf(text, sizeof(text), "%d %s %.*f %#lx", numbers[round % 40], "text",
                   (int)(round % 9), 3.14159 * round, (unsigned long)sink);
    sink += (uint64_t)strtod("2.7182818284590452", NULL) + strtoul("0xfffff", NULL, 0);
    memset(other, (int)round, sizeof(other));
    memcpy(other, text, strlen(text) + 1);
    memmove(other + 3, other, 100);
    sink += (uint64_t)(strcmp(text, other) != 0) + strcspn(text, "z") +
            (strstr(text, "ext") != NULL) + (uint64_t)(strcasecmp(text, other) > 0);
    void *block = malloc(1000 + (size_t)round * 100), *block2 = calloc(3, 333);
    block = realloc(block, 5000);
    free(block2);
    free(block);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    sink +=
        (uint64_t)now.tv_nsec + (getenv("NOT_THERE") != NULL) + wcslen(L"wide") + (uint64_t)rand();
    if (round == 0 && regcomp(&regex, "^[a-c]+(x|y)*$", REG_EXTENDED) == 0) {
        sink += (uint64_t)regexec(&regex, "abcxyxy", 0, NULL, 0);
        regfree(&regex);
    }
}

void workload(void)
{
    for (unsigned round = 0; round < 12; round++) {
        sink += ten_arguments(round, 1, 2, 3, 4, 5, 6, 7, 8, 9);
        sink += variable_frame(100 + round * 70) + realigned_frame(round);
        sink += realigned_and_variable(200 + round) + large_frame(round * 700);
        sink += shrink_wrapped(round) + tail_caller(round) + recursive(11);
        set_and_jump();
        signals();
        library_calls(round);
    }
}
