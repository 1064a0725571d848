/* SPDX-License-Identifier: MIT */
/* What the sampler tells who watches memory, and that it samples as before. */
#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/enable.h"
#include "core/pressure.h"
#include "helper/unit.h"
#include "profile/heap/sampler.h"
#include "thread/registry.h"

#define FOR_EVER (UINT64_C(1) << 60)

static const uint64_t nothing_held[3] = {63, 0, 0};
static const struct rth_heap_filter *place = (const void *)nothing_held;
static struct rth_thread_shared *self;

static void show(struct rth_thread_shared *shared)
{
    self = shared;
}

static void begin(uint64_t interval)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    rth__thread_registry_start(show);
    assert_non_null(self);
    assert_int_equal(rth__heap_sampler_start(&place), 0);
    rth__heap_sampler_set_interval(interval);
}

/* In place of the interposer; heap NULL: of a thread without a block. */
static void allocate_on(struct rth_thread_heap *heap, uintptr_t block, size_t bytes)
{
    if (heap != NULL) {
        heap->allocs++;
        heap->bytes += bytes;
        if (heap->bytes < atomic_load_explicit(&heap->due, memory_order_relaxed))
            return;
    }
    rth__heap_allocated_nomalloc(heap, (const void *)block, bytes);
}

static void allocate(size_t bytes)
{
    static uintptr_t block = 0x100000000;
    allocate_on(&self->heap, block += 16, bytes);
}

static uint64_t samples(void)
{
    struct rth_heap_counts counts;
    rth__heap_counts_read(&counts);
    return counts.samples;
}

static void threads_say_in_portions_what_they_allocate(void **state)
{
    static const uint64_t intervals[] = {0, UINT64_C(1) << 40};
    (void)state;
    begin(1);
    for (size_t i = 0; i < 2; i++) {
        rth__heap_sampler_set_interval(intervals[i]);
        rth__pressure_watch(FOR_EVER, 1000, NULL);
        for (int k = 0; k < 9; k++)
            allocate(100);
        assert_int_equal(rth__pressure_reported_bytes(), 0);
        allocate(150);
        assert_int_equal(rth__pressure_reported_bytes(), 1050);
        allocate(1 << 20);
        assert_int_equal(rth__pressure_reported_bytes(), 1050 + (1 << 20));
        rth__pressure_watch(0, 0, NULL);
    }
    assert_int_equal(samples(), 0);
}

static void a_thread_that_is_far_from_due_hears_of_a_watch_at_once(void **state)
{
    (void)state;
    begin(0);
    allocate(5000);
    assert_true(atomic_load(&self->heap.due) > self->heap.bytes + (1 << 20));
    rth__pressure_watch(FOR_EVER, 1 << 20, NULL);
    assert_int_equal(atomic_load(&self->heap.due), 0);
    allocate(1);
    assert_int_equal(atomic_load(&self->heap.due), self->heap.bytes + (1 << 20) - 1);
    rth__pressure_watch(FOR_EVER, 1000, NULL);
    assert_int_equal(atomic_load(&self->heap.due), 0);
    allocate(998);
    assert_int_equal(rth__pressure_reported_bytes(), 0);
    allocate(1);
    assert_int_equal(rth__pressure_reported_bytes(), 1000);
}

static void of_what_came_while_nobody_watched_nothing_is_said(void **state)
{
    (void)state;
    begin(0);
    rth__pressure_watch(FOR_EVER, 1000, NULL);
    allocate(500);
    rth__pressure_watch(0, 0, NULL);
    allocate(1 << 24);
    rth__pressure_watch(FOR_EVER, 1000, NULL);
    allocate(999);
    assert_int_equal(rth__pressure_reported_bytes(), 0);
    allocate(1);
    assert_int_equal(rth__pressure_reported_bytes(), 1000);
}

static void threads_without_a_block_say_it_too(void **state)
{
    (void)state;
    begin(0);
    rth__pressure_watch(FOR_EVER, 1000, NULL);
    for (uintptr_t i = 0; i < 25; i++)
        allocate_on(NULL, 0x10000 + i * 16, 100);
    assert_int_equal(rth__pressure_reported_bytes(), 2000);
}

static void assert_about(double value, double expected, double tolerance)
{
    if (fabs(value / expected - 1) > tolerance)
        print_message("%f instead of %f\n", value, expected);
    assert_true(fabs(value / expected - 1) <= tolerance);
}

/* Of 64 bytes one in 64 at an interval of 4096, however often a thread looks in. */
static void what_is_sampled_does_not_change_by_it(void **state)
{
    (void)state;
    begin(4096);
    rth__pressure_watch(FOR_EVER, 300, NULL);
    for (int i = 0; i < 40000 * 64; i++)
        allocate(64);
    assert_about((double)samples(), 40000, 0.02);
    assert_about((double)rth__pressure_reported_bytes(), 40000.0 * 64 * 64, 0.001);
}

RTH_TEST_MAIN(cmocka_unit_test(threads_say_in_portions_what_they_allocate),
              cmocka_unit_test(a_thread_that_is_far_from_due_hears_of_a_watch_at_once),
              cmocka_unit_test(of_what_came_while_nobody_watched_nothing_is_said),
              cmocka_unit_test(threads_without_a_block_say_it_too),
              cmocka_unit_test(what_is_sampled_does_not_change_by_it))
