/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "helper/unit.h"
#include "profile/labels.h"

static uint32_t set_of(const char *const *pairs, size_t label_count)
{
    struct rth_label_pair ids[RTH_LABELS_MAX];
    assert_true(rth__label_sets_ready());
    int count = rth__label_pairs_intern(pairs, label_count, ids);
    assert_int_equal(count, label_count);
    return rth__label_set_with(RTH_LABEL_SET_NONE, ids, (unsigned)count);
}

static const char *shown(const struct rth_pprof_label *labels, unsigned count, const char *key)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(labels[i].key, key) == 0)
            return labels[i].text;
    return NULL;
}

static void labels_are_texts_and_values_of_secrets_are_hidden(void **state)
{
    (void)state;
    const char *const pairs[] = {"handler", "/checkout", "Api_Token", "abc", "password", "xyz"};
    struct rth_pprof_label labels[RTH_LABELS_MAX];
    unsigned count = rth__profile_labels_read(set_of(pairs, 3), labels);
    assert_int_equal(count, 3);
    assert_string_equal(shown(labels, count, "handler"), "/checkout");
    assert_string_equal(shown(labels, count, "Api_Token"), "***");
    assert_string_equal(shown(labels, count, "password"), "***");
    assert_int_equal(rth__profile_labels_read(RTH_LABEL_SET_NONE, labels), 0);
}

static void an_overflow_is_said_in_the_comments_once_it_happened(void **state)
{
    (void)state;
    static struct rth_comments comments;
    rth__comments_init(&comments);
    unsigned before = comments.count;
    rth__profile_labels_comment(&comments);
    assert_int_equal(comments.count, before);
    const char *const pair[] = {"k", "v"};
    struct rth_label_pair one[1];
    struct rth_label_pair ids[RTH_LABELS_MAX];
    (void)set_of(pair, 1);
    assert_int_equal(rth__label_pairs_intern(pair, 1, ids), 1);
    one[0] = ids[0];
    while (rth__label_set_with(RTH_LABEL_SET_NONE, one, 1) != RTH_LABEL_SET_OVERFLOW)
        one[0].value++;
    rth__profile_labels_comment(&comments);
    assert_int_equal(comments.count, before + 1);
    assert_non_null(strstr(comments.lines[before], "1 blocks so far found no room for their set"));
}

RTH_TEST_MAIN(cmocka_unit_test(labels_are_texts_and_values_of_secrets_are_hidden),
              cmocka_unit_test(an_overflow_is_said_in_the_comments_once_it_happened))
