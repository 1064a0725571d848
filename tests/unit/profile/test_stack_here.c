/* SPDX-License-Identifier: MIT */
/* A thread's own stack, from wherever it stands. */
#include "profile/stack_here.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "helper/unit.h"
#include "unwind/unwind.h"

/* No function is longer than the alignment, whatever a sanitizer adds. */
#define NOINLINE     __attribute__((noinline, aligned(1024)))
#define WRAPPER_CODE __attribute__((noinline, section("test_stack_here_code")))
#define PAGE         ((size_t)4096)
#define MAX          RTH_STACK_HERE_FRAMES_MAX

extern const char __start_test_stack_here_code[], __stop_test_stack_here_code[];

static __thread rth_frame frames[MAX];
static __thread unsigned count;
static struct rth_raw_stack raw;

static void refresh(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    (void)close(root_fd);
}

static void begin(void)
{
    refresh();
    rth__stack_here_wrappers_set((uintptr_t)__start_test_stack_here_code,
                                 (uintptr_t)__stop_test_stack_here_code);
}

static bool is_in(rth_frame frame, const void *function)
{
    uint64_t address = rth__frame_address(frame), start = (uint64_t)(uintptr_t)function;
    return address >= start && address < start + 1024;
}

#define IS_IN(frame, function) is_in(frame, (const void *)(uintptr_t)(function))
#define KEEP_FRAME             __asm__ volatile("")

/* As an API function does: its caller is the site. */
static NOINLINE void api(void)
{
    count = rth__stack_capture_nomalloc((uintptr_t)__builtin_return_address(0), frames, MAX);
    KEEP_FRAME;
}

static NOINLINE void calls_api(void)
{
    api();
    KEEP_FRAME;
}

/* As an allocation wrapper does, whose op is not in its section. */
static NOINLINE void op(void)
{
    count = rth__stack_capture_nomalloc(0, frames, MAX);
    KEEP_FRAME;
}

WRAPPER_CODE static void wrapper(void)
{
    op();
    KEEP_FRAME;
}

static NOINLINE void library(void)
{
    wrapper();
    KEEP_FRAME;
}

WRAPPER_CODE static void outer_wrapper(unsigned nested)
{
    if (nested > 0)
        outer_wrapper(nested - 1);
    else
        library();
    KEEP_FRAME;
}

static NOINLINE void program(void)
{
    outer_wrapper(0);
    KEEP_FRAME;
}

/* Of a length that is known, as a test's is not. */
static NOINLINE void calls_program(void)
{
    program();
    KEEP_FRAME;
}

static NOINLINE void program_with_nested_wrappers(void)
{
    outer_wrapper(8);
    KEEP_FRAME;
}

static void it_begins_with_the_function_that_is_returned_to(void **state)
{
    (void)state;
    begin();
    calls_api();
    assert_true(count > 2);
    assert_true(IS_IN(frames[0], calls_api));
    assert_true(IS_IN(frames[1], it_begins_with_the_function_that_is_returned_to));
}

static void it_begins_behind_the_outermost_wrapper(void **state)
{
    (void)state;
    begin();
    program();
    assert_true(count > 2);
    assert_true(IS_IN(frames[0], program));
    assert_true(IS_IN(frames[1], it_begins_behind_the_outermost_wrapper));
    program_with_nested_wrappers();
    assert_true(IS_IN(frames[0], program_with_nested_wrappers));
}

static void without_a_wrapper_or_a_caller_there_is_nothing(void **state)
{
    (void)state;
    begin();
    op();
    assert_int_equal(count, 0);
    rth__stack_here_wrappers_set(0, 0);
    program();
    assert_int_equal(count, 0);
    /* A return address that is not on the stack, but a wrapper is. */
    begin();
    count = 99;
    count = rth__stack_capture_nomalloc((uintptr_t)refresh, frames, MAX);
    assert_true(count > 0);
}

static void it_ends_where_the_room_does(void **state)
{
    rth_frame few[3];
    (void)state;
    begin();
    program();
    assert_int_equal(rth__stack_capture_nomalloc((uintptr_t)__builtin_return_address(0), few, 1),
                     1);
    assert_int_equal(rth__stack_capture_nomalloc((uintptr_t)__builtin_return_address(0), few, 0),
                     0);
}

static NOINLINE unsigned recurses(unsigned depth)
{
    unsigned volatile below = 0;
    if (depth > 0)
        below = recurses(depth - 1);
    else
        program();
    return below + 1;
}

static void a_deep_stack_loses_its_outermost_frames(void **state)
{
    (void)state;
    begin();
    assert_int_equal(recurses(20000), 20001);
    assert_int_equal(count, MAX);
    assert_true(IS_IN(frames[0], program));
    for (unsigned i = 1; i < MAX; i++)
        assert_true(IS_IN(frames[i], recurses));
    calls_program();
    assert_true(IS_IN(frames[1], calls_program));
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static bool took_raw;

static NOINLINE void raw_op(void)
{
    took_raw = rth__stack_capture_raw_nomalloc(&raw);
    KEEP_FRAME;
}

WRAPPER_CODE static void raw_wrapper(void)
{
    raw_op();
    KEEP_FRAME;
}

static NOINLINE void raw_program(void)
{
    raw_wrapper();
    KEEP_FRAME;
}

static void bytes_walked_later_give_the_same_stack(void **state)
{
    rth_frame later[MAX];
    (void)state;
    begin();
    recurses(20);
    raw_program();
    assert_true(took_raw);
    unsigned walked = rth__stack_walk_raw(&raw, later, MAX);
    program();
    /* All but the call site in this function and the innermost one. */
    assert_int_equal(walked, count);
    assert_true(IS_IN(later[0], raw_program));
    assert_true(IS_IN(later[1], bytes_walked_later_give_the_same_stack));
    for (unsigned i = 2; i < count; i++)
        assert_true(later[i] == frames[i]);
}

static NOINLINE unsigned recurses_raw(unsigned depth)
{
    unsigned volatile below = 0;
    char volatile room[512];
    room[0] = room[511] = 1;
    if (depth > 0)
        below = recurses_raw(depth - 1);
    else
        raw_program();
    return below + 1;
}

static void bytes_of_a_deep_stack_are_its_top(void **state)
{
    rth_frame later[MAX];
    (void)state;
    begin();
    assert_int_equal(recurses_raw(100), 101);
    assert_true(took_raw);
    assert_int_equal(raw.size_bytes, RTH_RAW_STACK_BYTES);
    unsigned walked = rth__stack_walk_raw(&raw, later, MAX);
    assert_in_range(walked, 15, 30);
    assert_true(IS_IN(later[0], raw_program));
    for (unsigned i = 1; i < walked; i++)
        assert_true(IS_IN(later[i], recurses_raw));
}

/* ---- other stacks ---------------------------------------------------------------------------- */

static ucontext_t here;

static void run_on(void *stack, size_t bytes, void (*function)(void))
{
    static ucontext_t there;
    assert_int_equal(getcontext(&there), 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = bytes;
    there.uc_link = &here;
    makecontext(&there, function, 0);
    assert_int_equal(swapcontext(&here, &there), 0);
}

static void *map(size_t pages)
{
    void *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static void a_coroutine_has_its_own_stack(void **state)
{
    (void)state;
    begin();
    char *memory = map(32);
    for (unsigned i = 0; i < 16; i++) { /* by turns, one above and one below */
        count = 0;
        run_on(memory + (i % 2) * 16 * PAGE, 16 * PAGE, program);
        assert_true(count >= 1);
        assert_true(IS_IN(frames[0], program));
        calls_program();
        assert_true(IS_IN(frames[1], calls_program));
    }
}

/* The memory above a small stack was readable once, and is not any more. */
static void what_lies_above_a_small_stack_may_go(void **state)
{
    rth_frame later[MAX];
    (void)state;
    begin();
    char *memory = map(16);
    run_on(memory, 8 * PAGE, program);
    assert_true(IS_IN(frames[0], program));
    assert_int_equal(munmap(memory + 8 * PAGE, 8 * PAGE), 0);
    run_on(memory, 8 * PAGE, raw_program);
    assert_true(took_raw);
    assert_true(raw.size_bytes < 8 * PAGE);
    assert_true(rth__stack_walk_raw(&raw, later, MAX) >= 1);
    assert_true(IS_IN(later[0], raw_program));
    run_on(memory, 8 * PAGE, program);
    assert_true(IS_IN(frames[0], program));
}

/* ---- many at once ---------------------------------------------------------------------------- */

static void *captures(void *argument)
{
    bool fine = true;
    for (int i = 0; i < 5000; i++) {
        count = 0;
        program();
        fine = fine && count >= 2 && IS_IN(frames[0], program) && IS_IN(frames[1], captures);
    }
    return fine ? argument : NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    pthread_t threads[24];
    int marks[24];
    (void)state;
    begin();
    for (size_t i = 0; i < 24; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, captures, &marks[i]), 0);
    for (size_t i = 0; i < 24; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &marks[i]);
    }
}

static _Atomic unsigned refused, taken, wrong;

static void on_signal(int signal_number)
{
    (void)signal_number;
    rth_frame few[4];
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    unsigned got = rth__stack_capture_nomalloc(caller, few, 4);
    if (got == 0)
        refused++;
    else
        taken++;
}

/* A handler's capture on top of another is refused or right, and that one goes on. */
static void a_handler_on_top_of_a_capture_does_no_harm(void **state)
{
    (void)state;
    begin();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 200}, {0, 200}};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 200000 && (i < 20000 || refused + taken < 20); i++) {
        count = 0;
        calls_program();
        if (count < 2 || !IS_IN(frames[0], program) || !IS_IN(frames[1], calls_program))
            wrong++;
    }
    often = (struct itimerval){0};
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(wrong, 0);
}

/* ---- early, and children -----------------------------------------------------------------------
 */

static void everything_is_early_before_the_first_look(void **state)
{
    (void)state;
    assert_true(rth__stack_is_early_nomalloc(NULL, 0));
    begin();
    program();
    assert_false(rth__stack_is_early_nomalloc(frames, count));
    assert_false(rth__stack_is_early_nomalloc(NULL, 0));
}

static void a_child_captures_as_its_parent_did(void **state)
{
    (void)state;
    begin();
    program();
    pid_t pid = fork();
    if (pid == 0) {
        rth__stack_here_child_reset();
        count = 0;
        program();
        _exit(count > 2 && IS_IN(frames[0], program) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(it_begins_with_the_function_that_is_returned_to),
              cmocka_unit_test(it_begins_behind_the_outermost_wrapper),
              cmocka_unit_test(without_a_wrapper_or_a_caller_there_is_nothing),
              cmocka_unit_test(it_ends_where_the_room_does),
              cmocka_unit_test(a_deep_stack_loses_its_outermost_frames),
              cmocka_unit_test(bytes_walked_later_give_the_same_stack),
              cmocka_unit_test(bytes_of_a_deep_stack_are_its_top),
              cmocka_unit_test(a_coroutine_has_its_own_stack),
              cmocka_unit_test(what_lies_above_a_small_stack_may_go),
              cmocka_unit_test(threads_do_not_disturb_each_other),
              cmocka_unit_test(a_handler_on_top_of_a_capture_does_no_harm),
              cmocka_unit_test(everything_is_early_before_the_first_look),
              cmocka_unit_test(a_child_captures_as_its_parent_did))
