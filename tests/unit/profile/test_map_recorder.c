/* SPDX-License-Identifier: MIT */
/* What the wrappers tell becomes sites; real memory where threads compete for addresses. */
#include "helper/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/pressure.h"
#include "profile/mmap/recorder.h"
#include "record/facts.h"
#include "unwind/unwind.h"

#define PAGE ((size_t)4096)
#define BASE ((uintptr_t)0x100000000000)

static void begin(void)
{
    rth__map_recorder_child_reset();
    rth__facts_child_reset();
    assert_int_equal(rth__map_recorder_start(), 0);
}

static void refresh(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    (void)close(root_fd);
}

static struct rth_map_counts counts(void)
{
    struct rth_map_counts result;
    rth__map_counts_read(&result);
    return result;
}

/* In place of a wrapper. */
static __attribute__((noinline)) void wrapper(uintptr_t address, size_t bytes)
{
    rth__map_added_nomalloc(address, bytes, true, (uintptr_t)__builtin_return_address(0));
    __asm__ volatile("");
}

static __attribute__((noinline)) void allocator(uintptr_t address, size_t bytes)
{
    wrapper(address, bytes);
    __asm__ volatile("");
}

static void remove_all(void)
{
    rth__map_removed_nomalloc(rth__map_mark_nomalloc(), BASE, PAGE << 20);
}

static bool is_in(rth_frame frame, const void *function)
{
    uint64_t address = rth__frame_address(frame), start = (uint64_t)(uintptr_t)function;
    return address >= start && address < start + 128;
}

/* The one row; its stack begins with the caller of the wrapper. */
static void assert_row_of_allocator(uint64_t count, uint64_t bytes)
{
    struct rth_sites_copy copy;
    assert_int_equal(rth__sites_copy(&rth__map_sites, &copy), 0);
    assert_int_equal(copy.count, 1);
    assert_true(copy.rows[0].frame_count > 2);
    assert_true(is_in(copy.rows[0].frames[0], (const void *)(uintptr_t)allocator));
    assert_int_equal(copy.rows[0].values.added_count - copy.rows[0].values.removed_count, count);
    assert_int_equal(copy.rows[0].values.added_amount - copy.rows[0].values.removed_amount, bytes);
    rth__sites_copy_free(&copy);
}

static void a_mapping_has_the_stack_of_the_wrappers_caller(void **state)
{
    (void)state;
    begin();
    refresh();
    allocator(BASE, 2 * PAGE + 1);
    assert_int_equal(counts().waiting, 0);
    assert_int_equal(counts().bytes, 3 * PAGE);
    assert_row_of_allocator(1, 3 * PAGE);
    remove_all();
    assert_row_of_allocator(0, 0);
}

/* In a process of its own no code is known yet. */
static void a_stack_from_before_the_unwind_rows_waits_for_them(void **state)
{
    (void)state;
    if (rth__module_count() != 0)
        RTH_SKIP("another case has read the modules");
    begin();
    for (volatile unsigned i = 0; i < 3; i++) /* one call site, not three */
        allocator(BASE + 16 * PAGE * i, 10 * PAGE);
    assert_int_equal(counts().waiting, 3);
    rth__map_removed_nomalloc(rth__map_mark_nomalloc(), BASE, PAGE);
    rth__map_removed_nomalloc(rth__map_mark_nomalloc(), BASE + 16 * PAGE, 16 * PAGE);
    refresh();
    rth__map_recorder_resolve();
    assert_int_equal(counts().waiting, 0);
    assert_int_equal(counts().lost_stacks, 0);
    assert_row_of_allocator(2, 19 * PAGE);
    remove_all();
    assert_row_of_allocator(0, 0);
}

static void early_stacks_beyond_the_room_are_counted_as_lost(void **state)
{
    (void)state;
    if (rth__module_count() != 0)
        RTH_SKIP("another case has read the modules");
    begin();
    for (unsigned i = 0; i < 200; i++)
        allocator(BASE + 2 * PAGE * i, PAGE);
    assert_int_equal(counts().pieces, 200);
    assert_true(counts().waiting > 0);
    assert_int_equal(counts().waiting + counts().lost_stacks, 200);
    refresh();
    rth__map_recorder_resolve();
    assert_int_equal(counts().waiting, 0);
    remove_all();
    assert_int_equal(counts().bytes, 0);
}

static void a_restart_forgets_what_waits(void **state)
{
    (void)state;
    begin();
    allocator(BASE, PAGE);
    assert_int_equal(rth__map_recorder_start(), 0);
    assert_int_equal(counts().waiting, 0);
    assert_int_equal(counts().pieces, 0);
    refresh();
    rth__map_recorder_resolve();
    assert_int_equal(counts().bytes, 0);
}

static void who_watches_memory_hears_of_large_mappings_at_once(void **state)
{
    const size_t mib = (size_t)1 << 20;
    (void)state;
    begin();
    allocator(BASE, 64 * mib);
    assert_int_equal(rth__pressure_reported_bytes(), 0); /* nobody watches */
    rth__pressure_watch(UINT64_C(1) << 40, 4096, NULL);
    allocator(BASE, 3 * mib);
    allocator(BASE + 3 * mib, mib - 1);
    rth__map_added_nomalloc(BASE + 4 * mib, 8 * mib, false, 0); /* a file */
    assert_int_equal(rth__pressure_reported_bytes(), 3 * mib);
    /* Grown by 5, and one that shrinks. */
    rth__map_moved_nomalloc(rth__map_mark_nomalloc(), true, BASE, 3 * mib, BASE, 8 * mib, 0);
    rth__map_moved_nomalloc(rth__map_mark_nomalloc(), true, BASE, 8 * mib, BASE, 2 * mib, 0);
    assert_int_equal(rth__pressure_reported_bytes(), 8 * mib);
    /* Also where the profile is not made. */
    rth__map_recorder_stop();
    allocator(BASE, 2 * mib);
    assert_int_equal(rth__pressure_reported_bytes(), 10 * mib);
    rth__pressure_watch(0, 0, NULL);
}

static void nothing_is_recorded_while_stopped(void **state)
{
    (void)state;
    begin();
    refresh();
    allocator(BASE, PAGE);
    rth__map_recorder_stop();
    allocator(BASE + 8 * PAGE, PAGE);
    remove_all();
    assert_int_equal(counts().pieces, 1);
    assert_false(rth__map_is_known_nomalloc(BASE));
}

static void a_file_takes_the_place_of_memory(void **state)
{
    (void)state;
    begin();
    refresh();
    allocator(BASE, 4 * PAGE);
    rth__map_added_nomalloc(BASE + PAGE, PAGE, false, 0);
    assert_int_equal(counts().bytes, 3 * PAGE);
    assert_int_equal(counts().pieces, 2);
}

static void a_move_goes_on_with_what_was_known(void **state)
{
    (void)state;
    begin();
    refresh();
    uint64_t mark = rth__map_mark_nomalloc();
    allocator(BASE, 4 * PAGE);
    assert_true(rth__map_is_known_nomalloc(BASE + 4 * PAGE - 1));
    assert_false(rth__map_is_known_nomalloc(BASE + 4 * PAGE));
    mark = rth__map_mark_nomalloc();
    rth__map_moved_nomalloc(mark, true, BASE, 4 * PAGE, BASE + 64 * PAGE, 6 * PAGE, 0);
    assert_false(rth__map_is_known_nomalloc(BASE));
    assert_true(rth__map_is_known_nomalloc(BASE + 69 * PAGE));
    assert_int_equal(counts().bytes, 6 * PAGE);
    mark = rth__map_mark_nomalloc();
    rth__map_moved_nomalloc(mark, true, BASE + 64 * PAGE, 6 * PAGE, BASE + 64 * PAGE, PAGE, 0);
    assert_int_equal(counts().bytes, PAGE);
    /* Memory that nobody told of lands on it. */
    rth__map_moved_nomalloc(mark, false, BASE, PAGE, BASE + 64 * PAGE, PAGE, 0);
    assert_int_equal(counts().bytes, 0);
}

static void lengths_at_the_end_of_the_address_space_are_harmless(void **state)
{
    (void)state;
    begin();
    rth__map_added_nomalloc(UINTPTR_MAX - PAGE + 1, PAGE, true, 0);
    rth__map_added_nomalloc(BASE, SIZE_MAX, true, 0);
    rth__map_removed_nomalloc(UINT64_MAX, UINTPTR_MAX, SIZE_MAX);
    assert_int_equal(counts().pieces, 0);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS 4
#define TURNS   20000

static void *map(size_t bytes)
{
    void *mapped = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        abort();
    wrapper((uintptr_t)mapped, bytes);
    return mapped;
}

static void unmap(void *mapped, size_t bytes)
{
    uint64_t mark = rth__map_mark_nomalloc();
    if (munmap(mapped, bytes) != 0)
        abort();
    rth__map_removed_nomalloc(mark, (uintptr_t)mapped, bytes);
}

/* Leaves one mapping of a page. */
static void *map_and_unmap(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < TURNS; i++)
        unmap(map(3 * PAGE), 3 * PAGE);
    return map(PAGE);
}

static void threads_that_pass_addresses_around_leave_exact_sums(void **state)
{
    (void)state;
    begin();
    refresh();
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap, NULL), 0);
    void *left[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], &left[i]), 0);
    assert_int_equal(counts().pieces, THREADS);
    assert_int_equal(counts().bytes, THREADS * PAGE);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_true(rth__map_is_known_nomalloc((uintptr_t)left[i]));
        unmap(left[i], PAGE);
    }
    assert_int_equal(counts().pieces, 0);
    struct rth_sites_copy copy;
    assert_int_equal(rth__sites_copy(&rth__map_sites, &copy), 0);
    uint64_t added = 0;
    for (size_t i = 0; i < copy.count; i++) {
        added += copy.rows[i].values.added_count;
        assert_int_equal(copy.rows[i].values.added_amount, copy.rows[i].values.removed_amount);
        assert_int_equal(copy.rows[i].values.added_count, copy.rows[i].values.removed_count);
    }
    assert_int_equal(added, THREADS * (TURNS + 1));
    rth__sites_copy_free(&copy);
}

static volatile sig_atomic_t handled;

static void map_in_handler(int signal_number)
{
    (void)signal_number;
    wrapper(BASE + 1024 * PAGE, PAGE);
    rth__map_removed_nomalloc(rth__map_mark_nomalloc(), BASE + 1024 * PAGE, PAGE);
    handled = handled + 1;
}

/* A handler that interrupts the recording would wait for its own thread. */
static void a_signal_handler_never_waits_for_the_thread_it_interrupts(void **state)
{
    (void)state;
    begin();
    refresh();
    struct sigaction action = {.sa_handler = map_in_handler};
    struct itimerval often = {{0, 50}, {0, 50}}, off = {{0, 0}, {0, 0}};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (handled < 500) {
        allocator(BASE, PAGE);
        rth__map_removed_nomalloc(rth__map_mark_nomalloc(), BASE, PAGE);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &off, NULL), 0);
    remove_all();
    assert_int_equal(counts().pieces, 0);
    print_message("lost in handlers: %d\n", (int)counts().lost_nested);
}

RTH_TEST_MAIN(cmocka_unit_test(a_stack_from_before_the_unwind_rows_waits_for_them),
              cmocka_unit_test(early_stacks_beyond_the_room_are_counted_as_lost),
              cmocka_unit_test(a_mapping_has_the_stack_of_the_wrappers_caller),
              cmocka_unit_test(a_restart_forgets_what_waits),
              cmocka_unit_test(who_watches_memory_hears_of_large_mappings_at_once),
              cmocka_unit_test(nothing_is_recorded_while_stopped),
              cmocka_unit_test(a_file_takes_the_place_of_memory),
              cmocka_unit_test(a_move_goes_on_with_what_was_known),
              cmocka_unit_test(lengths_at_the_end_of_the_address_space_are_harmless),
              cmocka_unit_test(threads_that_pass_addresses_around_leave_exact_sums),
              cmocka_unit_test(a_signal_handler_never_waits_for_the_thread_it_interrupts))
