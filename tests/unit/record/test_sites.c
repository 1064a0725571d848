/* SPDX-License-Identifier: MIT */
/* Sites: rows that stay while something of them is held, and sums that are never lost. */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "core/arena.h"
#include "helper/unit.h"
#include "record/facts.h"
#include "record/sites.h"

static struct rth_sites sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};

static void begin(void)
{
    assert_int_equal(rth__sites_init(&sites, "test"), 0);
}

/* A stack of `count` frames that no other leaf has. */
static uint32_t intern(uint32_t kind, uint64_t leaf, unsigned count, uint32_t label_set)
{
    rth_frame frames[200];
    assert_true(count <= 200);
    for (unsigned i = 0; i < count; i++)
        frames[i] = leaf + i * 7;
    RTH__LOCK_SCOPE(&sites.lock);
    return rth__site_intern_locked(&sites, kind, frames, count, label_set);
}

static uint32_t add(uint32_t kind, uint64_t leaf, unsigned count, uint64_t amount)
{
    uint32_t site = intern(kind, leaf, count, 0);
    RTH__LOCK_SCOPE(&sites.lock);
    rth__site_add_locked(&sites, site, 1, amount);
    return site;
}

static void take(uint32_t site, uint64_t amount)
{
    RTH__LOCK_SCOPE(&sites.lock);
    rth__site_remove_locked(&sites, site, 1, amount);
}

static struct rth_sites_copy copy_of(void)
{
    struct rth_sites_copy copy;
    assert_int_equal(rth__sites_copy(&sites, &copy), 0);
    for (size_t i = 1; i < copy.count; i++)
        assert_true(copy.rows[i - 1].identity < copy.rows[i].identity);
    return copy;
}

/* Sums over the rows of a kind. */
static struct rth_site_values sum_of(const struct rth_sites_copy *copy, uint32_t kind)
{
    struct rth_site_values sum = {0};
    for (size_t i = 0; i < copy->count; i++) {
        const struct rth_site_row *row = &copy->rows[i];
        if (row->kind != kind)
            continue;
        sum.added_count += row->values.added_count;
        sum.added_amount += row->values.added_amount;
        sum.removed_count += row->values.removed_count;
        sum.removed_amount += row->values.removed_amount;
    }
    return sum;
}

static const struct rth_site_row *overflow_of(const struct rth_sites_copy *copy, uint32_t kind)
{
    for (size_t i = 0; i < copy->count; i++)
        if (copy->rows[i].frames == NULL && copy->rows[i].kind == kind)
            return &copy->rows[i];
    return NULL;
}

static uint64_t identity_of(uint32_t site)
{
    RTH__LOCK_SCOPE(&sites.lock);
    return rth__site_identity_locked(&sites, site);
}

static void a_row_is_one_stack_of_one_kind_with_one_label_set(void **state)
{
    (void)state;
    begin();
    uint32_t site = intern(0, 100, 5, 0);
    assert_true(site >= RTH_SITE_KINDS_MAX);
    assert_int_equal(intern(0, 100, 5, 0), site);
    assert_int_not_equal(intern(1, 100, 5, 0), site);
    assert_int_not_equal(intern(0, 100, 5, 9), site);
    assert_int_not_equal(intern(0, 100, 4, 0), site);
    assert_int_not_equal(intern(0, 101, 5, 0), site);
    assert_int_equal(rth__sites_counts(&sites).rows, 5);
}

static void a_copy_has_what_was_added_and_removed_with_its_stack(void **state)
{
    (void)state;
    begin();
    uint32_t site = intern(3, 100, 5, 7);
    {
        RTH__LOCK_SCOPE(&sites.lock);
        rth__site_add_locked(&sites, site, 4, 4096);
        rth__site_add_locked(&sites, site, 1, 10);
        rth__site_remove_locked(&sites, site, 1, 10);
    }
    (void)intern(3, 500, 5, 7); /* nothing was ever added: left out */
    struct rth_sites_copy copy = copy_of();
    assert_int_equal(copy.count, 1);
    const struct rth_site_row *row = &copy.rows[0];
    assert_int_equal(row->kind, 3);
    assert_int_equal(row->label_set, 7);
    assert_int_equal(row->frame_count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(row->frames[i], 100 + i * 7);
    assert_int_equal(row->values.added_count, 5);
    assert_int_equal(row->values.added_amount, 4106);
    assert_int_equal(row->values.removed_count, 1);
    assert_int_equal(row->values.removed_amount, 10);
    assert_ptr_equal(rth__sites_copy_find(&copy, row->identity), row);
    assert_null(rth__sites_copy_find(&copy, row->identity + 1));
    assert_null(rth__sites_copy_find(&copy, 0));
    rth__sites_copy_free(&copy);
    assert_null(copy.rows);
}

static void a_copy_does_not_change_with_what_is_added_later(void **state)
{
    (void)state;
    begin();
    (void)add(0, 100, 5, 10);
    struct rth_sites_copy before = copy_of();
    (void)add(0, 100, 5, 10);
    (void)add(0, 900, 5, 1);
    struct rth_sites_copy after = copy_of();
    assert_int_equal(before.count, 1);
    assert_int_equal(before.rows[0].values.added_amount, 10);
    assert_int_equal(after.count, 2);
    const struct rth_site_row *same = rth__sites_copy_find(&after, before.rows[0].identity);
    assert_non_null(same);
    assert_int_equal(same->values.added_amount, 20);
    rth__sites_copy_free(&before);
    rth__sites_copy_free(&after);
}

/* Everything is held: nothing can make room. */
static void what_finds_no_room_is_in_the_overflow_row_of_its_kind(void **state)
{
    (void)state;
    enum { EACH = RTH_SITES_MAX };
    begin();
    for (uint64_t i = 0; i < EACH; i++) {
        (void)add(2, i * 1000, 3, 1);
        (void)add(5, i * 1000, 3, 10);
    }
    struct rth_sites_counts counts = rth__sites_counts(&sites);
    assert_int_equal(counts.rows, RTH_SITES_MAX - RTH_SITE_KINDS_MAX);
    assert_int_equal(counts.overflowed, 2 * EACH - counts.rows);
    assert_int_equal(counts.evicted, 0);
    assert_int_equal(intern(2, 77777777, 3, 0), 2);
    assert_int_equal(intern(5, 77777777, 3, 0), 5);
    /* A stack that is there is found as ever. */
    assert_true(intern(2, 0, 3, 0) >= RTH_SITE_KINDS_MAX);
    struct rth_sites_copy copy = copy_of();
    assert_int_equal(sum_of(&copy, 2).added_count, EACH);
    assert_int_equal(sum_of(&copy, 2).added_amount, EACH);
    assert_int_equal(sum_of(&copy, 5).added_amount, 10 * EACH);
    const struct rth_site_row *two = overflow_of(&copy, 2), *five = overflow_of(&copy, 5);
    assert_non_null(two);
    assert_non_null(five);
    assert_int_equal(two->frame_count, 0);
    assert_int_equal(two->values.added_count + five->values.added_count, counts.overflowed);
    assert_null(overflow_of(&copy, 0));
    rth__sites_copy_free(&copy);
}

static void a_kind_that_is_none_is_kind_0_and_a_stack_that_is_none_overflows(void **state)
{
    (void)state;
    begin();
    rth_frame frame = 5;
    RTH__LOCK_SCOPE(&sites.lock);
    uint32_t site = rth__site_intern_locked(&sites, 0, &frame, 1, 0);
    assert_int_equal(rth__site_intern_locked(&sites, RTH_SITE_KINDS_MAX, &frame, 1, 0), site);
    assert_int_equal(rth__site_intern_locked(&sites, 4, &frame, 0, 0), 4);
    assert_int_equal(rth__site_intern_locked(&sites, 4, &frame, 5000, 0), 4);
}

/* Short-lived stacks without end: rows are given again, and the sum per kind stays true. */
static void rows_of_which_nothing_is_left_make_room_and_their_sums_stay(void **state)
{
    (void)state;
    enum { STACKS = 100000, HELD = 50 };
    begin();
    uint32_t held[2][HELD];
    for (uint64_t i = 0; i < HELD; i++)
        for (uint32_t kind = 0; kind < 2; kind++)
            held[kind][i] = add(kind, 50000000 + i * 1000, 30, 100);
    struct rth_sites_copy before = copy_of();
    for (uint64_t i = 0; i < STACKS; i++) {
        uint32_t kind = (uint32_t)(i % 2);
        uint32_t site = add(kind, i * 1000, 1 + (unsigned)(i % 40), 3 + kind);
        assert_true(site >= RTH_SITE_KINDS_MAX);
        take(site, 3 + kind);
    }
    struct rth_sites_counts counts = rth__sites_counts(&sites);
    assert_int_equal(counts.overflowed, 0);
    assert_true(counts.evicted > STACKS - RTH_SITES_MAX);
    struct rth_sites_copy after = copy_of();
    for (uint32_t kind = 0; kind < 2; kind++) {
        struct rth_site_values sum = sum_of(&after, kind);
        assert_int_equal(sum.added_count, HELD + STACKS / 2);
        assert_int_equal(sum.removed_count, STACKS / 2);
        assert_int_equal(sum.added_amount, HELD * 100 + STACKS / 2 * (3 + kind));
        assert_int_equal(sum.removed_amount, STACKS / 2 * (3 + kind));
        assert_int_equal(overflow_of(&after, kind)->values.added_count,
                         overflow_of(&after, kind)->values.removed_count);
    }
    /* Who is held has kept number, identity and stack, through every compaction. */
    for (uint64_t i = 0; i < HELD; i++)
        for (uint32_t kind = 0; kind < 2; kind++)
            assert_int_equal(intern(kind, 50000000 + i * 1000, 30, 0), held[kind][i]);
    for (size_t i = 0; i < before.count; i++) {
        const struct rth_site_row *row = rth__sites_copy_find(&after, before.rows[i].identity);
        assert_non_null(row);
        assert_int_equal(row->frame_count, 30);
        assert_memory_equal(row->frames, before.rows[i].frames, 30 * sizeof(rth_frame));
    }
    rth__sites_copy_free(&before);
    rth__sites_copy_free(&after);
}

/* Else what comes late would be pushed out by what comes later, time and again. */
static void of_rows_of_which_nothing_is_left_the_older_go_first(void **state)
{
    (void)state;
    enum { ROWS = RTH_SITES_MAX - RTH_SITE_KINDS_MAX };
    begin();
    for (uint64_t i = 1; i <= ROWS; i++)
        take(add(0, i * 1000, 3, 1), 1);
    uint32_t late = add(0, 5, 3, 1);
    uint64_t identity = identity_of(late);
    take(late, 1);
    for (uint64_t i = 1; i <= ROWS / 2; i++)
        take(add(0, (ROWS + i) * 1000, 3, 1), 1);
    assert_int_equal(identity_of(late), identity);
    assert_int_equal(intern(0, 5, 3, 0), late);
}

static void an_identity_never_comes_back_for_another_stack(void **state)
{
    (void)state;
    begin();
    uint32_t site = add(0, 100, 3, 1);
    take(site, 1);
    struct rth_sites_copy before = copy_of();
    for (uint64_t i = 1; i <= 2 * RTH_SITES_MAX; i++)
        take(add(0, i * 1000, 3, 1), 1);
    struct rth_sites_copy after = copy_of();
    assert_null(rth__sites_copy_find(&after, before.rows[0].identity));
    (void)add(0, 100, 3, 1);
    struct rth_sites_copy again = copy_of();
    assert_null(rth__sites_copy_find(&again, before.rows[0].identity));
    rth__sites_copy_free(&before);
    rth__sites_copy_free(&after);
    rth__sites_copy_free(&again);
}

/* The words end before the rows do; those of long stacks that went are used again. */
static void words_of_stacks_that_went_are_used_again(void **state)
{
    (void)state;
    enum { LONG = 200, STACKS = 20000 };
    begin();
    uint32_t kept = add(0, 7, LONG, 1);
    for (uint64_t i = 1; i <= STACKS; i++)
        take(add(0, i * 100000, LONG, 1), 1);
    assert_int_equal(rth__sites_counts(&sites).overflowed, 0);
    assert_int_equal(intern(0, 7, LONG, 0), kept);
    struct rth_sites_copy copy = copy_of();
    assert_int_equal(sum_of(&copy, 0).added_count, STACKS + 1);
    for (size_t i = 0; i < copy.count; i++)
        for (unsigned k = 1; k < copy.rows[i].frame_count; k++)
            assert_int_equal(copy.rows[i].frames[k], copy.rows[i].frames[0] + k * 7);
    rth__sites_copy_free(&copy);
}

/* Compaction needs memory for a moment: without it stacks overflow, and nothing else is lost. */
static void without_memory_to_compact_stacks_overflow(void **state)
{
    (void)state;
    enum { LONG = 200, STACKS = 3000 };
    begin();
    while (rth__arena_alloc_nomalloc((size_t)1 << 20) != NULL)
        ;
    for (uint64_t i = 1; i <= STACKS; i++)
        take(add(0, i * 100000, LONG, 1), 1);
    assert_true(rth__sites_counts(&sites).overflowed > 0);
    struct rth_sites_copy copy;
    assert_true(rth__sites_copy(&sites, &copy) < 0);
    rth__arena_child_reset();
    copy = copy_of();
    assert_int_equal(sum_of(&copy, 0).added_count, STACKS);
    assert_int_equal(sum_of(&copy, 0).removed_count, STACKS);
    rth__sites_copy_free(&copy);
}

static uint32_t restore(uint32_t site, uint64_t identity, uint64_t amount)
{
    RTH__LOCK_SCOPE(&sites.lock);
    return rth__site_restore_locked(&sites, site, identity, 1, amount);
}

/* Also when the row has made room meanwhile. */
static void a_removal_that_is_taken_back_leaves_the_sums_as_they_were(void **state)
{
    (void)state;
    begin();
    uint32_t stays = add(0, 100, 3, 5), goes = add(0, 200, 3, 7);
    uint64_t stays_identity = identity_of(stays), goes_identity = identity_of(goes);
    take(stays, 5);
    assert_int_equal(restore(stays, stays_identity, 5), stays);
    take(goes, 7);
    for (uint64_t i = 1; i <= 2 * RTH_SITES_MAX; i++)
        take(add(0, i * 1000, 3, 1), 1);
    assert_int_not_equal(identity_of(goes), goes_identity);
    uint32_t now = restore(goes, goes_identity, 7);
    assert_int_equal(now, RTH_SITE_OVERFLOW);
    struct rth_sites_copy copy = copy_of();
    struct rth_site_values sum = sum_of(&copy, 0);
    assert_int_equal(sum.added_amount - sum.removed_amount, 12);
    assert_int_equal(sum.added_count - sum.removed_count, 2);
    rth__sites_copy_free(&copy);
    take(now, 7);
    take(stays, 5);
    copy = copy_of();
    sum = sum_of(&copy, 0);
    assert_int_equal(sum.added_amount, sum.removed_amount);
    rth__sites_copy_free(&copy);
}

static void *hold_the_lock(void *argument)
{
    rth__lock(&sites.lock);
    return argument;
}

static void before_init_and_in_a_child_nothing_is_recorded(void **state)
{
    (void)state;
    assert_int_equal(add(6, 100, 3, 1), 6);
    struct rth_sites_copy copy = copy_of();
    assert_int_equal(copy.count, 0);
    rth__sites_copy_free(&copy);
    assert_int_equal(rth__sites_counts(&sites).rows, 0);
    begin();
    (void)add(6, 100, 3, 1);
    rth__arena_child_reset();
    rth__facts_child_reset();
    pthread_t holder; /* is not there in the child */
    assert_int_equal(pthread_create(&holder, NULL, hold_the_lock, NULL), 0);
    assert_int_equal(pthread_join(holder, NULL), 0);
    rth__sites_child_reset(&sites);
    assert_int_equal(rth__sites_counts(&sites).rows, 0);
    begin();
    (void)add(6, 200, 3, 5);
    copy = copy_of();
    assert_int_equal(copy.count, 1);
    assert_int_equal(copy.rows[0].values.added_amount, 5);
    assert_int_equal(copy.rows[0].frames[0], 200);
    rth__sites_copy_free(&copy);
}

static void an_addition_that_is_taken_back_never_was(void **state)
{
    (void)state;
    begin();
    uint32_t site = add(3, 100, 4, 10);
    (void)add(3, 100, 4, 5);
    {
        RTH__LOCK_SCOPE(&sites.lock);
        rth__site_take_back_locked(&sites, site, 1, 5);
        rth__site_take_back_locked(&sites, RTH_SITES_MAX, 1, 5); /* none of ours */
    }
    struct rth_sites_copy copy = copy_of();
    struct rth_site_values sum = sum_of(&copy, 3);
    assert_int_equal(sum.added_count, 1);
    assert_int_equal(sum.added_amount, 10);
    assert_int_equal(sum.removed_count, 0);
    rth__sites_copy_free(&copy);
    /* What is left of the row goes when it is removed, and not before. */
    take(site, 10);
    for (uint64_t leaf = 1; rth__sites_counts(&sites).evicted == 0; leaf++)
        take(add(4, leaf << 20, 1, 1), 1);
    copy = copy_of();
    sum = sum_of(&copy, 3);
    assert_int_equal(sum.added_count, 1);
    assert_int_equal(sum.removed_count, 1);
    rth__sites_copy_free(&copy);
}

RTH_TEST_MAIN(cmocka_unit_test(a_row_is_one_stack_of_one_kind_with_one_label_set),
              cmocka_unit_test(a_copy_has_what_was_added_and_removed_with_its_stack),
              cmocka_unit_test(a_copy_does_not_change_with_what_is_added_later),
              cmocka_unit_test(what_finds_no_room_is_in_the_overflow_row_of_its_kind),
              cmocka_unit_test(a_kind_that_is_none_is_kind_0_and_a_stack_that_is_none_overflows),
              cmocka_unit_test(rows_of_which_nothing_is_left_make_room_and_their_sums_stay),
              cmocka_unit_test(of_rows_of_which_nothing_is_left_the_older_go_first),
              cmocka_unit_test(an_identity_never_comes_back_for_another_stack),
              cmocka_unit_test(words_of_stacks_that_went_are_used_again),
              cmocka_unit_test(without_memory_to_compact_stacks_overflow),
              cmocka_unit_test(a_removal_that_is_taken_back_leaves_the_sums_as_they_were),
              cmocka_unit_test(an_addition_that_is_taken_back_never_was),
              cmocka_unit_test(before_init_and_in_a_child_nothing_is_recorded))
