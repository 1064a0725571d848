/* SPDX-License-Identifier: MIT */
/* Live ranges and the sums of their sites, against a model that knows each page. */
#include "helper/unit.h"

#include <stdlib.h>
#include <string.h>

#include "profile/mmap/ranges.h"
#include "record/facts.h"

#define PAGE  UINT64_C(4096)
#define SITES 4u
#define NEWER UINT64_MAX

static struct rth_sites sites = {.lock = RTH_LOCK_INIT(RTH_RANK_SITES)};
static struct rth_map_ranges ranges;
static uint32_t site_of[SITES];

static void begin(void)
{
    rth__sites_child_reset(&sites);
    rth__facts_child_reset();
    assert_int_equal(rth__sites_init(&sites, "test"), 0);
    assert_int_equal(rth__map_ranges_init(&ranges, &sites), 0);
    for (uint32_t i = 0; i < SITES; i++) {
        rth_frame frames[2] = {rth__frame_make(1, 0x1000 + 16 * i), rth__frame_make(1, 0x2000)};
        site_of[i] = rth__site_intern_locked(&sites, 0, frames, 2, 0);
    }
}

static void add(uint64_t first, uint64_t limit, uint64_t number, uint32_t site)
{
    rth__map_ranges_add_locked(&ranges, first * PAGE, limit * PAGE, number, site_of[site]);
}

static void take(uint64_t first, uint64_t limit)
{
    rth__map_ranges_take_locked(&ranges, first * PAGE, limit * PAGE, NEWER);
}

/* The values of a site; all zero when nothing was ever added there. */
static struct rth_site_values values_of(uint32_t site)
{
    struct rth_sites_copy copy;
    struct rth_site_values values = {0};
    assert_int_equal(rth__sites_copy(&sites, &copy), 0);
    const struct rth_site_row *row =
        rth__sites_copy_find(&copy, rth__site_identity_locked(&sites, site_of[site]));
    if (row != NULL)
        values = row->values;
    rth__sites_copy_free(&copy);
    return values;
}

static void assert_in_use(uint32_t site, uint64_t mappings, uint64_t pages)
{
    struct rth_site_values values = values_of(site);
    assert_int_equal(values.added_count - values.removed_count, mappings);
    assert_int_equal(values.added_amount - values.removed_amount, pages * PAGE);
}

static void assert_piece(size_t at, uint64_t first, uint64_t limit, uint64_t number)
{
    assert_true(at < ranges.count);
    assert_int_equal(ranges.pieces[at].start, first * PAGE);
    assert_int_equal(ranges.pieces[at].limit, limit * PAGE);
    assert_int_equal(ranges.pieces[at].number, number);
}

static void a_mapping_is_held_until_it_is_taken(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    assert_in_use(0, 1, 10);
    assert_true(rth__map_ranges_hold_locked(&ranges, 10 * PAGE));
    assert_true(rth__map_ranges_hold_locked(&ranges, 20 * PAGE - 1));
    assert_false(rth__map_ranges_hold_locked(&ranges, 20 * PAGE));
    assert_false(rth__map_ranges_hold_locked(&ranges, 10 * PAGE - 1));
    take(0, 100);
    assert_int_equal(ranges.count, 0);
    assert_in_use(0, 0, 0);
    assert_int_equal(values_of(0).added_count, 1);
    assert_int_equal(values_of(0).added_amount, 10 * PAGE);
}

static void both_ends_and_the_middle_go_to_the_byte(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    take(5, 12);
    assert_in_use(0, 1, 8);
    take(18, 25);
    assert_in_use(0, 1, 6);
    take(14, 15);
    assert_int_equal(ranges.count, 2);
    assert_piece(0, 15, 18, 1);
    assert_piece(1, 12, 14, 1);
    assert_in_use(0, 1, 5);
}

static void a_split_mapping_counts_as_one_until_its_last_piece_goes(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    take(12, 13);
    take(15, 16);
    assert_in_use(0, 1, 8);
    take(10, 12);
    assert_in_use(0, 1, 6);
    take(16, 20);
    assert_in_use(0, 1, 2);
    take(13, 15);
    assert_in_use(0, 0, 0);
    add(10, 20, 2, 0);
    take(12, 13);
    take(0, 100); /* both at once */
    assert_in_use(0, 0, 0);
    assert_int_equal(values_of(0).removed_count, 2);
}

static void a_new_mapping_replaces_what_it_covers(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    add(30, 40, 2, 1);
    add(15, 35, 3, 2);
    assert_int_equal(ranges.count, 3);
    assert_piece(0, 35, 40, 2);
    assert_piece(1, 15, 35, 3);
    assert_piece(2, 10, 15, 1);
    assert_in_use(0, 1, 5);
    assert_in_use(1, 1, 5);
    assert_in_use(2, 1, 20);
    add(20, 25, 4, 3); /* in the middle */
    assert_in_use(2, 1, 15);
    assert_in_use(3, 1, 5);
    add(10, 40, 5, 0);
    assert_int_equal(ranges.count, 1);
    assert_in_use(0, 1, 30);
    assert_in_use(1, 0, 0);
    assert_in_use(2, 0, 0);
    assert_in_use(3, 0, 0);
}

static void what_is_newer_than_the_mark_stays(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    add(20, 30, 2, 1);
    add(30, 40, 3, 2);
    rth__map_ranges_take_locked(&ranges, 12 * PAGE, 38 * PAGE, 1);
    assert_in_use(0, 1, 2);
    assert_in_use(1, 1, 10);
    assert_in_use(2, 1, 10);
    /* The place was given to another thread before the first one told that it is free. */
    add(12, 20, 4, 3);
    rth__map_ranges_take_locked(&ranges, 10 * PAGE, 20 * PAGE, 3);
    assert_in_use(0, 0, 0);
    assert_in_use(3, 1, 8);
    /* Older ones behind a newer one. */
    rth__map_ranges_take_locked(&ranges, 0, 100 * PAGE, 3);
    assert_int_equal(ranges.count, 1);
    assert_piece(0, 12, 20, 4);
}

static void a_pending_mapping_is_settled_with_what_went_meanwhile(void **state)
{
    (void)state;
    begin();
    rth__map_ranges_add_locked(&ranges, 10 * PAGE, 20 * PAGE, 1, RTH_MAP_SITE_PENDING);
    rth__map_ranges_add_locked(&ranges, 30 * PAGE, 40 * PAGE, 2, RTH_MAP_SITE_PENDING);
    rth__map_ranges_add_locked(&ranges, 50 * PAGE, 60 * PAGE, 3, RTH_MAP_SITE_PENDING);
    take(33, 35);
    take(50, 60);
    rth__map_ranges_settle_locked(&ranges, 1, 10 * PAGE, site_of[0]);
    rth__map_ranges_settle_locked(&ranges, 2, 10 * PAGE, site_of[1]);
    rth__map_ranges_settle_locked(&ranges, 3, 10 * PAGE, site_of[2]);
    assert_in_use(0, 1, 10);
    assert_in_use(1, 1, 8);
    assert_in_use(2, 0, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(values_of(i).added_count, 1);
        assert_int_equal(values_of(i).added_amount, 10 * PAGE);
    }
    take(0, 100);
    assert_in_use(0, 0, 0);
    assert_in_use(1, 0, 0);
}

static void what_finds_no_room_is_counted_and_not_in_use(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 0; i < RTH_MAP_PIECES_MAX; i++)
        add(4 * i, 4 * i + 3, i + 1, 0);
    assert_in_use(0, RTH_MAP_PIECES_MAX, 3 * (uint64_t)RTH_MAP_PIECES_MAX);
    assert_int_equal(ranges.refused, 0);
    add(4 * RTH_MAP_PIECES_MAX, 4 * RTH_MAP_PIECES_MAX + 3, RTH_MAP_PIECES_MAX + 1, 1);
    assert_int_equal(ranges.refused, 1);
    assert_int_equal(ranges.refused_bytes, 3 * PAGE);
    assert_in_use(1, 0, 0);
    assert_int_equal(values_of(1).added_count, 1);
    take(1, 2); /* its lower half finds no room */
    assert_int_equal(ranges.refused, 2);
    assert_in_use(0, RTH_MAP_PIECES_MAX, 3 * (uint64_t)RTH_MAP_PIECES_MAX - 2);
    take(0, 8 * (uint64_t)RTH_MAP_PIECES_MAX);
    assert_in_use(0, 0, 0);
}

static void a_second_start_forgets_what_the_first_recorded(void **state)
{
    (void)state;
    begin();
    add(10, 20, 1, 0);
    take(12, 13);
    assert_int_equal(rth__map_ranges_init(&ranges, &sites), 0);
    assert_int_equal(ranges.count, 0);
    assert_in_use(0, 0, 0);
}

static void without_memory_nothing_is_recorded_and_nothing_breaks(void **state)
{
    (void)state;
    begin();
    struct rth_map_ranges none = {.sites = &sites};
    rth__map_ranges_add_locked(&none, PAGE, 2 * PAGE, 1, site_of[0]);
    rth__map_ranges_take_locked(&none, 0, NEWER, NEWER);
    assert_false(rth__map_ranges_hold_locked(&none, PAGE));
    assert_in_use(0, 0, 0);
    add(20, 10, 1, 0); /* empty, and the wrong way round */
    add(10, 10, 1, 0);
    take(20, 10);
    assert_int_equal(ranges.count, 0);
}

/* ---- the model ------------------------------------------------------------------------------ */

#define PAGES 96u
#define STEPS 30000u

static struct {
    uint64_t number;
    uint32_t site;
} model[PAGES];

static uint64_t seed = 88172645463325252u;
static uint32_t random_below(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % limit;
}

static void assert_as_modelled(void)
{
    uint64_t pages[SITES] = {0}, mappings[SITES] = {0};
    for (uint32_t i = 0; i < PAGES; i++) {
        if (model[i].number == 0)
            continue;
        pages[model[i].site]++;
        bool seen = false;
        for (uint32_t k = 0; k < i; k++)
            seen = seen || model[k].number == model[i].number;
        mappings[model[i].site] += !seen;
    }
    for (uint32_t i = 0; i < SITES; i++)
        assert_in_use(i, mappings[i], pages[i]);
    for (size_t at = 0; at < ranges.count; at++) {
        const struct rth_map_piece *piece = &ranges.pieces[at];
        assert_true(piece->start < piece->limit);
        assert_true(at == 0 || ranges.pieces[at - 1].start >= piece->limit);
        for (uint64_t page = piece->start / PAGE; page < piece->limit / PAGE; page++)
            assert_int_equal(model[page].number, piece->number);
    }
}

static void any_sequence_of_calls_agrees_with_the_model(void **state)
{
    (void)state;
    begin();
    uint64_t number = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t first = random_below(PAGES), limit = first + 1 + random_below(PAGES - first);
        uint32_t kind = random_below(3), site = random_below(SITES);
        uint64_t last = kind == 2 && number > 6 ? number - random_below(6) : NEWER;
        if (kind == 0)
            add(first, limit, ++number, site);
        else
            rth__map_ranges_take_locked(&ranges, first * PAGE, limit * PAGE, last);
        for (uint32_t page = first; page < limit; page++) {
            if (kind == 0) {
                model[page].number = number;
                model[page].site = site;
            } else if (model[page].number <= last) {
                model[page].number = 0;
            }
        }
        if (step % 16 == 0)
            assert_as_modelled();
    }
    assert_int_equal(rth__map_ranges_bytes_locked(&ranges) % PAGE, 0);
}

RTH_TEST_MAIN(cmocka_unit_test(a_mapping_is_held_until_it_is_taken),
              cmocka_unit_test(both_ends_and_the_middle_go_to_the_byte),
              cmocka_unit_test(a_split_mapping_counts_as_one_until_its_last_piece_goes),
              cmocka_unit_test(a_new_mapping_replaces_what_it_covers),
              cmocka_unit_test(what_is_newer_than_the_mark_stays),
              cmocka_unit_test(a_pending_mapping_is_settled_with_what_went_meanwhile),
              cmocka_unit_test(what_finds_no_room_is_counted_and_not_in_use),
              cmocka_unit_test(a_second_start_forgets_what_the_first_recorded),
              cmocka_unit_test(without_memory_nothing_is_recorded_and_nothing_breaks),
              cmocka_unit_test(any_sequence_of_calls_agrees_with_the_model))
