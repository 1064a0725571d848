/* SPDX-License-Identifier: MIT */
/* The live set beside a plain array that does the same slowly. */
#include <stdbool.h>
#include <string.h>

#include "core/arena.h"
#include "helper/unit.h"
#include "record/live.h"

#define ENTRIES_MAX 3000u
#define KEYS        6000u

static const struct rth_heap_filter *place;
static struct rth_live live = {.entries_max = ENTRIES_MAX, .filter_place = &place};

/* What the set should hold: by number of the key. */
static struct rth_live_entry oracle[KEYS];
static size_t oracle_count;
static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* As blocks lie: 16 bytes apart, pages apart, at the end of everything. */
static uintptr_t key_of(size_t number)
{
    switch (number % 3) {
    case 0:
        return 0x7f0000000000u + number * 16;
    case 1:
        return 0x100000u + number * 4096;
    default:
        return UINTPTR_MAX - number * 64;
    }
}

static struct rth_live_entry entry_of(size_t number)
{
    return (struct rth_live_entry){
        .key = key_of(number),
        .count = next_random(),
        .amount = next_random(),
        .site = (uint32_t)next_random(),
    };
}

static bool put(const struct rth_live_entry *entry)
{
    struct rth_live_entry before;
    bool replaced;
    return rth__live_put_locked(&live, entry, &before, &replaced);
}

static void random_put(size_t number)
{
    struct rth_live_entry entry = entry_of(number), before = {0};
    bool replaced;
    bool kept = rth__live_put_locked(&live, &entry, &before, &replaced);
    if (oracle[number].key != 0) {
        assert_true(kept && replaced);
        assert_memory_equal(&before, &oracle[number], sizeof(before));
    } else {
        assert_false(replaced);
        assert_int_equal(kept, oracle_count < ENTRIES_MAX);
    }
    if (!kept)
        return;
    oracle_count += oracle[number].key == 0;
    oracle[number] = entry;
}

static void random_take(size_t number)
{
    struct rth_live_entry taken = {0};
    bool was_there = oracle[number].key != 0;
    assert_int_equal(rth__live_take_locked(&live, key_of(number), &taken), was_there);
    if (!was_there)
        return;
    assert_memory_equal(&taken, &oracle[number], sizeof(taken));
    oracle[number].key = 0;
    oracle_count--;
}

static void assert_as_the_oracle(void)
{
    assert_int_equal(live.count, oracle_count);
    for (size_t i = 0; i < KEYS; i++) {
        bool is_there = oracle[i].key != 0;
        assert_int_equal(rth__live_has_locked(&live, key_of(i)), is_there);
        if (is_there && place != NULL)
            assert_true(rth__heap_filter_may_hold(place, key_of(i)));
    }
}

static void random_operations_do_as_an_array_and_the_filter_never_denies_a_member(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        /* Tides: the set grows to its bound, and shrinks again. */
        bool rising = i / 20000 % 2 == 0;
        size_t number = next_random() % KEYS;
        if (next_random() % 8 < (rising ? 6 : 2))
            random_put(number);
        else
            random_take(number);
        if (oracle[number].key != 0)
            assert_true(rth__heap_filter_may_hold(place, key_of(number)));
        if (i % 5000 == 0)
            assert_as_the_oracle();
    }
    assert_as_the_oracle();
    for (size_t i = 0; i < KEYS; i++)
        random_take(i);
    assert_int_equal(live.count, 0);
}

/* A bit stays set only for somebody who needs it. */
static void an_empty_set_has_an_empty_filter(void **state)
{
    (void)state;
    for (size_t i = 0; i < 1500; i++)
        random_put(i);
    for (size_t i = 0; i < 1500; i++)
        random_take(i);
    for (size_t i = 0; i < KEYS; i++)
        assert_false(rth__heap_filter_may_hold(place, key_of(i)));
}

/* Keys whose home is one slot stand in a row; taking one moves up those behind it. */
static void entries_of_one_home_are_found_after_any_of_them_went(void **state)
{
    (void)state;
    enum { SAME = 12 };
    uintptr_t same[SAME];
    assert_true(put(&(struct rth_live_entry){.key = 1}));
    struct rth_live_entry taken;
    assert_true(rth__live_take_locked(&live, 1, &taken));
    /* The last slot, so that the row goes on at the first one; every third of the next home. */
    for (uintptr_t key = 16, found = 0; found < SAME; key += 16) {
        uint64_t home = rth__heap_filter_hash(key) >> live.filter->shift;
        uint64_t last = ((uint64_t)1 << live.capacity_log2) - 1;
        if (home == (found % 3 == 2 ? 0 : last))
            same[found++] = key;
    }
    for (int gone = 0; gone < SAME; gone++) {
        for (int i = 0; i < SAME; i++)
            assert_true(put(&(struct rth_live_entry){.key = same[i], .amount = same[i]}));
        assert_true(rth__live_take_locked(&live, same[gone], &taken));
        assert_int_equal(taken.amount, same[gone]);
        for (int i = 0; i < SAME; i++) {
            assert_int_equal(rth__live_has_locked(&live, same[i]), i != gone);
            if (i != gone)
                assert_true(rth__heap_filter_may_hold(place, same[i]));
        }
        for (int i = 0; i < SAME; i++)
            (void)rth__live_take_locked(&live, same[i], &taken);
        assert_int_equal(live.count, 0);
    }
}

static void a_filter_that_was_replaced_still_knows_what_it_knew(void **state)
{
    (void)state;
    const struct rth_heap_filter *seen[16];
    size_t known[16], filters = 0;
    for (size_t i = 0; i < ENTRIES_MAX; i++) {
        random_put(i);
        if (filters > 0 && seen[filters - 1] == place) {
            known[filters - 1] = i + 1;
        } else {
            known[filters] = i + 1;
            seen[filters++] = place;
        }
    }
    assert_true(filters >= 3);
    /* What is taken out now is taken out of the newest alone. */
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        random_take(i);
    for (size_t f = 0; f + 1 < filters; f++)
        for (size_t i = 0; i < known[f]; i++)
            assert_true(rth__heap_filter_may_hold(seen[f], key_of(i)));
}

static void a_full_set_refuses_counts_and_still_replaces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        random_put(i);
    assert_int_equal(live.refused, 0);
    random_put(ENTRIES_MAX);
    random_put(ENTRIES_MAX + 1);
    assert_int_equal(live.refused, 2);
    random_put(5);
    assert_int_equal(live.refused, 2);
    random_take(7);
    random_put(ENTRIES_MAX);
    assert_as_the_oracle();
}

/* Nothing is left to grow into: what is there goes on, up to seven eighths. */
static void without_memory_it_fills_up_and_stays_true(void **state)
{
    (void)state;
    for (size_t i = 0; i < 600; i++)
        random_put(i);
    while (rth__arena_alloc_nomalloc((size_t)1 << 20) != NULL)
        ;
    while (rth__arena_alloc_nomalloc(32 * 1024) != NULL)
        ;
    while (rth__arena_alloc_nomalloc(4096) != NULL)
        ;
    size_t capacity = (size_t)1 << live.capacity_log2, kept = 600;
    while (put(&(struct rth_live_entry){.key = key_of(kept)}))
        kept++;
    assert_int_equal(live.refused, 1);
    assert_int_equal((size_t)1 << live.capacity_log2, capacity);
    assert_int_equal(kept, capacity / 8 * 7);
    for (size_t i = 0; i < kept; i++)
        assert_true(rth__live_has_locked(&live, key_of(i)) &&
                    rth__heap_filter_may_hold(place, key_of(i)));
}

static void no_address_is_no_entry(void **state)
{
    (void)state;
    struct rth_live_entry taken;
    assert_false(rth__live_take_locked(&live, 16, &taken));
    assert_false(rth__live_has_locked(&live, 16));
    assert_false(put(&(struct rth_live_entry){.key = 0}));
    assert_true(put(&(struct rth_live_entry){.key = 16}));
    assert_false(rth__live_take_locked(&live, 0, &taken));
    assert_false(rth__live_has_locked(&live, 0));
    assert_int_equal(live.count, 1);
}

static void clearing_empties_set_and_filter(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2000; i++)
        random_put(i);
    size_t bytes = rth__live_bytes(&live);
    rth__live_clear_locked(&live);
    memset(oracle, 0, sizeof(oracle));
    oracle_count = 0;
    assert_as_the_oracle();
    assert_false(rth__heap_filter_may_hold(place, key_of(1)));
    assert_int_equal(rth__live_bytes(&live), bytes);
    random_put(3);
    assert_as_the_oracle();
}

static void a_set_whose_filter_nobody_asks_has_none(void **state)
{
    (void)state;
    live.filter_place = NULL;
    for (size_t i = 0; i < 2000; i++)
        random_put(i);
    assert_null(live.filter);
    assert_as_the_oracle();
    for (size_t i = 0; i < 2000; i += 2)
        random_take(i);
    assert_as_the_oracle();
    assert_int_equal(rth__live_bytes(&live), sizeof(struct rth_live_entry) << live.capacity_log2);
    rth__live_clear_locked(&live);
    assert_int_equal(live.count, 0);
}

static void a_childs_set_is_empty_and_publishes_anew(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        random_put(i);
    const struct rth_heap_filter *parents = place;
    rth__arena_child_reset();
    rth__live_child_reset(&live);
    memset(oracle, 0, sizeof(oracle));
    oracle_count = 0;
    assert_int_equal(rth__live_bytes(&live), 0);
    /* What the parent held is asked for, and is not there. */
    struct rth_live_entry taken;
    assert_true(rth__heap_filter_may_hold(place, key_of(7)));
    assert_false(rth__live_take_locked(&live, key_of(7), &taken));
    random_put(200);
    assert_ptr_not_equal(place, parents);
    assert_as_the_oracle();
}

RTH_TEST_MAIN(
    cmocka_unit_test(random_operations_do_as_an_array_and_the_filter_never_denies_a_member),
    cmocka_unit_test(an_empty_set_has_an_empty_filter),
    cmocka_unit_test(entries_of_one_home_are_found_after_any_of_them_went),
    cmocka_unit_test(a_filter_that_was_replaced_still_knows_what_it_knew),
    cmocka_unit_test(a_full_set_refuses_counts_and_still_replaces),
    cmocka_unit_test(without_memory_it_fills_up_and_stays_true),
    cmocka_unit_test(no_address_is_no_entry), cmocka_unit_test(clearing_empties_set_and_filter),
    cmocka_unit_test(a_set_whose_filter_nobody_asks_has_none),
    cmocka_unit_test(a_childs_set_is_empty_and_publishes_anew))
