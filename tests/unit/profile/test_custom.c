/* SPDX-License-Identifier: MIT */
/* Profiles of the program's own: names, values, and what the sites of their stacks add up to. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/arena.h"
#include "core/enable.h"
#include "helper/unit.h"
#include "os/fd.h"
#include "profile/custom/values.h"
#include "record/facts.h"
#include "rthooks/label.h"
#include "rthooks/profile.h"
#include "unwind/unwind.h"

#define VALUES 3000u

static char values[VALUES];

static struct rth_profile *profile_new(const char *name)
{
    struct rth_profile *profile = NULL;
    assert_int_equal(rth_profile_new(name, &profile), 0);
    assert_non_null(profile);
    return profile;
}

static void begin(void)
{
    assert_int_equal(rth__enable_init(), 0);
    rth__enable_on(getpid(), 1);
    assert_int_equal(rth__custom_start(), 0);
}

/* As rth-work does before it shows a profile. */
static void refresh(void)
{
    RTH__AUTO_CLOSE int root_fd = rth__openat(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
    assert_true(rth__unwind_refresh(root_fd) >= 0);
    rth__custom_resolve();
}

struct sums {
    uint64_t values, without_stack;
    unsigned rows;
};

static struct sums sums_of(const struct rth_profile *profile)
{
    struct rth_sites_copy copy;
    struct sums sums = {0};
    assert_int_equal(rth__custom_sites_copy(&copy), 0);
    for (size_t i = 0; i < copy.count; i++) {
        const struct rth_site_row *row = &copy.rows[i];
        uint64_t held = row->values.added_count - row->values.removed_count;
        if (row->kind != rth__custom_kind(profile) || held == 0)
            continue;
        sums.rows++;
        sums.values += held;
        sums.without_stack += row->frame_count == 0 ? held : 0;
    }
    rth__sites_copy_free(&copy);
    return sums;
}

__attribute__((noinline)) static int add_here(struct rth_profile *profile, const void *value)
{
    int error = rth_profile_add(profile, value);
    __asm__ volatile(""); /* no tail call */
    return error;
}

/* ---- names --------------------------------------------------------------------------------- */

static void a_name_is_unique_and_of_plain_characters(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'x', sizeof(longest));
    longest[65] = '\0';
    struct rth_profile *profile = NULL;
    static const char *const bad[] = {"",  "a b", "a/b", "a%62", "\xc3\xa9", "a?b",
                                      ".", "..",  "a\n", "<b>",  "a'b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(rth_profile_new(bad[i], &profile), -EINVAL);
    assert_int_equal(rth_profile_new(longest, &profile), -EINVAL);
    assert_int_equal(rth_profile_new(NULL, &profile), -EINVAL);
    assert_int_equal(rth_profile_new("a", NULL), -EINVAL);
    assert_null(profile);
    longest[64] = '\0';
    (void)profile_new(longest);
    (void)profile_new("Az09_.-");
    assert_int_equal(rth_profile_new("Az09_.-", &profile), -EEXIST);
    (void)profile_new("Az09_.");
    static const char *const built_in[] = {"heap", "goroutine", "mutex", "trace", "threadcreate"};
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++)
        assert_int_equal(rth_profile_new(built_in[i], &profile), -EEXIST);
    assert_ptr_equal(rth__custom_find("Az09_."), rth__custom_at(2));
    assert_null(rth__custom_find("Az09"));
    assert_null(rth__custom_at(3));
}

static void there_are_as_many_profiles_as_promised(void **state)
{
    (void)state;
    char name[8];
    struct rth_profile *profile;
    for (unsigned i = 0; i < RTH_CUSTOM_PROFILES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "p%u", i);
        (void)profile_new(name);
    }
    assert_int_equal(rth_profile_new("more", &profile), -ENOSPC);
    assert_int_equal(rth_profile_new("p3", &profile), -EEXIST);
    assert_null(rth__custom_at(RTH_CUSTOM_PROFILES_MAX));
}

static pthread_barrier_t barrier;

static void *race_for_names(void *ret_won)
{
    char name[8];
    struct rth_profile *profile;
    for (unsigned i = 0; i < 8; i++) {
        (void)pthread_barrier_wait(&barrier);
        (void)snprintf(name, sizeof(name), "r%u", i);
        int error = rth_profile_new(name, &profile);
        assert_true(error == 0 || error == -EEXIST);
        *(unsigned *)ret_won += error == 0;
    }
    return NULL;
}

static void of_two_threads_that_want_a_name_one_gets_it(void **state)
{
    (void)state;
    pthread_t threads[4];
    unsigned won[4] = {0};
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 4), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_for_names, &won[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(won[0] + won[1] + won[2] + won[3], 8);
    assert_non_null(rth__custom_at(7));
    assert_null(rth__custom_at(8));
}

/* ---- values -------------------------------------------------------------------------------- */

static void a_value_is_in_a_profile_once_and_in_others_too(void **state)
{
    (void)state;
    struct rth_profile *one = profile_new("one"), *two = profile_new("two");
    begin();
    assert_int_equal(rth_profile_add(one, &values[0]), 0);
    assert_int_equal(rth_profile_add(one, &values[0]), -EEXIST);
    assert_int_equal(rth_profile_add(two, &values[0]), 0);
    assert_int_equal(rth_profile_add(one, &values[1]), 0);
    assert_int_equal(rth_profile_count(one), 2);
    assert_int_equal(rth_profile_count(two), 1);
    rth_profile_remove(one, &values[0]);
    rth_profile_remove(one, &values[0]);
    rth_profile_remove(one, &values[2]);
    rth_profile_remove(one, NULL);
    rth_profile_remove(NULL, &values[1]);
    assert_int_equal(rth_profile_count(one), 1);
    assert_int_equal(rth_profile_count(two), 1);
    assert_int_equal(rth_profile_add(one, &values[0]), 0);
    assert_int_equal(rth_profile_add(one, NULL), -EINVAL);
    assert_int_equal(rth_profile_add(NULL, &values[0]), -EINVAL);
    assert_int_equal(rth_profile_count(NULL), 0);
    assert_int_equal(sums_of(one).values, 2);
    assert_int_equal(sums_of(two).values, 1);
}

static void nothing_is_recorded_while_the_runtime_does_not_run(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    assert_int_equal(rth_profile_add(profile, &values[0]), -EAGAIN);
    begin();
    assert_int_equal(rth_profile_add(profile, &values[0]), 0);
    rth__enable_off();
    assert_int_equal(rth_profile_add(profile, &values[1]), -EAGAIN);
    assert_int_equal(rth_profile_count(profile), 0);
    rth_profile_remove(profile, &values[0]);
    /* Removes went unseen, so values from before are not believed. */
    begin();
    assert_int_equal(rth_profile_count(profile), 0);
    assert_int_equal(sums_of(profile).values, 0);
    assert_int_equal(rth_profile_add(profile, &values[0]), 0);
    assert_int_equal(sums_of(profile).values, 1);
}

static void early_values_get_their_stack_when_it_is_known(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(add_here(profile, &values[i]), 0);
    rth_profile_remove(profile, &values[3]);
    assert_int_equal(rth_profile_add(profile, &values[3]), 0); /* again, and early again */
    rth_profile_remove(profile, &values[4]);
    assert_int_equal(rth__custom_early_count(), 11);
    struct sums sums = sums_of(profile);
    assert_int_equal(sums.values, 9);
    assert_int_equal(sums.without_stack, 9);
    refresh();
    assert_int_equal(rth__custom_early_count(), 0);
    sums = sums_of(profile);
    assert_int_equal(sums.values, 9);
    assert_int_equal(sums.without_stack, 0);
    for (unsigned i = 0; i < 10; i++)
        rth_profile_remove(profile, &values[i]);
    assert_int_equal(sums_of(profile).rows, 0);
}

static void more_early_values_than_may_wait_are_counted_without_a_stack(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(add_here(profile, &values[i]), 0);
    refresh();
    struct sums sums = sums_of(profile);
    assert_int_equal(sums.values, 300);
    assert_int_equal(sums.without_stack, 300 - 256);
}

static void a_stack_begins_with_the_caller(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    refresh();
    assert_int_equal(add_here(profile, &values[0]), 0);
    struct rth_sites_copy copy;
    assert_int_equal(rth__custom_sites_copy(&copy), 0);
    assert_int_equal(copy.count, 1);
    assert_true(copy.rows[0].frame_count >= 3);
    uint64_t leaf = rth__frame_address(copy.rows[0].frames[0]);
    uint64_t function = (uint64_t)(uintptr_t)add_here;
    assert_true(leaf > function && leaf < function + 128);
    rth__sites_copy_free(&copy);
}

static void labels_make_rows(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    refresh();
    for (unsigned i = 0; i < 6; i++) {
        RTH_WITH_LABELS("parity", i % 2 == 0 ? "even" : "odd")
            assert_int_equal(add_here(profile, &values[i]), 0);
    }
    struct rth_sites_copy copy;
    uint64_t by_first_row[2] = {0};
    assert_int_equal(rth__custom_sites_copy(&copy), 0);
    for (size_t i = 0; i < copy.count; i++)
        by_first_row[copy.rows[i].label_set == copy.rows[0].label_set] +=
            copy.rows[i].values.added_count;
    assert_int_equal(by_first_row[0], 3);
    assert_int_equal(by_first_row[1], 3);
    rth__sites_copy_free(&copy);
}

static void the_bound_of_all_profiles_together_is_kept_and_said(void **state)
{
    (void)state;
    struct rth_profile *one = profile_new("one"), *two = profile_new("two");
    begin();
    refresh();
    for (uintptr_t i = 0; i < RTH_CUSTOM_VALUES_MAX; i++)
        assert_int_equal(rth_profile_add(i % 2 == 0 ? one : two, (void *)(i * 16 + 16)), 0);
    assert_int_equal(rth_profile_add(one, values), -ENOSPC);
    assert_int_equal(rth_profile_add(one, values + 1), -ENOSPC);
    struct rth_custom_counts counts;
    rth__custom_counts(one, &counts);
    assert_int_equal(counts.refused_full, 2);
    assert_int_equal(counts.values, RTH_CUSTOM_VALUES_MAX / 2);
    rth_profile_remove(two, (void *)(uintptr_t)32);
    assert_int_equal(rth_profile_add(one, values), 0);
    assert_true(rth__custom_bytes() < (uint64_t)RTH_CUSTOM_VALUES_MAX * 160);
}

static void want_of_memory_is_said_and_harms_nothing(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    refresh();
    while (rth__arena_alloc_nomalloc((size_t)1 << 20) != NULL)
        ;
    while (rth__arena_alloc_nomalloc(32 * 1024) != NULL)
        ;
    assert_int_equal(rth_profile_add(profile, values), -ENOMEM);
    rth_profile_remove(profile, values);
    struct rth_custom_counts counts;
    rth__custom_counts(profile, &counts);
    assert_int_equal(counts.refused_memory, 1);
    assert_int_equal(rth_profile_count(profile), 0);
}

static void a_child_knows_the_profiles_and_none_of_the_values(void **state)
{
    (void)state;
    struct rth_profile *profile = profile_new("one");
    begin();
    assert_int_equal(add_here(profile, &values[0]), 0);
    /* As core/fork.c does it. */
    rth__arena_child_reset();
    rth__facts_child_reset();
    rth__unwind_child_reset();
    rth__custom_child_reset();
    assert_int_equal(rth_profile_add(profile, &values[1]), -EAGAIN); /* not started yet */
    begin();
    assert_ptr_equal(rth__custom_find("one"), profile);
    assert_int_equal(rth_profile_count(profile), 0);
    rth_profile_remove(profile, &values[0]);
    assert_int_equal(add_here(profile, &values[0]), 0);
    assert_int_equal(rth_profile_count(profile), 1);
    assert_int_equal(sums_of(profile).values, 1);
    struct rth_custom_counts counts;
    rth__custom_counts(profile, &counts);
    assert_true(counts.forked);
}

/* ---- many threads -------------------------------------------------------------------------- */

static struct rth_profile *shared;

static void *churn(void *first)
{
    char *own = first;
    for (int round = 0; round < 40; round++) {
        for (unsigned i = 0; i < VALUES / 4; i++)
            assert_int_equal(add_here(shared, own + i), 0);
        for (unsigned i = round == 39 ? 100 : 0; i < VALUES / 4; i++)
            rth_profile_remove(shared, own + i);
    }
    return NULL;
}

static void threads_beside_each_other_leave_what_they_hold(void **state)
{
    (void)state;
    pthread_t threads[4];
    shared = profile_new("one");
    begin();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, values + i * (VALUES / 4)), 0);
    for (int i = 0; i < 20; i++) {
        refresh();
        assert_true(sums_of(shared).values <= VALUES);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    refresh();
    assert_int_equal(rth_profile_count(shared), 400);
    assert_int_equal(sums_of(shared).values, 400);
}

RTH_TEST_MAIN(cmocka_unit_test(a_name_is_unique_and_of_plain_characters),
              cmocka_unit_test(there_are_as_many_profiles_as_promised),
              cmocka_unit_test(of_two_threads_that_want_a_name_one_gets_it),
              cmocka_unit_test(a_value_is_in_a_profile_once_and_in_others_too),
              cmocka_unit_test(nothing_is_recorded_while_the_runtime_does_not_run),
              cmocka_unit_test(early_values_get_their_stack_when_it_is_known),
              cmocka_unit_test(more_early_values_than_may_wait_are_counted_without_a_stack),
              cmocka_unit_test(a_stack_begins_with_the_caller), cmocka_unit_test(labels_make_rows),
              cmocka_unit_test(the_bound_of_all_profiles_together_is_kept_and_said),
              cmocka_unit_test(want_of_memory_is_said_and_harms_nothing),
              cmocka_unit_test(a_child_knows_the_profiles_and_none_of_the_values),
              cmocka_unit_test(threads_beside_each_other_leave_what_they_hold))
