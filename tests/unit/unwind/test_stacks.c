/* SPDX-License-Identifier: MIT */
/* Stacks as threads have them: libc's roots, signal frames, fibers, libraries that come and go. */
#include "helper/walk.h"

#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOINLINE __attribute__((noinline))

static struct rth_unwind_stack stack;
static volatile int after; /* work behind a call keeps it from being a jump */

/* ---- a known chain of callers -----------------------------------------------------------------
 */

static uint64_t return_address[8];
static unsigned return_count;

#define RECORD_RETURN() return_address[return_count++] = ADDRESS(__builtin_return_address(0))

static void (*innermost)(void);

static NOINLINE void chain_c(void)
{
    RECORD_RETURN();
    innermost();
    after++;
}
static NOINLINE void chain_b(int words)
{
    volatile char *local = __builtin_alloca((size_t)words); /* a frame of its own size: by rbp */
    local[0] = 1;
    RECORD_RETURN();
    chain_c();
    after += local[0];
}
static NOINLINE void chain_a(void (*function)(void))
{
    return_count = 0;
    innermost = function;
    RECORD_RETURN();
    chain_b(100);
    after++;
}

/* The chain is the frames from `first` on, innermost first, and the root is behind it. */
static void assert_chain_from(unsigned first)
{
    assert_int_equal(return_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(frame_at(first + i) + 1, return_address[2 - i]);
    assert_ends(RTH_UNWIND_ROOT);
}

static void walk_from_innermost(void)
{
    WALK_HERE(&stack, test_cache());
}

static void the_main_thread_is_walked_to_its_root(void **state)
{
    (void)state;
    tables_refresh();
    stack = own_stack();
    for (unsigned turn = 0; turn < 2; turn++) {
        chain_a(walk_from_innermost);
        assert_chain_from(2); /* leaf, then chain_c */
        assert_int_equal(frame_at(0) >> 40, ADDRESS(walk_from_innermost) >> 40);
    }
}

static void *thread_walks(void *unused)
{
    (void)unused;
    stack = own_stack();
    chain_a(walk_from_innermost);
    return NULL;
}

static void a_thread_is_walked_to_its_root(void **state)
{
    (void)state;
    pthread_t thread;
    tables_refresh();
    assert_int_equal(pthread_create(&thread, NULL, thread_walks, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_chain_from(2);
}

static void a_stack_without_a_cache_and_with_one_is_the_same(void **state)
{
    (void)state;
    static rth_frame frames[3][RTH_UNWIND_FRAMES_MAX];
    ucontext_t here;
    struct rth_registers registers;
    tables_refresh();
    stack = own_stack();
    assert_int_equal(getcontext(&here), 0);
    rth__registers_from_ucontext_sigsafe(&here, &registers);
    for (unsigned turn = 0; turn < 3; turn++) {
        walk_registers(&registers, &stack, turn == 0 ? NULL : test_cache());
        assert_ends(RTH_UNWIND_ROOT);
        memcpy(frames[turn], walked, sizeof(walked[0]) * walked_count);
    }
    assert_memory_equal(frames[0], frames[1], sizeof(walked[0]) * walked_count);
    assert_memory_equal(frames[0], frames[2], sizeof(walked[0]) * walked_count);
}

/* ---- signals ----------------------------------------------------------------------------------
 */

static uint64_t interrupted_pc;
static struct rth_registers interrupted;

static void walk_in_handler(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    const ucontext_t *where = context;
    interrupted_pc = (uint64_t)where->uc_mcontext.gregs[REG_RIP];
    rth__registers_from_ucontext_sigsafe(where, &interrupted);
    WALK_HERE(&stack, test_cache());
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void trap_here(void)
{
    __asm__ volatile("int3");
    after++;
}

static unsigned index_of_interrupted(void)
{
    for (unsigned i = 0; i < walked_count; i++) {
        if (frame_at(i) == interrupted_pc)
            return i;
    }
    fail_msg("the interrupted function is not among %u frames", walked_count);
    return 0;
}

static void a_walk_goes_through_a_signal_handler_to_what_was_interrupted(void **state)
{
    (void)state;
    tables_refresh();
    stack = own_stack();
    handle(SIGTRAP, walk_in_handler, 0);
    for (unsigned turn = 0; turn < 2; turn++) {
        chain_a(trap_here);
        /* Handler, trampoline (and a sanitizer's between them), the exact pc, its callers. */
        assert_chain_from(index_of_interrupted() + 2);
    }
}

static void a_walk_from_the_interrupted_registers_begins_with_their_pc(void **state)
{
    (void)state;
    tables_refresh();
    stack = own_stack();
    handle(SIGTRAP, walk_in_handler, 0);
    chain_a(trap_here);
    assert_int_equal(interrupted.known, RTH_REGISTERS_ALL);
    /* The frames below are still in place: nothing was called since that would reach so deep. */
    walk_registers(&interrupted, &stack, NULL);
    assert_int_equal(frame_at(0), interrupted_pc);
}

static void walk_on_alternate_stack(void *memory, size_t size_bytes)
{
    stack_t alternate = {.ss_sp = memory, .ss_size = size_bytes}, old;
    assert_int_equal(sigaltstack(&alternate, &old), 0);
    handle(SIGTRAP, walk_in_handler, SA_ONSTACK);
    stack.probe = true; /* the limits are those of the thread's own stack */
    chain_a(trap_here);
    old.ss_flags |= SS_DISABLE;
    assert_int_equal(sigaltstack(&old, NULL), 0);
    assert_chain_from(index_of_interrupted() + 2);
}

static void an_alternate_stack_leads_back_to_the_stack_above_it(void **state)
{
    (void)state;
    static char memory[65536];
    tables_refresh();
    stack = own_stack();
    walk_on_alternate_stack(memory, sizeof(memory));
}

static void *thread_with_alternate_stack(void *memory)
{
    stack = own_stack();
    walk_on_alternate_stack(memory, 65536);
    return NULL;
}

/* The one place where a stack pointer may go down. */
static void an_alternate_stack_leads_back_to_the_stack_below_it(void **state)
{
    (void)state;
    char memory[65536]; /* on the main stack, which lies above those of threads */
    pthread_t thread;
    tables_refresh();
    assert_int_equal(pthread_create(&thread, NULL, thread_with_alternate_stack, memory), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(ADDRESS(memory) > stack.high);
}

static _Atomic unsigned nested_walks, nested_bad;

static void walk_quietly(void)
{
    ucontext_t here;
    struct rth_registers registers;
    enum rth_unwind_end end;
    rth_frame frames[64];
    (void)getcontext(&here);
    rth__registers_from_ucontext_sigsafe(&here, &registers);
    (void)rth__unwind_sigsafe(&registers, &stack, test_cache(), frames, 64, &end);
    if (end != RTH_UNWIND_ROOT)
        atomic_fetch_add(&nested_bad, 1);
    atomic_fetch_add(&nested_walks, 1);
}

static void nested_handler(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    walk_quietly();
}

/* A second signal inside a walk that uses the same cache (libunwind 425). */
static void a_walk_interrupted_by_a_walk_finds_its_cache_in_order(void **state)
{
    (void)state;
    tables_refresh();
    stack = own_stack();
    handle(SIGUSR2, nested_handler, SA_RESTART);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    struct itimerspec often = {{0, 50000}, {0, 50000}}, never = {0};
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    assert_int_equal(timer_settime(timer, 0, &often, NULL), 0);
    for (unsigned i = 0; i < 200000; i++) {
        if (i % 64 == 0)
            memset(&walk_cache, 0, sizeof(walk_cache)); /* so that slots are filled all the time */
        walk_quietly();
    }
    assert_int_equal(timer_settime(timer, 0, &never, NULL), 0);
    (void)timer_delete(timer);
    assert_int_equal(nested_bad, 0);
}

/* ---- fibers -----------------------------------------------------------------------------------
 */

static ucontext_t fiber, fiber_caller;

static void fiber_main(void)
{
    chain_a(walk_from_innermost);
    (void)swapcontext(&fiber, &fiber_caller);
}

/* A fiber's stack is none of the thread's, and a guard page lies below (ClickHouse 60460). */
static void a_fiber_with_a_guard_page_is_walked_to_its_root(void **state)
{
    (void)state;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), size_bytes = 64 * page_bytes;
    tables_refresh();
    char *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory, page_bytes, PROT_NONE), 0);
    assert_int_equal(mprotect(memory + size_bytes - page_bytes, page_bytes, PROT_NONE), 0);
    for (unsigned probe = 0; probe < 2; probe++) {
        stack = own_stack(); /* the thread's: all that is known of it */
        stack.probe = probe;
        assert_int_equal(getcontext(&fiber), 0);
        fiber.uc_stack.ss_sp = memory + page_bytes;
        fiber.uc_stack.ss_size = size_bytes - 2 * page_bytes;
        fiber.uc_link = &fiber_caller;
        makecontext(&fiber, fiber_main, 0);
        assert_int_equal(swapcontext(&fiber_caller, &fiber), 0);
        if (probe) {
            assert_chain_from(2);
        } else {
            assert_int_equal(walked_count, 1);
            assert_ends(RTH_UNWIND_UNREADABLE);
        }
    }
    assert_int_equal(munmap(memory, size_bytes), 0);
}

/* ---- blocked threads, from pc and sp alone ----------------------------------------------------
 */

static struct {
    sem_t semaphore;
    _Atomic int tid;
    struct rth_unwind_stack stack;
} sleeper;

static void sleep_in_semaphore(void)
{
    atomic_store(&sleeper.tid, gettid());
    while (sem_wait(&sleeper.semaphore) != 0)
        assert_int_equal(errno, EINTR);
}

static void *thread_sleeps(void *unused)
{
    (void)unused;
    sleeper.stack = own_stack();
    chain_a(sleep_in_semaphore);
    return NULL;
}

/* pc and sp of a sleeper, as /proc has them; false while it runs. */
static bool blocked_registers(int tid, uint64_t *ret_pc, uint64_t *ret_sp)
{
    char path[64], text[256];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", tid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        RTH_SKIP("no /proc/PID/task/TID/syscall");
    bool got = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    unsigned long pc, sp;
    if (!got || sscanf(text, "%*d %*s %*s %*s %*s %*s %*s %lx %lx", &sp, &pc) != 2)
        return false;
    *ret_pc = pc;
    *ret_sp = sp;
    return true;
}

static void a_sleeper_is_walked_from_pc_and_sp_without_being_touched(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t pc = 0, sp = 0;
    tables_refresh();
    assert_int_equal(sem_init(&sleeper.semaphore, 0, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, thread_sleeps, NULL), 0);
    while (atomic_load(&sleeper.tid) == 0 || !blocked_registers(sleeper.tid, &pc, &sp))
        test_pause_us(1000);
    struct rth_registers registers;
    rth__registers_from_pc_sp_sigsafe(pc, sp, 0, 0, &registers);
    walk_registers(&registers, &sleeper.stack, NULL);
    unsigned first = 0;
    while (first < walked_count && frame_at(first) + 1 != return_address[2])
        first++;
    assert_chain_from(first);
    assert_int_equal(sem_post(&sleeper.semaphore), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- libraries that come and go ---------------------------------------------------------------
 */

static _Atomic bool churn_ends;

static void *thread_churns(void *path)
{
    while (!atomic_load(&churn_ends)) {
        void *library = dlopen(path, RTLD_NOW);
        if (library != NULL)
            (void)dlclose(library);
    }
    return NULL;
}

static void *thread_walks_on(void *unused)
{
    (void)unused;
    static union {
        unsigned char bytes[RTH_UNWIND_CACHE_BYTES];
        uint64_t align;
    } own_cache;
    struct rth_unwind_stack own = own_stack();
    uintptr_t bad = 0;
    while (!atomic_load(&churn_ends)) {
        ucontext_t here;
        struct rth_registers registers;
        enum rth_unwind_end end;
        rth_frame frames[64];
        (void)getcontext(&here);
        rth__registers_from_ucontext_sigsafe(&here, &registers);
        (void)rth__unwind_sigsafe(&registers, &own, (struct rth_unwind_cache *)(void *)&own_cache,
                                  frames, 64, &end);
        bad += end != RTH_UNWIND_ROOT;
    }
    return (void *)bad;
}

static void libraries_come_and_go_while_others_walk_and_tables_are_made(void **state)
{
    (void)state;
    pthread_t churner, walker;
    void *bad;
    tables_refresh();
    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    if (library == NULL)
        RTH_SKIP("no libresolv.so.2");
    (void)dlclose(library);
    char name[] = "libresolv.so.2";
    assert_int_equal(pthread_create(&churner, NULL, thread_churns, name), 0);
    assert_int_equal(pthread_create(&walker, NULL, thread_walks_on, NULL), 0);
    unsigned changes = 0;
    for (unsigned i = 0; i < 2000; i++) {
        int changed = rth__unwind_refresh(root_directory());
        assert_true(changed >= 0);
        changes += changed > 0;
    }
    atomic_store(&churn_ends, true);
    assert_int_equal(pthread_join(churner, NULL), 0);
    assert_int_equal(pthread_join(walker, &bad), 0);
    assert_null(bad);
    assert_true(changes > 0);
}

static void a_library_loaded_again_keeps_its_rows(void **state)
{
    (void)state;
    struct rth_unwind_stats between, again;
    void *library = dlopen("libresolv.so.2", RTLD_NOW);
    if (library == NULL)
        RTH_SKIP("no libresolv.so.2");
    tables_refresh();
    rth__unwind_stats(&between);
    (void)dlclose(library);
    tables_refresh();
    library = dlopen("libresolv.so.2", RTLD_NOW);
    tables_refresh();
    rth__unwind_stats(&again);
    assert_int_equal(again.modules_compiled, between.modules_compiled);
    (void)dlclose(library);
}

static void the_tables_take_less_than_the_section_they_come_from(void **state)
{
    (void)state;
    struct rth_unwind_stats stats;
    tables_refresh();
    rth__unwind_stats(&stats);
    assert_true(stats.modules_compiled > 0);
    assert_int_equal(stats.fdes_refused, 0);
    assert_true(stats.row_bytes * 10 <= stats.eh_frame_bytes * 6);
}

/* ---- fork, and the cost in stack --------------------------------------------------------------
 */

static void a_forked_child_walks_and_refreshes_on_its_own(void **state)
{
    (void)state;
    tables_refresh();
    (void)rth__ranges_enter_sigsafe(); /* a reader that the child does not have */
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rth__unwind_child_reset();
        stack = own_stack();
        void *library = dlopen("libresolv.so.2", RTLD_NOW);
        bool good = rth__unwind_refresh(root_directory()) >= 0;
        chain_a(walk_from_innermost);
        good = good && walked_end == RTH_UNWIND_ROOT && walked_count > 4;
        if (library != NULL)
            (void)dlclose(library);
        good = good && rth__unwind_refresh(root_directory()) >= 0;
        _exit(good ? 0 : 1);
    }
    int status;
    rth__ranges_leave_sigsafe();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define PAINT 0xa5

static struct {
    struct rth_registers registers;
    struct rth_unwind_stack stack;
    rth_frame frames[64];
    ucontext_t context, back;
} measured;

static void measured_walk(void)
{
    enum rth_unwind_end end;
    (void)rth__unwind_sigsafe(&measured.registers, &measured.stack, test_cache(), measured.frames,
                              64, &end);
}

static void a_walk_takes_less_than_two_kibibytes_of_stack(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    RTH_SKIP("a sanitizer widens every frame");
#endif
    static unsigned char memory[65536];
    ucontext_t here;
    tables_refresh();
    measured.stack = own_stack();
    assert_int_equal(getcontext(&here), 0);
    rth__registers_from_ucontext_sigsafe(&here, &measured.registers);
    memset(memory, PAINT, sizeof(memory));
    assert_int_equal(getcontext(&measured.context), 0);
    measured.context.uc_stack.ss_sp = memory;
    measured.context.uc_stack.ss_size = sizeof(memory);
    measured.context.uc_link = &measured.back;
    makecontext(&measured.context, measured_walk, 0);
    assert_int_equal(swapcontext(&measured.back, &measured.context), 0);
    size_t untouched = 0;
    while (untouched < sizeof(memory) && memory[untouched] == PAINT)
        untouched++;
    print_message("stack used: %zu bytes\n", sizeof(memory) - untouched);
    assert_true(sizeof(memory) - untouched < 2048);
}

RTH_TEST_MAIN(cmocka_unit_test(the_main_thread_is_walked_to_its_root),
              cmocka_unit_test(a_thread_is_walked_to_its_root),
              cmocka_unit_test(a_stack_without_a_cache_and_with_one_is_the_same),
              cmocka_unit_test(a_walk_goes_through_a_signal_handler_to_what_was_interrupted),
              cmocka_unit_test(a_walk_from_the_interrupted_registers_begins_with_their_pc),
              cmocka_unit_test(an_alternate_stack_leads_back_to_the_stack_above_it),
              cmocka_unit_test(an_alternate_stack_leads_back_to_the_stack_below_it),
              cmocka_unit_test(a_walk_interrupted_by_a_walk_finds_its_cache_in_order),
              cmocka_unit_test(a_fiber_with_a_guard_page_is_walked_to_its_root),
              cmocka_unit_test(a_sleeper_is_walked_from_pc_and_sp_without_being_touched),
              cmocka_unit_test(libraries_come_and_go_while_others_walk_and_tables_are_made),
              cmocka_unit_test(a_library_loaded_again_keeps_its_rows),
              cmocka_unit_test(the_tables_take_less_than_the_section_they_come_from),
              cmocka_unit_test(a_forked_child_walks_and_refreshes_on_its_own),
              cmocka_unit_test(a_walk_takes_less_than_two_kibibytes_of_stack), )
