/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "helper/unit.h"
#include "profile/row_list.h"
#include "record/labelsets.h"

static uint32_t set_of(const char *const *pairs, size_t count)
{
    struct rth_label_pair interned[RTH_LABELS_MAX];
    assert_true(rth__label_sets_ready());
    int kept = rth__label_pairs_intern(pairs, count, interned);
    assert_true(kept >= 0);
    return rth__label_set_with(RTH_LABEL_SET_NONE, interned, (unsigned)kept);
}

static const char *value_of(const struct rth_profile_row *row, const char *key)
{
    const char *value = NULL;
    for (size_t i = 0; i < row->label_count; i++) {
        if (strcmp(row->labels[i].key, key) != 0)
            continue;
        assert_null(value); /* one value per key */
        value = row->labels[i].text;
    }
    return value;
}

static void own_labels_win_over_those_of_the_program(void **state)
{
    (void)state;
    const char *const pairs[] = {"state", "programs", "handler", "/a"};
    const struct rth_pprof_label own = {.key = "state", .text = "waiting"};
    rth_frame frames[2] = {5, 6};
    struct rth_row_list list;
    assert_int_equal(rth__row_list_init(&list, 2, 1), 0);
    int64_t *value = rth__row_list_add(&list, frames, 2, set_of(pairs, 2), &own, 1);
    assert_int_equal(*value, 0);
    *value = 7;
    assert_non_null(rth__row_list_add(&list, NULL, 0, RTH_LABEL_SET_NONE, NULL, 0));
    assert_int_equal(list.count, 2);
    assert_ptr_equal(list.rows[0].frames, frames);
    assert_int_equal(list.rows[0].values[0], 7);
    assert_int_equal(list.rows[0].label_count, 2);
    assert_string_equal(value_of(&list.rows[0], "state"), "waiting");
    assert_string_equal(value_of(&list.rows[0], "handler"), "/a");
    assert_int_equal(list.rows[1].label_count, 0);
    assert_int_equal(list.rows[1].values[0], 0);
    rth__row_list_free(&list);
}

static void rows_keep_their_labels_and_values_however_many_follow(void **state)
{
    (void)state;
    enum { ROWS = 3000 };
    const char *const pairs[] = {"k", "v"};
    uint32_t set = set_of(pairs, 1);
    static const char *const texts[] = {"a", "b", "c"};
    struct rth_row_list list;
    assert_int_equal(rth__row_list_init(&list, ROWS, 2), 0);
    for (int i = 0; i < ROWS; i++) {
        const struct rth_pprof_label own = {.key = "own", .text = texts[i % 3]};
        int64_t *values = rth__row_list_add(&list, NULL, 0, set, &own, 1);
        assert_non_null(values);
        values[0] = i;
        values[1] = -i;
    }
    for (int i = 0; i < ROWS; i++) {
        assert_string_equal(value_of(&list.rows[i], "own"), texts[i % 3]);
        assert_string_equal(value_of(&list.rows[i], "k"), "v");
        assert_int_equal(list.rows[i].values[0], i);
        assert_int_equal(list.rows[i].values[1], -i);
    }
    rth__row_list_free(&list);
}

RTH_TEST_MAIN(cmocka_unit_test(own_labels_win_over_those_of_the_program),
              cmocka_unit_test(rows_keep_their_labels_and_values_however_many_follow))
