/* SPDX-License-Identifier: MIT */
/*
 * What a labelled block costs a program that links librthooks.so, in nanoseconds above a bare call:
 * literals, one block in another, a value from a buffer, labels made ready, a context handed over,
 * and a call site that is entered under two handlers in turn. Also the calls of malloc meanwhile.
 * Prints a line of JSON with a list per kind, one entry per repetition.
 */
#include <rthooks/context.h>
#include <rthooks/label.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEAT_DEFAULT 20ul
#define REPEAT_MAX     1000ul
#define ROUNDS         2000000

static uint64_t malloc_calls;
extern void *__libc_malloc(size_t size_bytes);
void *malloc(size_t size_bytes)
{
    malloc_calls++;
    return __libc_malloc(size_bytes);
}

static struct rth_labels *labels;
static struct rth_context *context;
static char value[] = "/checkout";

__attribute__((noinline)) static void work(void *argument)
{
    __asm__ volatile("" ::"r"(argument) : "memory");
}

static void bare(void)
{
    work(NULL);
}

static void literals(void)
{
    RTH_WITH_LABELS("handler", "/checkout", "tenant", "acme")
        work(NULL);
}

static void nested(void)
{
    RTH_WITH_LABELS("handler", "/checkout") {
        RTH_WITH_LABELS("step", "pay")
            work(NULL);
    }
}

static void dynamic(void)
{
    RTH_WITH_LABELS("handler", value)
        work(NULL);
}

static void made_ready(void)
{
    rth_do(labels, work, NULL);
}

static void attached(void)
{
    struct rth_context_token token;
    (void)rth_context_attach(context, &token);
    work(NULL);
    (void)rth_context_detach(&token);
}

static void under_two(void)
{
    static unsigned turn;
    /* The inner call site knows one of its two parents at a time. */
    for (int i = 0; i < 2; i++) {
        if (turn++ % 2 == 0)
            RTH_WITH_LABELS("handler", "/a")
                literals();
        else
            RTH_WITH_LABELS("handler", "/b", "tenant", "other")
                literals();
    }
}

static double ns_of(void (*run)(void))
{
    struct timespec start, end;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    for (int i = 0; i < ROUNDS; i++)
        run();
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) /
           ROUNDS;
}

static const struct {
    const char *name;
    void (*run)(void);
} kinds[] = {{"literals", literals}, {"nested_two", nested},
             {"dynamic", dynamic},   {"made_ready", made_ready},
             {"attached", attached}, {"under_two_handlers_2", under_two}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static double results[KINDS][REPEAT_MAX], bares[REPEAT_MAX];

static void print_list(const char *name, const double *list, unsigned long count)
{
    (void)printf("\"%s\": [", name);
    for (unsigned long i = 0; i < count; i++)
        (void)printf("%s%.3f", i > 0 ? ", " : "", list[i]);
    (void)printf("]");
}

int main(int argc, char **argv)
{
    const char *const pairs[] = {"handler", "/checkout"};
    unsigned long repeat = argc > 1 ? strtoul(argv[1], NULL, 10) : REPEAT_DEFAULT;
    if (repeat < 1 || repeat > REPEAT_MAX) {
        (void)fprintf(stderr, "usage: bench_labels [REPEAT]   (1 to %lu)\n", REPEAT_MAX);
        return 2;
    }
    if (rth_labels_new(pairs, 2, &labels) != 0)
        return 1;
    RTH_WITH_LABELS("handler", value)
        context = rth_context_current();
    uint64_t calls_before = malloc_calls;
    for (unsigned long i = 0; i < repeat; i++) {
        bares[i] = ns_of(bare);
        for (size_t k = 0; k < KINDS; k++)
            results[k][i] = ns_of(kinds[k].run) - bares[i];
    }
    uint64_t calls = malloc_calls - calls_before;
    (void)printf("{\"rounds\": %d, \"malloc_calls\": %llu, ", ROUNDS, (unsigned long long)calls);
    print_list("bare_ns", bares, repeat);
    for (size_t k = 0; k < KINDS; k++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s_ns", kinds[k].name);
        (void)printf(", ");
        print_list(name, results[k], repeat);
    }
    (void)printf("}\n");
    return 0;
}
