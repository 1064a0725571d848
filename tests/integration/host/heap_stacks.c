/* SPDX-License-Identifier: MIT */
/*
 * `heap_stacks MODULE COPY`: allocates on the smallest thread stack there is, on an alternate
 * signal stack and on fibers, each at a site of its own name; then where what was readable above
 * the stack pointer has gone since it was looked at: a fiber whose place was a larger one's, and a
 * thread whose stack lies below memory that is unmapped. Those call MODULE and its COPY, which they
 * have just loaded. Prints "ready" and waits for a line.
 */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

typedef void *module_site_fn(size_t size_bytes);
static module_site_fn *module_site;
static char **module_paths;

static void check(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

#define SITE(NAME, BYTES)                                                                          \
    __attribute__((noinline)) void NAME(void);                                                     \
    void NAME(void)                                                                                \
    {                                                                                              \
        for (int i = 0; i < 10; i++) {                                                             \
            void *block = malloc(BYTES);                                                           \
            check(block != NULL, #NAME);                                                           \
            memset(block, 1, BYTES);                                                               \
        }                                                                                          \
    }
SITE(site_min_stack, 101)
SITE(site_alternate, 102)
SITE(site_fiber, 103)
SITE(site_large_fiber, 104)
SITE(site_below, 105)

static void load(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW);
    check(handle != NULL, "dlopen");
    module_site = (module_site_fn *)dlsym(handle, "module_site");
    check(module_site != NULL, "dlsym");
}

/* ---- threads and signal stacks ---- */

__attribute__((noinline)) void *min_body(void *unused);
void *min_body(void *unused)
{
    site_min_stack();
    return unused;
}

static void smallest_stacks(void)
{
    pthread_attr_t attributes;
    check(pthread_attr_init(&attributes) == 0, "pthread_attr_init");
    check(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0, "setstacksize");
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        check(pthread_create(&threads[i], &attributes, min_body, NULL) == 0, "pthread_create");
    for (int i = 0; i < 8; i++)
        check(pthread_join(threads[i], NULL) == 0, "pthread_join");
}

__attribute__((noinline)) void alternate_handler(int number);
void alternate_handler(int number)
{
    (void)number;
    site_alternate();
}

static void alternate_stack(void)
{
    size_t bytes = 4 * PAGE;
    char *memory = mmap(NULL, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED && mprotect(memory + PAGE, bytes, PROT_READ | PROT_WRITE) == 0,
          "alternate stack");
    stack_t stack = {.ss_sp = memory + PAGE, .ss_size = bytes};
    check(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    struct sigaction action = {.sa_handler = alternate_handler, .sa_flags = SA_ONSTACK};
    check(sigaction(SIGUSR1, &action, NULL) == 0 && raise(SIGUSR1) == 0, "signal");
}

/* ---- fibers ---- */

static ucontext_t main_context, fiber_context;

__attribute__((noinline)) void fiber_body(void);
void fiber_body(void)
{
    site_fiber();
    check(swapcontext(&fiber_context, &main_context) == 0, "swapcontext");
    site_fiber();
}

__attribute__((noinline)) void large_fiber_body(void);
void large_fiber_body(void)
{
    volatile char deep[28 * PAGE];
    memset((char *)deep, 1, sizeof(deep));
    site_large_fiber();
    deep[0] = 2;
}

/* Calls function with a frame pointer that leads astray, and without a word for unwinders. */
void stray_call(void (*function)(void), void *frame_pointer);
__asm__(".text\n.globl stray_call\n.type stray_call, @function\nstray_call:\n"
        "pushq %rbp\nmovq %rsi, %rbp\ncall *%rdi\npopq %rbp\nret\n"
        ".size stray_call, .-stray_call\n");
SITE(site_stray, 108)
static char *gone;

__attribute__((noinline)) void small_fiber_body(void);
void small_fiber_body(void)
{
    load(module_paths[0]);
    for (int i = 0; i < 10; i++)
        check(module_site(106) != NULL, "malloc");
    stray_call(site_stray, gone + 256);
}

static void run_fiber(void *stack, size_t bytes, void (*body)(void), int times)
{
    check(getcontext(&fiber_context) == 0, "getcontext");
    fiber_context.uc_stack.ss_sp = stack;
    fiber_context.uc_stack.ss_size = bytes;
    fiber_context.uc_link = &main_context;
    makecontext(&fiber_context, body, 0);
    for (int i = 0; i < times; i++)
        check(swapcontext(&main_context, &fiber_context) == 0, "swapcontext");
}

static char *reserve(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    return memory;
}

static void fibers(void)
{
    char *memory = reserve(16 * PAGE);
    check(mprotect(memory, PAGE, PROT_NONE) == 0, "mprotect");
    run_fiber(memory + PAGE, 15 * PAGE, fiber_body, 2);
    /* Where a large one was, a small one, and nothing above it. Nothing in between allocates. */
    char *place = reserve(32 * PAGE);
    usleep(1500000); /* code that is seen by now has its unwind rows */
    run_fiber(place, 32 * PAGE, large_fiber_body, 1);
    check(mprotect(place + 8 * PAGE, 24 * PAGE, PROT_NONE) == 0, "mprotect");
    gone = place + 20 * PAGE;
    run_fiber(place, 8 * PAGE, small_fiber_body, 1);
}

/* ---- a stack below memory that goes ---- */

static char *above;

__attribute__((noinline)) void *below_body(void *unused);
void *below_body(void *unused)
{
    site_below();
    check(mprotect(above, 16 * PAGE, PROT_NONE) == 0, "mprotect");
    load(module_paths[1]);
    for (int i = 0; i < 10; i++)
        check(module_site(107) != NULL, "malloc");
    return unused;
}

static void below(void)
{
    size_t bytes = 32 * PAGE;
    char *memory = reserve(bytes + 16 * PAGE);
    above = memory + bytes;
    pthread_attr_t attributes;
    pthread_t thread;
    check(pthread_attr_init(&attributes) == 0 &&
              pthread_attr_setstack(&attributes, memory, bytes) == 0,
          "pthread_attr_setstack");
    check(pthread_create(&thread, &attributes, below_body, NULL) == 0 &&
              pthread_join(thread, NULL) == 0,
          "thread");
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    module_paths = argv + 1;
    smallest_stacks();
    alternate_stack();
    fibers();
    below();
    puts("ready");
    fflush(stdout);
    while (getchar() != '\n')
        if (feof(stdin))
            return 3;
    return 0;
}
