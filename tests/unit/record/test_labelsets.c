/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/unit.h"
#include "record/facts.h"
#include "record/labelsets.h"
#include "record/strings.h"

static uint32_t with(uint32_t parent, const char *const *pairs, size_t label_count)
{
    struct rth_label_pair ids[RTH_LABELS_MAX];
    int count = rth__label_pairs_intern(pairs, label_count, ids);
    assert_true(count >= 0);
    return rth__label_set_with(parent, ids, (unsigned)count);
}

static uint32_t with_one(uint32_t parent, const char *key, const char *value)
{
    const char *const pair[] = {key, value};
    return with(parent, pair, 1);
}

/* NULL when the set has no such key. */
static const char *value_of(uint32_t label_set, const char *key)
{
    struct rth_label labels[RTH_LABELS_MAX];
    unsigned count = rth__label_set_read(label_set, labels);
    const char *found = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(labels[i].key, key) == 0) {
            assert_null(found); /* one value per key */
            found = labels[i].value;
        }
    }
    return found;
}

static unsigned size_of(uint32_t label_set)
{
    struct rth_label labels[RTH_LABELS_MAX];
    return rth__label_set_read(label_set, labels);
}

static struct rth_label_counts counts(void)
{
    struct rth_label_counts now;
    rth__label_counts_read(&now);
    return now;
}

static void the_same_labels_in_any_order_are_one_set(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    const char *const one[] = {"handler", "/checkout", "tenant", "acme"};
    const char *const other[] = {"tenant", "acme", "handler", "/checkout"};
    uint32_t set = with(RTH_LABEL_SET_NONE, one, 2);
    assert_int_not_equal(set, RTH_LABEL_SET_NONE);
    assert_int_not_equal(set, RTH_LABEL_SET_OVERFLOW);
    assert_int_equal(with(RTH_LABEL_SET_NONE, other, 2), set);
    assert_int_equal(with_one(with_one(0, "tenant", "acme"), "handler", "/checkout"), set);
    assert_int_equal(size_of(set), 2);
    assert_string_equal(value_of(set, "handler"), "/checkout");
    assert_string_equal(value_of(set, "tenant"), "acme");
}

static void inner_labels_replace_those_of_the_same_key(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    uint32_t outer = with_one(with_one(0, "handler", "/a"), "tenant", "acme");
    uint32_t inner = with_one(outer, "handler", "/b");
    assert_string_equal(value_of(inner, "handler"), "/b");
    assert_string_equal(value_of(inner, "tenant"), "acme");
    assert_string_equal(value_of(outer, "handler"), "/a");
    const char *const twice[] = {"k", "first", "k", "last"};
    assert_string_equal(value_of(with(0, twice, 2), "k"), "last");
}

static void an_empty_value_takes_its_key_away(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    uint32_t one = with_one(0, "handler", "/a");
    assert_int_equal(with_one(one, "handler", ""), RTH_LABEL_SET_NONE);
    assert_int_equal(with_one(one, "handler", NULL), RTH_LABEL_SET_NONE);
    assert_int_equal(with_one(one, "other", ""), one);
}

static void a_label_without_a_key_is_left_out_and_counted(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    const char *const pairs[] = {NULL, "x", "", "y", "k", "z"};
    uint32_t set = with(0, pairs, 3);
    assert_int_equal(size_of(set), 1);
    assert_string_equal(value_of(set, "k"), "z");
    assert_int_equal(counts().without_key, 2);
}

static void long_texts_are_cut_at_a_character_and_counted(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    char key[RTH_LABEL_KEY_BYTES_MAX + 2], value[RTH_LABEL_VALUE_BYTES_MAX + 4];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    /* One byte too many for the last of its two-byte characters. */
    memset(value, 'v', sizeof(value));
    (void)snprintf(value + RTH_LABEL_VALUE_BYTES_MAX - 1, 4, "\xc3\xa9");
    uint32_t set = with_one(0, key, value);
    struct rth_label labels[RTH_LABELS_MAX];
    assert_int_equal(rth__label_set_read(set, labels), 1);
    assert_int_equal(strlen(labels[0].key), RTH_LABEL_KEY_BYTES_MAX);
    assert_int_equal(strlen(labels[0].value), RTH_LABEL_VALUE_BYTES_MAX - 1);
    assert_int_equal(counts().keys_cut, 1);
    assert_int_equal(counts().values_cut, 1);
    /* As long as may be is not cut. */
    key[RTH_LABEL_KEY_BYTES_MAX] = '\0';
    (void)with_one(0, key, "v");
    assert_int_equal(counts().keys_cut, 1);
}

static void what_is_not_utf_8_becomes_a_question_mark(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    assert_string_equal(value_of(with_one(0, "k",
                                          "a\xff"
                                          "b\xc3"),
                                 "k"),
                        "a?b?");
    assert_string_equal(value_of(with_one(0, "k",
                                          "12345678\xc3\xa9 gr\xc3\xbc\xc3\x9f"
                                          "e"),
                                 "k"),
                        "12345678\xc3\xa9 gr\xc3\xbc\xc3\x9f"
                        "e");
}

static void the_seventeenth_label_is_left_out_and_counted(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    uint32_t set = RTH_LABEL_SET_NONE;
    for (unsigned i = 0; i < RTH_LABELS_MAX; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key%u", i);
        set = with_one(set, key, "v");
    }
    assert_int_equal(size_of(set), RTH_LABELS_MAX);
    assert_int_equal(with_one(set, "more", "v"), set);
    assert_int_equal(counts().too_many, 1);
    assert_string_equal(value_of(with_one(set, "key7", "w"), "key7"), "w");
    const char *pairs[2 * (RTH_LABELS_MAX + 1)];
    for (unsigned i = 0; i <= RTH_LABELS_MAX; i++) {
        static char keys[RTH_LABELS_MAX + 1][16];
        (void)snprintf(keys[i], sizeof(keys[i]), "at once %u", i);
        pairs[2 * i] = keys[i];
        pairs[2 * i + 1] = "v";
    }
    assert_int_equal(size_of(with(0, pairs, RTH_LABELS_MAX + 1)), RTH_LABELS_MAX);
    assert_int_equal(counts().too_many, 2);
}

static void a_full_table_of_sets_says_so_in_a_set_of_its_own(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    assert_string_equal(value_of(RTH_LABEL_SET_OVERFLOW, RTH_LABEL_OVERFLOW_KEY),
                        RTH_LABEL_OVERFLOW_VALUE);
    struct rth_label_pair pairs[RTH_LABELS_MAX];
    const char *const names[] = {"a", "1", "b", "2", "c", "3"};
    assert_int_equal(rth__label_pairs_intern(names, 3, pairs), 3);
    uint32_t first = rth__label_set_with(0, pairs, 3), set = first;
    unsigned made = 0;
    /* Sets of numbers that stand for no string: what matters here is how many there are. */
    for (uint32_t value = 1000000; set != RTH_LABEL_SET_OVERFLOW && made < 100000; value++) {
        pairs[2].value = value;
        set = rth__label_set_with(0, pairs, 3);
        made++;
    }
    assert_in_range(made, 10000, 20000);
    assert_int_equal(counts().overflowed_sets, 1);
    const char *const again[] = {"c", "3", "b", "2", "a", "1"};
    assert_int_equal(with(0, again, 3), first); /* what is there is found for ever */
    assert_string_equal(value_of(first, "c"), "3");
    assert_int_equal(with_one(0, RTH_LABEL_OVERFLOW_KEY, RTH_LABEL_OVERFLOW_VALUE),
                     RTH_LABEL_SET_OVERFLOW);
}

static void a_full_table_of_strings_is_counted_by_itself(void **state)
{
    (void)state;
    assert_true(rth__label_sets_ready());
    struct rth_label_pair pairs[RTH_LABELS_MAX];
    int error = 0;
    for (unsigned i = 0; error >= 0 && i < 100000; i++) {
        char value[32];
        (void)snprintf(value, sizeof(value), "request %u", i);
        const char *const names[] = {"id", value};
        error = rth__label_pairs_intern(names, 1, pairs);
    }
    assert_int_equal(error, -ENOSPC);
    assert_int_equal(counts().overflowed_strings, 1);
    assert_int_equal(counts().overflowed_sets, 0);
}

static void numbers_never_given_are_sets_without_labels(void **state)
{
    (void)state;
    assert_int_equal(size_of(3), 0); /* no tables yet */
    assert_int_equal(rth__label_set_with(7, NULL, 0), 7);
    assert_true(rth__label_sets_ready());
    assert_int_equal(size_of(RTH_LABEL_SET_NONE), 0);
    assert_int_equal(size_of(60000), 0);
    assert_int_equal(size_of(1u << 16), 0);
    assert_int_equal(size_of(UINT32_MAX), 0);
}

enum { THREADS = 4, SETS = 2000 };
static uint32_t seen[THREADS][SETS];

static void *make_sets(void *argument)
{
    uintptr_t which = (uintptr_t)argument;
    for (unsigned i = 0; i < SETS; i++) {
        unsigned number = which % 2 != 0 ? i : SETS - 1 - i;
        char value[32];
        (void)snprintf(value, sizeof(value), "%u", number);
        const char *const pairs[] = {"n", value, "k", "v"};
        /* The tables are made by whoever comes first; the others try again. */
        while (!rth__label_sets_ready())
            ;
        seen[which][number] = with(0, pairs, 2);
    }
    return NULL;
}

static void threads_that_make_sets_at_once_agree(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_sets, (void *)i), 0);
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(counts().sets, SETS + 1);
    for (unsigned i = 0; i < SETS; i++) {
        char value[32];
        (void)snprintf(value, sizeof(value), "%u", i);
        assert_string_equal(value_of(seen[0][i], "n"), value);
        for (unsigned k = 1; k < THREADS; k++)
            assert_int_equal(seen[k][i], seen[0][i]);
    }
}

/* As rthooks.c does it: what is recorded goes, the sets stay. */
static void a_child_keeps_every_set_and_none_changes_its_meaning(void **state)
{
    (void)state;
    static struct rth_counted counted = {.name = "test"};
    assert_int_equal(rth__counted_init(&counted), 0);
    assert_true(rth__label_sets_ready());
    uint32_t ours = with_one(0, "handler", "/parent");
    pid_t pid = fork();
    if (pid == 0) {
        rth__label_sets_child_reset();
        rth__record_child_reset();
        bool fine = rth__counted_init(&counted) == 0 && rth__label_sets_ready();
        uint32_t own = with_one(0, "handler", "/child");
        fine = fine && own != ours && with_one(0, "handler", "/parent") == ours &&
               strcmp(value_of(ours, "handler"), "/parent") == 0 &&
               strcmp(value_of(own, "handler"), "/child") == 0;
        _exit(fine ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    uint32_t next = with_one(0, "handler", "/next");
    assert_string_equal(value_of(next, "handler"), "/next");
}

RTH_TEST_MAIN(cmocka_unit_test(the_same_labels_in_any_order_are_one_set),
              cmocka_unit_test(inner_labels_replace_those_of_the_same_key),
              cmocka_unit_test(an_empty_value_takes_its_key_away),
              cmocka_unit_test(a_label_without_a_key_is_left_out_and_counted),
              cmocka_unit_test(long_texts_are_cut_at_a_character_and_counted),
              cmocka_unit_test(what_is_not_utf_8_becomes_a_question_mark),
              cmocka_unit_test(the_seventeenth_label_is_left_out_and_counted),
              cmocka_unit_test(a_full_table_of_sets_says_so_in_a_set_of_its_own),
              cmocka_unit_test(a_full_table_of_strings_is_counted_by_itself),
              cmocka_unit_test(numbers_never_given_are_sets_without_labels),
              cmocka_unit_test(threads_that_make_sets_at_once_agree),
              cmocka_unit_test(a_child_keeps_every_set_and_none_changes_its_meaning))
