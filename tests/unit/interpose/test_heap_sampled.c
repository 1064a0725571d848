/* SPDX-License-Identifier: MIT */
/* Blocks that move, and blocks that may be sampled: the runtime hears of them before they go. */
#include "unit/interpose/helper/heap_told.h"

/* ---- realloc ------------------------------------------------------------------------------------
 */

static void a_move_is_a_free_and_an_allocation_of_the_new_size(void **state)
{
    static const size_t sizes[] = {24, 5000, 300000, 100, 104, 16};
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(16);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        LOOK(block = realloc(HIDE((void *)block), sizes[i]));
        assert_seen(1, sizes[i], 1);
        assert_int_equal(seen_errno, 77);
        assert_true(is_patterned(block, 16));
    }
    LOOK(block = reallocarray(HIDE((void *)block), 10, 100));
    assert_seen(1, 1000, 1);
    assert_true(is_patterned(block, 16));
    LOOK(block = rallocx(block, 2000, 0));
    assert_seen(1, 2000, 1);
    LOOK(block = mi_realloc(block, 64));
    assert_seen(1, 64, 1);
    assert_true(is_patterned(block, 16));
    free(block);
}

static void a_sampled_block_that_moves_is_forgotten_first(void **state)
{
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(block = realloc(HIDE((void *)block), 100000));
    set_filter(&none_filter);
    assert_int_equal(told_forgotten, 1);
    assert_true(told.was_intact);
    assert_int_equal(told.remembered, 0);
    assert_seen(1, 100000, 1);
    free(block);
}

static void a_sampled_block_that_cannot_move_is_remembered_as_it_was(void **state)
{
    void *moved;
    (void)state;
    begin(NEVER);
    uint64_t *block = patterned(64);
    sampled = block;
    set_filter(&all_filter);
    LOOK(moved = realloc(HIDE((void *)block), TOO_MANY));
    assert_null(moved);
    assert_int_equal(told_forgotten, 1);
    assert_int_equal(told.remembered, 1);
    assert_int_equal(told.sample.block, (uintptr_t)block);
    assert_int_equal(told.sample.site_identity, 4711);
    assert_seen(0, 0, 0);
    assert_int_equal(seen_errno, ENOMEM);
    LOOK(moved = reallocarray(HIDE((void *)block), TOO_MANY, 16));
    assert_null(moved);
    assert_int_equal(told.remembered, 1);
    assert_seen(0, 0, 0);
    /* One that is not sampled has nothing to be remembered. */
    sampled = NULL;
    LOOK(moved = realloc(HIDE((void *)block), TOO_MANY));
    assert_null(moved);
    assert_int_equal(told.remembered, 0);
    set_filter(&none_filter);
    assert_true(is_patterned(block, 64));
    free(block);
}

/* ---- blocks that may be sampled
 * ------------------------------------------------------------------ */

static void every_free_of_a_sampled_block_tells_before_the_block_is_gone(void **state)
{
    (void)state;
    begin(NEVER);
    for (size_t i = 0; i < FREES; i++) {
        uint64_t *block = patterned(BYTES);
        print_message("%zu\n", i);
        sampled = block;
        told.was_intact = false;
        set_filter(&all_filter);
        LOOK(frees[i](block));
        set_filter(&none_filter);
        assert_true(told_forgotten >= 1);
        assert_true(told.was_intact);
        assert_seen(0, 0, 1);
        assert_int_equal(told.remembered, 0);
        assert_int_equal(seen_errno, 77);
    }
}

static void the_filter_alone_decides_who_is_asked(void **state)
{
    (void)state;
    begin(NEVER);
    struct {
        uint64_t shift, words[2];
    } one = {63, {0, 0}};
    uint64_t *blocks[100], *chosen = NULL;
    for (size_t i = 0; i < 100; i++)
        blocks[i] = patterned(64);
    chosen = blocks[42];
    uint64_t hash = rth__heap_filter_hash((uintptr_t)chosen);
    one.words[hash >> 63] = rth__heap_filter_mask(hash);
    sampled = chosen;
    set_filter(&one);
    int asked = 0, asked_for_it = 0;
    for (size_t i = 0; i < 100; i++) {
        LOOK(free(blocks[i]));
        asked += told_forgotten;
        asked_for_it += told_forgotten == 1 && told.forgotten_block == chosen;
    }
    set_filter(&none_filter);
    assert_int_equal(asked_for_it, 1);
    assert_in_range(asked, 1, 20); /* two bits of 128 */
}

RTH_TEST_MAIN(cmocka_unit_test(a_move_is_a_free_and_an_allocation_of_the_new_size),
              cmocka_unit_test(a_sampled_block_that_moves_is_forgotten_first),
              cmocka_unit_test(a_sampled_block_that_cannot_move_is_remembered_as_it_was),
              cmocka_unit_test(every_free_of_a_sampled_block_tells_before_the_block_is_gone),
              cmocka_unit_test(the_filter_alone_decides_who_is_asked))
