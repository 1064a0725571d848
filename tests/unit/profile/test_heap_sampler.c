/* SPDX-License-Identifier: MIT */
/* What wrappers tell becomes rows, exactly at interval 1 and without bias above it. */
#include "profile/heap/sampler.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/enable.h"
#include "helper/unit.h"
#include "os/rawsys.h"
#include "profile/stack_here.h"
#include "thread/registry.h"
#include "unwind/unwind.h"

#define NOINLINE     __attribute__((noinline))
#define WRAPPER_CODE __attribute__((noinline, section("test_heap_code")))
#define UNIT         (UINT64_C(1) << RTH_HEAP_COUNT_SHIFT)

extern const char __start_test_heap_code[], __stop_test_heap_code[];

static const uint64_t nothing_held[3] = {63, 0, 0};
static const struct rth_heap_filter *place = (const void *)nothing_held;
static struct rth_thread_shared *self;

static void show(struct rth_thread_shared *shared)
{
    self = shared;
}

static void refresh(void)
{
    int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    (void)close(root_fd);
}

/* Without rows for anybody's code. */
static void begin_early(uint64_t interval)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__thread_registry_start(show);
    assert_non_null(self);
    rth__stack_here_wrappers_set((uintptr_t)__start_test_heap_code,
                                 (uintptr_t)__stop_test_heap_code);
    assert_int_equal(rth__heap_sampler_start(&place), 0);
    rth__heap_sampler_set_interval(interval);
}

static void begin(uint64_t interval)
{
    refresh();
    begin_early(interval);
}

/* ---- in place of the interposer -------------------------------------------------------------- */

WRAPPER_CODE static void wrapper(struct rth_thread_heap *heap, uintptr_t block, size_t bytes)
{
    if (heap != NULL) {
        heap->allocs++;
        heap->bytes += bytes;
        if (heap->bytes < atomic_load_explicit(&heap->due, memory_order_relaxed))
            return;
    }
    rth__heap_allocated_nomalloc(heap, (const void *)block, bytes);
    __asm__ volatile("");
}

static struct rth_heap_sample forgotten;

static bool leave(uintptr_t block)
{
    return rth__heap_filter_may_hold(place, block) &&
           rth__heap_forget_nomalloc((const void *)block, &forgotten);
}

#define SITE(name)                                                                                 \
    static NOINLINE __attribute__((aligned(1024))) void name(uintptr_t block, size_t bytes)        \
    {                                                                                              \
        wrapper(&self->heap, block, bytes);                                                        \
        __asm__ volatile("");                                                                      \
    }
SITE(first_site)
SITE(second_site)
SITE(third_site)

static NOINLINE __attribute__((aligned(1024))) void unseen_site(uintptr_t block, size_t bytes)
{
    wrapper(NULL, block, bytes);
    __asm__ volatile("");
}

/* ---- what was recorded ----------------------------------------------------------------------- */

struct held {
    double added_objects, added_bytes, objects, bytes;
};

static bool is_in(rth_frame frame, const void *function)
{
    uint64_t address = rth__frame_address(frame), start = (uint64_t)(uintptr_t)function;
    return address >= start && address < start + 1024;
}

/* Of the rows whose innermost frame is in that function; NULL: of those without a stack. */
static struct held held_by(const void *function)
{
    struct rth_sites_copy copy;
    struct held sum = {0};
    assert_int_equal(rth__sites_copy(&rth__heap_sites, &copy), 0);
    for (size_t i = 0; i < copy.count; i++) {
        const struct rth_site_row *row = &copy.rows[i];
        if (function != NULL ? row->frame_count == 0 || !is_in(row->frames[0], function)
                             : row->frame_count != 0)
            continue;
        sum.added_objects += (double)row->values.added_count / UNIT;
        sum.added_bytes += (double)row->values.added_amount;
        sum.objects += (double)(row->values.added_count - row->values.removed_count) / UNIT;
        sum.bytes += (double)(row->values.added_amount - row->values.removed_amount);
    }
    rth__sites_copy_free(&copy);
    return sum;
}

static void assert_held(const void *function, uint64_t added_objects, uint64_t added_bytes,
                        uint64_t objects, uint64_t bytes)
{
    struct held held = held_by(function);
    assert_true(held.added_objects == (double)added_objects);
    assert_true(held.added_bytes == (double)added_bytes);
    assert_true(held.objects == (double)objects);
    assert_true(held.bytes == (double)bytes);
}

static struct rth_heap_counts counts(void)
{
    struct rth_heap_counts result;
    rth__heap_counts_read(&result);
    return result;
}

#define FIRST  ((const void *)(uintptr_t)first_site)
#define SECOND ((const void *)(uintptr_t)second_site)
#define THIRD  ((const void *)(uintptr_t)third_site)

/* ---- interval 1 ------------------------------------------------------------------------------ */

static void at_interval_one_every_block_counts_at_the_caller_of_the_wrapper(void **state)
{
    (void)state;
    begin(1);
    for (uintptr_t i = 0; i < 100; i++) {
        first_site(0x10000 + i * 16, i);
        second_site(0x20000 + i * 16, 7);
    }
    third_site(0x30000, 0); /* no bytes, and a block all the same */
    assert_held(FIRST, 100, 4950, 100, 4950);
    assert_held(SECOND, 100, 700, 100, 700);
    assert_held(THIRD, 1, 0, 1, 0);
    for (uintptr_t i = 0; i < 100; i++)
        assert_true(leave(0x10000 + i * 16));
    assert_true(leave(0x30000));
    assert_held(FIRST, 100, 4950, 0, 0);
    assert_held(SECOND, 100, 700, 100, 700);
    assert_held(THIRD, 1, 0, 0, 0);
    assert_int_equal(counts().samples, 201);
    assert_int_equal(counts().live, 100);
    assert_int_equal(counts().without_stack, 0);
}

static void a_block_is_forgotten_once_and_only_if_it_was_sampled(void **state)
{
    (void)state;
    begin(1);
    first_site(0x10000, 32);
    assert_true(rth__heap_filter_may_hold(place, 0x10000));
    assert_false(rth__heap_forget_nomalloc((const void *)0x10010, &forgotten));
    assert_false(rth__heap_forget_nomalloc(NULL, &forgotten));
    assert_true(leave(0x10000));
    assert_int_equal(forgotten.block, 0x10000);
    assert_false(rth__heap_filter_may_hold(place, 0x10000));
    assert_false(rth__heap_forget_nomalloc((const void *)0x10000, &forgotten));
    assert_held(FIRST, 1, 32, 0, 0);
}

static void a_block_that_could_not_be_moved_is_held_again_as_before(void **state)
{
    (void)state;
    begin(1);
    first_site(0x10000, 32);
    first_site(0x10020, 8);
    assert_true(leave(0x10000));
    struct rth_heap_sample kept = forgotten;
    rth__heap_remember_nomalloc(&kept);
    assert_held(FIRST, 2, 40, 2, 40);
    assert_true(rth__heap_filter_may_hold(place, 0x10000));
    assert_true(leave(0x10000));
    assert_held(FIRST, 2, 40, 1, 8);
}

static void what_an_earlier_runtime_knew_is_not_remembered(void **state)
{
    (void)state;
    begin(1);
    first_site(0x10000, 32);
    assert_true(leave(0x10000));
    struct rth_heap_sample kept = forgotten;
    rth__enable_on(getpid(), 2);
    rth__heap_remember_nomalloc(&kept);
    assert_held(FIRST, 1, 32, 0, 0);
    assert_int_equal(counts().live, 0);
}

static void an_address_sampled_twice_went_without_a_call_that_is_seen(void **state)
{
    (void)state;
    begin(1);
    first_site(0x10000, 32);
    second_site(0x10000, 64);
    assert_held(FIRST, 1, 32, 0, 0);
    assert_held(SECOND, 1, 64, 1, 64);
    assert_int_equal(counts().missed_frees, 1);
    assert_true(leave(0x10000));
    assert_held(SECOND, 1, 64, 0, 0);
}

static void a_thread_without_a_block_is_sampled_and_counted_too(void **state)
{
    const void *site = (const void *)(uintptr_t)unseen_site;
    struct rth_heap_totals before, after;
    (void)state;
    begin(1);
    rth__heap_totals_read(&before);
    for (uintptr_t i = 0; i < 10; i++)
        unseen_site(0x10000 + i * 16, 100);
    rth__heap_freed_unseen_nomalloc();
    assert_held(site, 10, 1000, 10, 1000);
    rth__heap_totals_read(&after);
    assert_int_equal(after.allocs - before.allocs, 10);
    assert_int_equal(after.bytes - before.bytes, 1000);
    assert_int_equal(after.frees - before.frees, 1);
}

/* More than are followed: they count as allocated, not as in use. */
static void blocks_beyond_the_cap_are_said_to_be_lost(void **state)
{
    (void)state;
    const size_t blocks = 340000;
    begin(1);
    for (uintptr_t i = 0; i < blocks; i++)
        first_site(0x100000 + i * 16, 10);
    struct rth_heap_counts now = counts();
    assert_true(now.live >= 300000);
    assert_true(now.live_bytes < 64u << 20);
    assert_int_equal(now.live + now.lost_live, blocks);
    assert_held(FIRST, blocks, blocks * 10, now.live, now.live * 10);
    for (uintptr_t i = 0; i < blocks; i++)
        (void)leave(0x100000 + i * 16);
    assert_held(FIRST, blocks, blocks * 10, 0, 0);
    assert_int_equal(counts().live, 0);
}

/* ---- above it -------------------------------------------------------------------------------- */

/* Blocks of one size at one site until about 40,000 are sampled; half a percent is one deviation.
 */
static void fill(void (*site)(uintptr_t block, size_t bytes), uintptr_t base, size_t bytes,
                 size_t blocks)
{
    for (size_t i = 0; i < blocks; i++)
        site(base + i * 16, bytes);
}

static void assert_about(double value, double expected, double tolerance)
{
    if (fabs(value / expected - 1) > tolerance)
        print_message("%f instead of %f\n", value, expected);
    assert_true(fabs(value / expected - 1) <= tolerance);
}

static void estimates_are_right_for_sizes_around_the_interval(void **state)
{
    (void)state;
    begin(4096);
    fill(first_site, 0x100000000, 64, 40000 * 64);
    fill(second_site, 0x200000000, 4096, 63000);
    fill(third_site, 0x300000000, 100000, 40000);
    assert_about(held_by(FIRST).objects, 40000.0 * 64, 0.02);
    assert_about(held_by(FIRST).bytes, 40000.0 * 64 * 64, 0.02);
    assert_about(held_by(SECOND).objects, 63000, 0.02);
    assert_about(held_by(SECOND).bytes, 63000.0 * 4096, 0.02);
    assert_true(held_by(THIRD).bytes == 40000.0 * 100000);
    /* Of the first sites about what the interval says. */
    assert_about((double)counts().samples, 40000 + 63000 * 0.632 + 40000, 0.02);
    for (uintptr_t i = 0; i < 40000 * 64; i++)
        (void)leave(0x100000000 + i * 16);
    struct held held = held_by(FIRST);
    assert_true(held.objects == 0 && held.bytes == 0);
    assert_about(held.added_bytes, 40000.0 * 64 * 64, 0.02);
}

static void the_interval_changes_while_threads_allocate(void **state)
{
    (void)state;
    begin(4096);
    for (uintptr_t i = 0; i < 400; i++) {
        rth__heap_sampler_set_interval(i % 2 == 0 ? 1024 : 16384);
        fill(first_site, 0x100000000 + i * 0x100000, 128, 5000);
    }
    /* 400 * 5000 * 128 bytes: 125,000 samples at one, 7,800 at the other. */
    assert_about(held_by(FIRST).bytes, 400.0 * 5000 * 128, 0.03);
    assert_about(held_by(FIRST).objects, 400.0 * 5000, 0.03);
}

static void off_records_nothing_and_on_again_begins_anew(void **state)
{
    (void)state;
    begin(1 << 20);
    for (uintptr_t i = 0; i < 2000; i++) {
        uint64_t before = counts().samples;
        rth__heap_sampler_set_interval(0);
        for (uintptr_t k = 0; k < 100; k++)
            second_site(0x10000, 1 << 20);
        assert_int_equal(counts().samples, before);
        rth__heap_sampler_set_interval(1 << 20);
        first_site(0x10000000 + i * 16, 16);
    }
    /* 2000 blocks of 16 bytes, not what went by meanwhile: 0.03 samples are to be expected. */
    assert_true(counts().samples <= 3);
    assert_held(SECOND, 0, 0, 0, 0);
    rth__heap_sampler_set_interval(1);
    first_site(0x10, 5);
    assert_true(leave(0x10));
}

/* A thread looks in once in a while, whatever the interval: a sum spoilt by a request that failed
 * stays below that. */
static void a_thread_is_due_within_a_gibibyte(void **state)
{
    static const uint64_t intervals[] = {0, 1, 4096, UINT64_C(1) << 40};
    (void)state;
    begin(1);
    for (size_t i = 0; i < 4; i++) {
        rth__heap_sampler_set_interval(intervals[i]);
        first_site(0x10000 + i * 16, 16);
        uint64_t due = atomic_load(&self->heap.due);
        assert_true(due <= self->heap.bytes + (UINT64_C(1) << 30));
        assert_true(intervals[i] == 1 || due > self->heap.bytes);
    }
}

/* ---- stacks that wait ------------------------------------------------------------------------ */

static void stacks_wait_until_there_are_rows_for_them(void **state)
{
    (void)state;
    begin_early(1);
    first_site(0x10000, 32);
    second_site(0x20000, 64);
    third_site(0x30000, 8);
    third_site(0x30010, 8);
    assert_int_equal(counts().waiting, 4);
    assert_held(FIRST, 0, 0, 0, 0);
    assert_true(leave(0x10000)); /* gone before it is known */
    assert_true(leave(0x30000)); /* and one that comes back */
    struct rth_heap_sample kept = forgotten;
    rth__heap_remember_nomalloc(&kept);
    refresh();
    rth__heap_sampler_resolve();
    assert_int_equal(counts().waiting, 0);
    assert_int_equal(counts().without_stack, 0);
    assert_held(FIRST, 1, 32, 0, 0);
    assert_held(SECOND, 1, 64, 1, 64);
    assert_held(THIRD, 2, 16, 2, 16);
    assert_true(leave(0x20000));
    assert_true(leave(0x30000));
    assert_held(SECOND, 1, 64, 0, 0);
    assert_held(THIRD, 2, 16, 1, 8);
}

static void a_block_that_leaves_waiting_and_comes_back_resolved_is_freed_once(void **state)
{
    (void)state;
    begin_early(1);
    first_site(0x10000, 32);
    assert_true(leave(0x10000));
    struct rth_heap_sample kept = forgotten;
    refresh();
    rth__heap_sampler_resolve();
    rth__heap_remember_nomalloc(&kept);
    assert_held(FIRST, 1, 32, 0, 0);
    assert_int_equal(counts().live, 0);
    assert_false(leave(0x10000));
}

static void an_address_used_again_while_its_first_stack_waits(void **state)
{
    (void)state;
    begin_early(1);
    first_site(0x10000, 32);
    assert_true(leave(0x10000));
    second_site(0x10000, 64);
    third_site(0x10000, 128); /* and once more, unseen in between */
    refresh();
    rth__heap_sampler_resolve();
    assert_held(FIRST, 1, 32, 0, 0);
    assert_held(SECOND, 1, 64, 0, 0);
    assert_held(THIRD, 1, 128, 1, 128);
    assert_int_equal(counts().live, 1);
    assert_int_equal(counts().missed_frees, 1);
}

/* Where no more can wait, they count without a stack. */
static void sums_stay_true_when_too_many_wait(void **state)
{
    (void)state;
    begin_early(1);
    fill(first_site, 0x100000, 10, 3000);
    uint64_t without = counts().without_stack, waiting = counts().waiting;
    assert_true(waiting > 500);
    assert_int_equal(without + waiting, 3000);
    assert_held(NULL, without, without * 10, without, without * 10);
    refresh();
    rth__heap_sampler_resolve();
    assert_held(FIRST, waiting, waiting * 10, waiting, waiting * 10);
    for (uintptr_t i = 0; i < 3000; i++)
        assert_true(leave(0x100000 + i * 16));
    assert_held(NULL, without, without * 10, 0, 0);
    assert_held(FIRST, waiting, waiting * 10, 0, 0);
}

/* ---- start, stop, fork ------------------------------------------------------------------------
 */

static void a_start_after_a_stop_begins_with_nothing(void **state)
{
    (void)state;
    begin_early(1);
    fill(first_site, 0x100000, 10, 20); /* these wait */
    assert_int_equal(counts().waiting, 20);
    rth__heap_sampler_stop();
    first_site(0x200000, 10);
    assert_int_equal(counts().samples, 20);
    rth__enable_on(getpid(), 2);
    assert_int_equal(rth__heap_sampler_start(&place), 0);
    rth__heap_sampler_set_interval(1);
    refresh();
    rth__heap_sampler_resolve();
    assert_int_equal(counts().waiting, 0);
    assert_int_equal(counts().live, 0);
    assert_held(FIRST, 0, 0, 0, 0);
    assert_false(rth__heap_filter_may_hold(place, 0x100000));
    first_site(0x100000, 10);
    assert_held(FIRST, 1, 10, 1, 10);
}

static void a_child_begins_with_nothing(void **state)
{
    (void)state;
    begin(1);
    fill(first_site, 0x100000, 10, 50);
    const struct rth_heap_filter *parents = place;
    pid_t pid = fork();
    if (pid == 0) {
        rth__heap_sampler_child_reset();
        struct rth_heap_counts now = counts();
        bool fine = now.samples == 0 && now.live == 0 && now.waiting == 0 && place != parents &&
                    !rth__heap_filter_may_hold(place, 0x100000) &&
                    !rth__heap_forget_nomalloc((const void *)0x100000, &forgotten);
        _exit(fine ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_held(FIRST, 50, 500, 50, 500);
}

/* ---- a handler on top of a sample -------------------------------------------------------------
 */

static _Atomic int thread_tid, handled;

static void on_signal(int signal_number)
{
    (void)signal_number;
    unseen_site(0x50000, 77);
    (void)rth__heap_forget_nomalloc((const void *)0x10000, &forgotten);
    atomic_store(&handled, 1);
}

static void *allocates(void *unused)
{
    atomic_store(&thread_tid, rth__raw_gettid_sigsafe());
    unseen_site(0x40000, 33);
    return unused;
}

static char state_of(int tid)
{
    char path[64], stat[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    (void)!read(fd, stat, sizeof(stat) - 1);
    (void)close(fd);
    const char *end = strrchr(stat, ')');
    return end != NULL ? end[2] : '?';
}

static void a_handler_that_allocates_on_top_of_a_sample_is_let_through(void **state)
{
    const void *site = (const void *)(uintptr_t)unseen_site;
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t thread;
    (void)state;
    begin(1);
    first_site(0x10000, 32);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    rth__lock(&rth__heap_sites.lock); /* the thread waits for it inside its sample */
    assert_int_equal(pthread_create(&thread, NULL, allocates, NULL), 0);
    while (thread_tid == 0 || state_of(thread_tid) != 'S')
        test_pause_us(1000);
    assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
    while (!handled)
        test_pause_us(1000);
    rth__unlock(&rth__heap_sites.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(counts().lost_nested, 2);
    assert_held(site, 1, 33, 1, 33);
    assert_held(FIRST, 1, 32, 1, 32);
}

RTH_TEST_MAIN(cmocka_unit_test(at_interval_one_every_block_counts_at_the_caller_of_the_wrapper),
              cmocka_unit_test(a_block_is_forgotten_once_and_only_if_it_was_sampled),
              cmocka_unit_test(a_block_that_could_not_be_moved_is_held_again_as_before),
              cmocka_unit_test(what_an_earlier_runtime_knew_is_not_remembered),
              cmocka_unit_test(an_address_sampled_twice_went_without_a_call_that_is_seen),
              cmocka_unit_test(a_thread_without_a_block_is_sampled_and_counted_too),
              cmocka_unit_test(blocks_beyond_the_cap_are_said_to_be_lost),
              cmocka_unit_test(estimates_are_right_for_sizes_around_the_interval),
              cmocka_unit_test(the_interval_changes_while_threads_allocate),
              cmocka_unit_test(off_records_nothing_and_on_again_begins_anew),
              cmocka_unit_test(a_thread_is_due_within_a_gibibyte),
              cmocka_unit_test(stacks_wait_until_there_are_rows_for_them),
              cmocka_unit_test(a_block_that_leaves_waiting_and_comes_back_resolved_is_freed_once),
              cmocka_unit_test(an_address_used_again_while_its_first_stack_waits),
              cmocka_unit_test(sums_stay_true_when_too_many_wait),
              cmocka_unit_test(a_start_after_a_stop_begins_with_nothing),
              cmocka_unit_test(a_child_begins_with_nothing),
              cmocka_unit_test(a_handler_that_allocates_on_top_of_a_sample_is_let_through))
