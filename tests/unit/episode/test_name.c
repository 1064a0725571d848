/* SPDX-License-Identifier: MIT */
#include "helper/unit.h"

#include <errno.h>
#include <string.h>

#include "episode/name.h"

static void a_name_that_was_made_is_read_back(void **state)
{
    (void)state;
    struct rth_episode_name made, read;
    assert_int_equal(rth__episode_name_make(1764000000, 4711, 2, "memory-critical", &made), 0);
    assert_string_equal(made.id, "episode-1764000000-4711-2-memory-critical");
    assert_true(rth__episode_name_parse(made.id, &read));
    assert_int_equal(read.unix_s, 1764000000);
    assert_int_equal(read.pid, 4711);
    assert_int_equal(read.number, 2);
    assert_false(read.is_partial);
    assert_string_equal(read.trigger, "memory-critical");
    assert_string_equal(read.id, made.id);
}

static void the_longest_name_fits(void **state)
{
    (void)state;
    struct rth_episode_name made, read;
    static const char trigger[] = "abcdefghijklmnopqrstuvwxyz012345";
    assert_int_equal(sizeof(trigger), RTH_EPISODE_TRIGGER_BYTES);
    assert_int_equal(rth__episode_name_make(INT64_MAX, INT32_MAX, UINT32_MAX, trigger, &made), 0);
    assert_true(rth__episode_name_parse(made.id, &read));
    assert_string_equal(read.trigger, trigger);
}

static void an_unfinished_one_has_the_same_id_and_another_folder(void **state)
{
    (void)state;
    struct rth_episode_name name;
    char folder[RTH_EPISODE_ID_BYTES + 8];
    assert_true(rth__episode_name_parse("episode-1-2-3-manual.partial", &name));
    assert_true(name.is_partial);
    assert_string_equal(name.id, "episode-1-2-3-manual");
    rth__episode_name_folder(&name, folder);
    assert_string_equal(folder, "episode-1-2-3-manual.partial");
}

static void names_that_we_would_not_have_made_are_somebody_elses(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "episode-",
        "episode-1-2-3",
        "episode-1-2-3-",
        "episode-1-2-3-.partial",
        "episode-01-2-3-manual",
        "episode-1-02-3-manual",
        "episode--1-2-3-manual",
        "episode-1-2-3-Manual",
        "episode-1-2-3-man/ual",
        "episode-1-2-3-..",
        "episode-1-2-3-manual.",
        "episode-1-2-3-manual.partial.partial",
        "episode-1-99999999999-3-manual",
        "episode-99999999999999999999-2-3-manual",
        "episode-1-2-99999999999-manual",
        "episode-1-2-3-abcdefghijklmnopqrstuvwxyz0123456",
        "xepisode-1-2-3-manual",
        "../episode-1-2-3-manual",
    };
    struct rth_episode_name name;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (rth__episode_name_parse(names[i], &name))
            fail_msg("taken: %s", names[i]);
}

static void triggers_without_a_proper_name_get_no_episode(void **state)
{
    (void)state;
    struct rth_episode_name name;
    assert_int_equal(rth__episode_name_make(1, 2, 3, "", &name), -EINVAL);
    assert_int_equal(rth__episode_name_make(1, 2, 3, "1st", &name), -EINVAL);
    assert_int_equal(rth__episode_name_make(1, 2, 3, "a/b", &name), -EINVAL);
    assert_int_equal(rth__episode_name_make(1, -2, 3, "a", &name), -EINVAL);
    assert_int_equal(rth__episode_name_make(-1, 2, 3, "a", &name), -EINVAL);
}

static void file_names_lead_nowhere_else(void **state)
{
    (void)state;
    static const char *const good[] = {"heap.pb.gz", "episode.json", "thread_list.json", "a-B.9"};
    static const char *const bad[] = {"",     ".",   "..",  ".ended", "a/b",
                                      "../x", "a\n", "a b", "a%2f",   "\xc3\xa4"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(rth__episode_file_name_ok(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (rth__episode_file_name_ok(bad[i]))
            fail_msg("taken: %s", bad[i]);
    char longest[RTH_EPISODE_FILE_BYTES + 1];
    memset(longest, 'a', sizeof(longest));
    longest[RTH_EPISODE_FILE_BYTES] = '\0';
    assert_false(rth__episode_file_name_ok(longest));
    longest[RTH_EPISODE_FILE_BYTES - 1] = '\0';
    assert_true(rth__episode_file_name_ok(longest));
}

RTH_TEST_MAIN(cmocka_unit_test(a_name_that_was_made_is_read_back),
              cmocka_unit_test(the_longest_name_fits),
              cmocka_unit_test(an_unfinished_one_has_the_same_id_and_another_folder),
              cmocka_unit_test(names_that_we_would_not_have_made_are_somebody_elses),
              cmocka_unit_test(triggers_without_a_proper_name_get_no_episode),
              cmocka_unit_test(file_names_lead_nowhere_else))
