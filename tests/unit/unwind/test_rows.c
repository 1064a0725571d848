/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>

#include "unwind/arch.h"
#include "unwind/rows.h"

#define ROWS 20000

static uint32_t offset[ROWS];
static int32_t cfa_offset[ROWS];

static struct rth_rule_draft draft_of(int32_t cfa)
{
    struct rth_rule_draft draft = {
        .rule = {.kind = RTH_RULE_REGISTER, .cfa_register = RTH_REG_RSP, .cfa_offset = cfa}};
    return draft;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Distances and rules of every encoded size, and both sides of where the size changes. */
static struct rth_rows *many_rows(unsigned distinct)
{
    static const uint32_t distance[] = {1,   2,     3,     5,     126,   127,   128,    129,
                                        254, 32766, 32767, 32768, 40000, 70000, 200000, 4};
    struct rth_rows_builder *builder = rth__rows_builder_new();
    uint32_t seed = 7, at = 3;
    assert_non_null(builder);
    for (unsigned i = 0; i < ROWS; i++) {
        offset[i] = at;
        cfa_offset[i] = 8 + 8 * (int32_t)(next_random(&seed) % distinct);
        struct rth_rule_draft draft = draft_of(cfa_offset[i]);
        assert_int_equal(rth__rows_builder_add(builder, at, &draft), 0);
        uint32_t pick = next_random(&seed) % 64;
        at += pick < 16 ? distance[pick] : 1 + pick;
    }
    struct rth_rows *rows = rth__rows_builder_finish(builder);
    rth__rows_builder_free(builder);
    assert_non_null(rows);
    return rows;
}

static int32_t cfa_at(const struct rth_rows *rows, uint64_t at)
{
    return rows->rules[rth__rows_find_sigsafe(rows, at)].cfa_offset;
}

static void every_row_is_found_from_its_start_to_its_last_byte(void **state)
{
    (void)state;
    static const unsigned distinct[] = {2, 200, 239, 240, 241, 3000};
    for (unsigned d = 0; d < sizeof(distinct) / sizeof(distinct[0]); d++) {
        struct rth_rows *rows = many_rows(distinct[d]);
        assert_int_equal(rth__rows_find_sigsafe(rows, 0), 0);
        assert_int_equal(rth__rows_find_sigsafe(rows, 2), 0);
        for (unsigned i = 0; i < ROWS; i++) {
            assert_int_equal(cfa_at(rows, offset[i]), cfa_offset[i]);
            if (i + 1 < ROWS)
                assert_int_equal(cfa_at(rows, offset[i + 1] - 1), cfa_offset[i]);
        }
        assert_int_equal(cfa_at(rows, UINT32_MAX), cfa_offset[ROWS - 1]);
        assert_int_equal(rth__rows_find_sigsafe(rows, (uint64_t)UINT32_MAX + 1), 0);
        rth__rows_free(rows);
    }
}

static void equal_neighbours_are_one_row(void **state)
{
    (void)state;
    struct rth_rows_builder *builder = rth__rows_builder_new();
    struct rth_rule_draft draft = draft_of(16);
    for (uint32_t at = 0; at < 100; at++)
        assert_int_equal(rth__rows_builder_add(builder, at, &draft), 0);
    struct rth_rows *rows = rth__rows_builder_finish(builder);
    rth__rows_builder_free(builder);
    assert_int_equal(rows->row_count, 1);
    assert_int_equal(rows->rule_count, 2); /* NONE is the first */
    assert_int_equal(cfa_at(rows, 99), 16);
    rth__rows_free(rows);
}

static void rows_out_of_order_are_refused(void **state)
{
    (void)state;
    struct rth_rows_builder *builder = rth__rows_builder_new();
    struct rth_rule_draft draft = draft_of(16);
    assert_int_equal(rth__rows_builder_add(builder, 100, &draft), 0);
    draft = draft_of(24);
    assert_int_equal(rth__rows_builder_add(builder, 100, &draft), -EINVAL);
    assert_int_equal(rth__rows_builder_add(builder, 99, &draft), -EINVAL);
    rth__rows_builder_free(builder);
}

static void rules_beyond_what_can_be_numbered_say_nothing(void **state)
{
    (void)state;
    struct rth_rows_builder *builder = rth__rows_builder_new();
    for (uint32_t i = 0; i < RTH_RULES_MAX + 10; i++) {
        struct rth_rule_draft draft = draft_of((int32_t)(8 * i));
        int expected = i < RTH_RULES_MAX - 1 ? 0 : -ENOSPC;
        assert_int_equal(rth__rows_builder_add(builder, i, &draft), expected);
    }
    struct rth_rows *rows = rth__rows_builder_finish(builder);
    rth__rows_builder_free(builder);
    assert_int_equal(cfa_at(rows, RTH_RULES_MAX - 2), 8 * (RTH_RULES_MAX - 2));
    assert_int_equal(rows->rules[rth__rows_find_sigsafe(rows, RTH_RULES_MAX + 5)].kind,
                     RTH_RULE_NONE);
    rth__rows_free(rows);
}

static void an_empty_table_has_no_rule_for_anything(void **state)
{
    (void)state;
    struct rth_rows_builder *builder = rth__rows_builder_new();
    struct rth_rows *rows = rth__rows_builder_finish(builder);
    rth__rows_builder_free(builder);
    assert_int_equal(rth__rows_find_sigsafe(rows, 0), 0);
    assert_int_equal(rth__rows_find_sigsafe(rows, UINT32_MAX), 0);
    rth__rows_free(rows);
}

RTH_TEST_MAIN(cmocka_unit_test(every_row_is_found_from_its_start_to_its_last_byte),
              cmocka_unit_test(equal_neighbours_are_one_row),
              cmocka_unit_test(rows_out_of_order_are_refused),
              cmocka_unit_test(rules_beyond_what_can_be_numbered_say_nothing),
              cmocka_unit_test(an_empty_table_has_no_rule_for_anything), )
