/* SPDX-License-Identifier: MIT */
/* The allocation wrappers: blocks are the allocator's, each counts once, and the runtime hears of
 * those that are due. */
#include "unit/interpose/helper/heap_told.h"

static void every_allocation_counts_once_with_its_bytes(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        assert_non_null(block);
        assert_seen(1, BYTES, 0);
        assert_int_equal(told_allocated, 0);
        assert_int_equal(seen_errno, 77);
        assert_int_equal((uintptr_t)block % allocators[i].alignment, 0);
        assert_in_range(malloc_usable_size(block), BYTES, 3 * BYTES + 4096);
        memset(block, 0xa5, BYTES);
        free(block);
    }
}

static void what_is_due_is_told_once_with_the_block_as_it_is_returned(void **state)
{
    (void)state;
    begin(0);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        const void *told_block = told.block;
        size_t told_bytes = told.bytes;
        const struct rth_thread_heap *told_heap = told.heap;
        shared.heap.due = NEVER;
        assert_int_equal(told_allocated, 1);
        assert_ptr_equal(told_block, block);
        assert_int_equal(told_bytes, BYTES);
        assert_ptr_equal(told_heap, &shared.heap);
        assert_seen(1, BYTES, 0);
        assert_int_equal(seen_errno, 77);
        free(block);
        shared.heap.due = 0;
    }
}

static void a_thread_is_due_at_the_very_byte(void **state)
{
    void *blocks[3];
    (void)state;
    begin(NEVER);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[0] = HIDE(malloc(HIDE((size_t)299))));
    assert_int_equal(told_allocated, 0);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[1] = HIDE(malloc(HIDE((size_t)300))));
    shared.heap.due = NEVER;
    assert_int_equal(told_allocated, 1);
    shared.heap.due = shared.heap.bytes + 300;
    LOOK(blocks[2] = HIDE(calloc(30, HIDE((size_t)10))));
    shared.heap.due = NEVER;
    assert_int_equal(told_allocated, 1);
    for (size_t i = 0; i < 3; i++)
        free(blocks[i]);
}

static void every_free_counts_once_and_nothing_is_no_block(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < FREES; i++) {
        void *block = malloc(BYTES);
        print_message("%zu\n", i);
        LOOK(frees[i](block));
        assert_seen(0, 0, 1);
        assert_int_equal(seen_errno, 77);
        if (frees[i] == by_realloc_to_nothing || frees[i] == by_reallocarray_to_nothing)
            continue; /* these would allocate */
        LOOK(frees[i](NULL));
        assert_seen(0, 0, 0);
    }
}

static void blocks_of_no_bytes_count_as_blocks(void **state)
{
    void *block;
    (void)state;
    begin(NEVER);
    LOOK(block = HIDE(malloc(HIDE((size_t)0))));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    LOOK(free(block));
    assert_seen(0, 0, 1);
    LOOK(block = HIDE(calloc(HIDE((size_t)0), 8)));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    free(block);
    LOOK(block = HIDE(realloc(HIDE((void *)NULL), 0)));
    assert_non_null(block);
    assert_seen(1, 0, 0);
    free(block);
}

/* ---- what fails ---------------------------------------------------------------------------------
 */

static void what_fails_is_not_counted_and_says_so_in_errno(void **state)
{
    void *block;
    (void)state;
    begin(UINT64_C(1) << 30);
    LOOK(block = malloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = malloc(HIDE(SIZE_MAX))); /* the sum of bytes goes round */
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = malloc(HIDE(SIZE_MAX - 100)));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = calloc(TOO_MANY, 4)); /* the product does */
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(block = calloc(TOO_MANY, 1));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = memalign(64, TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = aligned_alloc(64, TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = valloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = pvalloc(TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = realloc(HIDE((void *)NULL), TOO_MANY));
    assert_null(block);
    assert_seen(0, 0, 0);
    LOOK(block = reallocarray(HIDE((void *)NULL), TOO_MANY, 4));
    assert_null(block);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    assert_int_equal(told_allocated, 0);
}

static void posix_memalign_returns_its_errors_and_leaves_the_rest_alone(void **state)
{
    void *block = (void *)0x1234;
    int error;
    (void)state;
    begin(NEVER);
    LOOK(error = posix_memalign(&block, HIDE((size_t)24), 64));
    assert_int_equal(error, EINVAL);
    assert_ptr_equal(block, (void *)0x1234);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, 77);
    LOOK(error = posix_memalign(&block, HIDE((size_t)2), 64));
    assert_int_equal(error, EINVAL);
    LOOK(error = posix_memalign(&block, 64, TOO_MANY));
    assert_int_equal(error, ENOMEM);
    assert_ptr_equal(block, (void *)0x1234);
    assert_seen(0, 0, 0);
}

/* ---- threads without a block, and no runtime
 * ------------------------------------------------------ */

static void a_thread_without_a_block_tells_of_every_call(void **state)
{
    (void)state;
    begin(NEVER);
    info.thread_shared_set(NULL);
    for (size_t i = 0; i < ALLOCATORS; i++) {
        void *block;
        told.freed_unseen = 0;
        LOOK(block = allocators[i].allocate(BYTES));
        print_message("%s\n", allocators[i].name);
        assert_seen(0, 0, 0);
        assert_int_equal(told_allocated, 1);
        assert_int_equal(seen_errno, 77);
        LOOK(free(block));
        assert_int_equal(told.freed_unseen, 1);
    }
    for (size_t i = 0; i < FREES; i++) {
        void *block = malloc(BYTES);
        told.freed_unseen = 0;
        LOOK(frees[i](block));
        assert_int_equal(told.freed_unseen, 1);
    }
    void *block = malloc(100);
    told.freed_unseen = 0;
    LOOK(block = realloc(HIDE(block), 10000));
    assert_int_equal(told_allocated, 1);
    assert_int_equal(told.freed_unseen, 1);
    LOOK(block = realloc(HIDE(block), 100));
    free(block);
    told.freed_unseen = 0;
    LOOK(block = malloc(TOO_MANY));
    assert_null(block);
    assert_int_equal(told_allocated, 0);
    LOOK(free(NULL));
    assert_int_equal(told.freed_unseen, 0);
    info.thread_shared_set(&shared);
}

static void without_a_live_runtime_nobody_is_told(void **state)
{
    (void)state;
    begin(0);
    info.thread_shared_set(NULL);
    *fake.enabled = 0;
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(block = realloc(HIDE((void *)block), 1000));
    assert_int_equal(told_allocated + told_forgotten + told.remembered, 0);
    LOOK(free(block));
    assert_int_equal(told_allocated + told_forgotten + told.freed_unseen, 0);
    *fake.enabled = 1;
    (void)rth_interpose_attach(NULL, NULL);
    block = patterned(64);
    LOOK(block = realloc(HIDE((void *)block), TOO_MANY) == NULL ? block : NULL);
    assert_non_null(block);
    LOOK(free(block));
    assert_int_equal(told_allocated + told_forgotten + told.remembered, 0);
    set_filter(&none_filter);
}

static void *allocates_much(void *counters)
{
    info.thread_shared_set(counters);
    for (size_t i = 0; i < 20000; i++)
        free(HIDE(malloc(i % 512)));
    info.thread_shared_set(NULL);
    return NULL;
}

static void each_thread_counts_for_itself(void **state)
{
    struct rth_thread_shared counters[4] = {0};
    pthread_t threads[4];
    (void)state;
    begin(NEVER);
    fake.prepares_nothing = true; /* it has room for one */
    for (size_t i = 0; i < 4; i++) {
        counters[i].heap.due = NEVER;
        assert_int_equal(pthread_create(&threads[i], NULL, allocates_much, &counters[i]), 0);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < 20000; i++)
        bytes += i % 512;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(counters[i].heap.allocs, 20000);
        assert_int_equal(counters[i].heap.frees, 20000);
        assert_int_equal(counters[i].heap.bytes, bytes);
    }
}

/* What is said of the wrappers' code and of whose malloc it is. */
static void the_runtime_learns_where_the_wrappers_are(void **state)
{
    (void)state;
    begin(NEVER);
    assert_ptr_equal(info.first_malloc, info.own_malloc);
    assert_ptr_not_equal(info.real_malloc, info.own_malloc);
    assert_non_null(info.real_free);
    uintptr_t own = (uintptr_t)info.own_malloc;
    assert_true(info.heap_code_start <= own && own < info.heap_code_limit);
    assert_in_range(info.heap_code_limit - info.heap_code_start, 256, 65536);
}

RTH_TEST_MAIN(cmocka_unit_test(every_allocation_counts_once_with_its_bytes),
              cmocka_unit_test(what_is_due_is_told_once_with_the_block_as_it_is_returned),
              cmocka_unit_test(a_thread_is_due_at_the_very_byte),
              cmocka_unit_test(every_free_counts_once_and_nothing_is_no_block),
              cmocka_unit_test(blocks_of_no_bytes_count_as_blocks),
              cmocka_unit_test(what_fails_is_not_counted_and_says_so_in_errno),
              cmocka_unit_test(posix_memalign_returns_its_errors_and_leaves_the_rest_alone),
              cmocka_unit_test(a_thread_without_a_block_tells_of_every_call),
              cmocka_unit_test(without_a_live_runtime_nobody_is_told),
              cmocka_unit_test(each_thread_counts_for_itself),
              cmocka_unit_test(the_runtime_learns_where_the_wrappers_are))
